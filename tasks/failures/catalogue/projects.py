"""What a project may do at all: switched-off APIs, billing, organisation policies."""

from __future__ import annotations

from tasks.failures.catalogue.grammar import GOOGLES_CLIENTS
from tasks.failures.catalogue.rule import MAYBE, NO, rule
from tasks.failures.cause import Cause

BILLING = (
    rule(
        Cause.BILLING,
        NO,
        "The billing account cannot take another project.",
        "Ask for more at https://support.google.com/code/contact/billing_quota_increase, or unlink a project "
        "that is unused at https://console.cloud.google.com/billing/projects.",
        "https://cloud.google.com/billing/docs/how-to/manage-billing-account",
        r"billing quota",
        r"billing_quota_increase",
    ),
    rule(
        Cause.BILLING,
        NO,
        "There is no working billing account behind [project {project}|the project].",
        "Link an open billing account at "
        "https://console.cloud.google.com/billing/linkedaccount[?project={project}], wait a few minutes, "
        "then run again.",
        "https://cloud.google.com/billing/docs/how-to/modify-project",
        r"billing[_ ](?:is )?disabled",
        r"billing (?:must|needs to|has to) be enabled",
        r"billing to be enabled",
        r"billing (?:is|has|was) not (?:been )?(?:enabled|set up|open|active)",
        r"(?:enable|set up|activate|add) billing",
        r"billing[- ]enabled",
        r"billing[_ ]not[_ ](?:open|found|enabled|active)",
        r"billing account (?:for |of |associated |linked |with |that |id |[\w'-]+ ){0,9}"
        r"(?:is|was|has been|could) (?:not|in state|disabled|closed|suspended|delinquent|inactive|absent)",
        r"(?:absent|closed|delinquent|disabled|inactive|invalid|valid|active|open) billing account",
        r"not (?:been )?configured billing",
        r"(?:error|failed) (?:setting|linking|updating) billing(?![\s\S]*has not been used)",
        r"accountdisabled|userprojectaccountproblem|account (?:is )?not in good standing",
        r"pay[- ]as[- ]you[- ]go|must be on the blaze|not (?:allowed|available|supported) in the free tier",
        r"free trial (?:has |is )?(?:ended|expired|over)",
        r"payment (?:method|is|required|failed|overdue)",
        r"402 payment",
    ),
)


API_DISABLED = (
    rule(
        Cause.API_DISABLED,
        NO,
        "It was not possible to switch on [{api}|a Google API].",
        "[Run `gcloud services enable {api} --project {project}` yourself|Switch it on yourself at "
        "https://console.cloud.google.com/apis/library]: that shows the real obstacle, mostly missing "
        "billing, an organisation policy or a missing role.",
        "https://cloud.google.com/service-usage/docs/enable-disable",
        r"failed to (?:ensure|enable)[^\n]{0,40} api\b",
        r"failed to (?:ensure|enable) apis?\b",
    ),
    rule(
        Cause.API_DISABLED,
        NO,
        "The calls are counted against Google's own project, since the login names no other.",
        "Name your project[ with `gcloud auth application-default set-quota-project {own_project}`| to the login, see "
        "https://cloud.google.com/docs/quotas/set-quota-project], then run again.",
        "https://cloud.google.com/docs/authentication/troubleshoot-adc#user-creds-client-based",
        rf"not been used in project (?:{'|'.join(sorted(GOOGLES_CLIENTS))})",
    ),
    rule(
        Cause.API_DISABLED,
        MAYBE,
        "[{api}|A Google API] is switched off[ in project {project}], or was switched on only moments ago.",
        "[Run `gcloud services enable {api} --project {project}`|Switch it on at "
        "https://console.cloud.google.com/apis/library/{api}, in the project that the calls are counted "
        "against|Switch it on at https://console.cloud.google.com/apis/library, in the project that the "
        "calls are counted against], wait a few minutes, then run again.",
        "https://cloud.google.com/service-usage/docs/enable-disable",
        r"has not been used in (?:this )?project",
        r"api has not been (?:used|enabled)",
        r"service_disabled",
        r"access ?not ?configured",
        r"\bapis?\b[^\n]{0,80}(?:(?:is|are) not|isn't|not yet|not) (?:currently )?enabled",
        r"\.googleapis\.com\]?'? (?:is|are) (?:not enabled|disabled)",
        r"services?[^\n]{0,60}\.googleapis\.com[^\n]{0,60} (?:not enabled|disabled)",
        r"is not enabled for (?:the |this )?project",
        r"apis? (?:is|are|was) disabled",
        r"(?:please |must |to )enable (?:or contact project owners to enable )?the [\w. ()-]{2,60} apis?\b",
        r"please enable [\w. ()-]{2,60} apis? ",
        r"enable it by visiting",
        r"ensure (?:that )?the [\w ()-]{2,80} apis?[^\n]{0,60} (?:enabled|activated)",
    ),
)


ORG_POLICY = (
    rule(
        Cause.ORG_POLICY,
        NO,
        "The organisation does not let principals from outside it be named in a policy.",
        "Deploy without public access (`--no-allow-unauthenticated`), or have an organisation administrator "
        "relax constraints/iam.allowedPolicyMemberDomains[ for project {project}].",
        "https://cloud.google.com/resource-manager/docs/organization-policy/restricting-domains",
        r"do(?:es)? not belong to a permitted customer",
        r"allowedpolicymemberdomains",
        r"domain[- ]restricted sharing",
    ),
    rule(
        Cause.ORG_POLICY,
        NO,
        "A VPC Service Controls perimeter forbids this call.",
        "Give the uniqueIdentifier of the message to the perimeter's administrator, who finds the reason at "
        "https://console.cloud.google.com/security/service-perimeter and adds an ingress or egress rule.",
        "https://cloud.google.com/vpc-service-controls/docs/troubleshooting",
        r"prohibited by organization's policy",
        r"vpc ?service ?controls",
        r"vpcservicecontrols\w*",
        r"security_policy_violated",
    ),
    rule(
        Cause.ORG_POLICY,
        NO,
        "Binary Authorization does not let this image run.",
        "Sign the image with the attestor that the policy names, or see which rule denied it [with `gcloud "
        "container binauthz policy export --project {own_project}`|at "
        "https://console.cloud.google.com/security/binary-authorization].",
        "https://cloud.google.com/binary-authorization/docs/run/overview",
        r"binary ?authorization",
        r"(?:image|attest)[^\n]{0,60} denied by (?:attestor|policy)",
        r"not authorized by policy",
    ),
    rule(
        Cause.ORG_POLICY,
        NO,
        "An organisation policy forbids this[: {constraint}].",
        "See what it allows [with `gcloud org-policies describe {constraint} --effective --project "
        "{project}`|at https://console.cloud.google.com/iam-admin/orgpolicies], then change the setting, or "
        "have an organisation policy administrator grant an exception.",
        "https://cloud.google.com/resource-manager/docs/organization-policy/overview",
        r"constraints/\w+\.",
        r"org(?:ani[sz]ation)?(?:al)?[-_ ]?polic(?:y|ies)",
        r"blocked by [^\n]{0,60}polic(?:y|ies)",
        r"violates? (?:the )?(?:org[\w-]* )?constraints?",
        r"constraint [\w./:'\"-]{3,80} (?:is |was )?violated",
        r"(?<!check\syour\s)organization(?:'s|s)? (?:security )?polic(?:y|ies)",
        r"(?:org_restriction|location_org_policy|tls_org_policy|resource_usage_restriction)_violat\w+",
        r"key creation is not allowed on this service account",
        r"ingress (?:setting |traffic )?[^\n]{0,40}(?:is )?(?:not allowed|disallowed)",
        r"disableserviceaccountkeycreation",
        r"is not (?:in|on) the (?:organization's )?allow(?:ed)? ?list",
    ),
)
