"""How much and how fast: quotas, rate limits, places without free capacity."""

from __future__ import annotations

from tasks.failures.catalogue.logs import QUOTAS
from tasks.failures.catalogue.rule import MAYBE, NO, YES, rule
from tasks.failures.cause import Cause

_LESS_OR_MORE = (
    f"Ask for less (fewer instances, less CPU or memory) or delete what is unused, or raise the quota at {QUOTAS}."
)

RATE_LIMIT = (
    rule(
        Cause.RATE_LIMIT,
        NO,
        "Docker Hub's pull limit is used up; it counts over six hours.",
        "Copy the base image into your own Artifact Registry, pull it through a remote repository of Artifact Registry "
        "(https://cloud.google.com/artifact-registry/docs/repositories/remote-repo), or log in to Docker Hub in the build.",
        "https://cloud.google.com/artifact-registry/docs/repositories/remote-repo",
        r"pull rate limit",
        r"docker\.com/increase-rate-limit",
    ),
    rule(
        Cause.QUOTA,
        NO,
        "The daily allowance is used up[: the quota {quota}].",
        "Wait for the next day, or raise it at https://console.cloud.google.com/iam-admin/quotas[?project={project}].",
        "https://cloud.google.com/docs/quotas/view-manage",
        r"limit '[^'\n]* per day",
        r"per day per project",
        r"dailylimitexceeded",
        r"(?:daily|monthly) (?:limit|quota|allowance)",
        r"quota (?:metric|group)[\s\S]{0,160}limit '[^'\n]*per\s?day",
    ),
    rule(
        Cause.RATE_LIMIT,
        YES,
        "Too many calls in a short time exceed [the quota {quota}|a quota].",
        "Wait a minute and run again; if it keeps happening, raise the limit at "
        "https://console.cloud.google.com/iam-admin/quotas[?project={project}].",
        "https://cloud.google.com/docs/quotas/view-manage",
        r"per\s?(?:minute|second|hour|\d+\s?seconds)\w*",
        r"quota (?:metric|group) '[^'\n]*(?:request|quer(?:y|ies)|calls?|reads?|writes?|operations?)\b",
        r"rate of requests",
        r"rate[_ -]?limit\w*",
        r"rate (?:quota )?exceeded",
        r"too ?many ?(?:concurrent )?(?:requests|operations|calls|queries)",
        r"concurrent operations quota",
        r"reduce your (?:request )?rate",
        r"request rate",
        r"queries per",
        r"(?<!cpu[-_])throttl\w+",  # cpu-throttling is a setting of Cloud Run's
        r"quota exceeded[^\n]{0,200} waiting to retry",
        r"\be429\b",
        r"(?:429|exhausted)[\s\S]{0,60}quota exceeded(?: for quota metric)?[\s.'\"\])}>]*\Z",  # and no word of which
        r"\bslow ?down\b",
    ),
)

NO_CAPACITY = (
    rule(
        Cause.RATE_LIMIT,
        YES,
        "All instances of the service were busy, and no further one could be started in time.",
        "Send the request again; if it stays, allow more (`max_instances` in slipway.yaml) or keep some warm "
        "(`min_instances`).",
        "https://cloud.google.com/run/docs/about-instance-autoscaling",
        r"no available instance",
    ),
    rule(
        Cause.SERVICE_UNAVAILABLE,
        MAYBE,
        "Google has no free capacity of this kind in [{region}|this region] at the moment.",
        "Run again later, or choose another region with `--region`.",
        "https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-vm-creation",
        r"zone_resource_pool_exhausted",
        r"does not have enough resources available",
        r"resource pool exhausted",
        r"vpc access connector failed to get healthy|connector is in a bad state",
        r"nodes are available: [^\n]{0,80} insufficient",
        r"insufficient (?:cpu|memory|capacity)(?! quota)|out of capacity|stockout",
    ),
)

QUOTA_FOR_SURE = (
    rule(
        Cause.QUOTA,
        NO,
        "Cloud Build may not build in this region: the project's quota of concurrent builds there is zero.",
        "Build in another region or in `global`, or raise concurrent builds at "
        "https://console.cloud.google.com/iam-admin/quotas[?project={project}].",
        "https://cloud.google.com/build/quotas",
        r"no concurrent builds quota",
        r"due to quota restrictions",
    ),
    rule(
        Cause.QUOTA,
        NO,
        "What was asked for exceeds [the quota {quota}|a quota][ of project {project}].",
        _LESS_OR_MORE,
        "https://cloud.google.com/docs/quotas/view-manage",
        r"max(?:imum)? instances must be set to",
        r"maxscale may not exceed",
        r"quota violated",
        r"maximum number of",
        r"(?:insufficient|allotted) project quota|project quota exceeded",
        r"enough (?:available |free )?ip addresses",
        r"total allowable",
        r"quotas? '[\w-]+' exceeded",
        r"following quotas were exceeded",
        r"insufficient (?:\S+ )?quota",
        r"reached (?:the|its|your) (?:maximum|limit)",
        r"(?:cpu|memory|instance|disk|address\w*|storage|gpu)s? quota",
        r"quotaexceeded|quota_exceeded|resource_quota_exceeded",
    ),
)

QUOTA = (
    rule(
        Cause.QUOTA,
        NO,
        "What was asked for exceeds [the quota {quota}|a quota][ of project {project}].",
        _LESS_OR_MORE,
        "https://cloud.google.com/docs/quotas/view-manage",
        r"quotas?[^\n]{0,160} (?:exceed\w*|exhaust\w*|violat\w*|reached|insufficient)",
        r"quota (?:exceed\w*|exhaust\w*|violat\w*|limits?|failure|reached)",
        r"(?:exceed\w*|insufficient|over|reached|out of|hits?)(?: \S+){0,6} quotas?",
        r"quotafailure",
        # Quotas are refused like permissions are; a quota project is no quota, and their names have dots.
        r"(?:403|permission_denied|forbidden)[\s\S]{0,400} quotas?(?! project|[_.])",
        r"(?:insufficient|not enough|no more|no|out of|exhausted)(?: free| available)? ip (?:addresses|space)|ip_space_exhausted",
        r"quotas? (?:were|was|has been|have been|is|are) (?:exceed|exhaust|violat|reach)\w+",
        r"increase in quota|quota increase|request a higher quota|raise the quota",
        r"maximum (?:number|amount|count)(?: \S+){1,8} (?:reached|exceed\w*|allowed|is)",
        r"(?:reached|exceed\w*|hits?)(?: \S+){0,4} (?:maximum|limits?)(?! (?:\w+ )?time)",
        r"limit(?: \S+){0,6} (?:has been |was |is )?(?:exceeded|reached)",
        r"limitexceeded|limit_exceeded",
        r"too many (?:services|revisions|builds|service accounts|projects|secrets|gateways|connectors|keys|tags)",
    ),
)

STATED_LIMIT = (  # no other words said which limit
    rule(
        Cause.RATE_LIMIT,
        YES,
        "Google asks for fewer calls.",
        f"Wait a minute and run again; if it stays, see {QUOTAS}.",
        "https://cloud.google.com/docs/quotas/view-manage",
        r"resource_?exhausted",
        r"(?:error|code|status|http(?:/\d\S*)?|response)[\s:=\"'\[(]{1,4}429",
        r"429 (?:too many|client error|post|get|put|patch|delete|head)",
    ),
)
