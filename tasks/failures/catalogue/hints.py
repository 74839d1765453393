"""Words that point to a cause where no telling phrase does: one kind of failure, said in words of any tool.

Each group stands in the order of precedence behind the phrases of its cause, see `matching`.
"""

from __future__ import annotations

from tasks.failures.catalogue.logs import AUDIT_LOG, BUILD_LOG, QUOTAS, READ_ITS_LOG
from tasks.failures.catalogue.rule import MAYBE, NO, YES, rule
from tasks.failures.cause import Cause

_FAILS = r"(?:err(?:ors?)?|fail\w*|unable|cannot|can't|could ?n[o']t|not|den(?:ied|ies)|refus\w+|reject\w+|invalid|missing|expired)"
_IS_OFF = (
    r"(?:not (?:been )?(?:enabled|activated|used)|disabled|is off|(?:please|must|to) (?:be )?(?:enabled?|activated?))"
)
_TOOLS = (
    r"(?:npm|gyp|yarn|pnpm|pip3?|poetry|pipenv|bundler|gem|gems|gemfile|composer|cargo|rustc|gradle|maven|mvn|nuget|csproj"
    r"|go\.(?:mod|sum)|requirements\.txt|package(?:-lock)?\.json|pipfile|pyproject\.toml|buildpacks?"
    r"|compil\w+|linker|javac|tsc|webpack|wheels?|\w+\.(?:go|rs|java|kt|cs|tsx?):\d+)"
)

API_HINT = (
    rule(
        Cause.API_DISABLED,
        MAYBE,
        "[{api}|A Google API] seems to be switched off[ in project {project}].",
        "Switch it on at https://console.cloud.google.com/apis/library[/{api}][?project={project}], wait a few minutes, "
        "then run again.",
        "https://cloud.google.com/service-usage/docs/enable-disable",
        rf"apis?(?! key)[^\n]{{0,100}} {_IS_OFF}",
        r"(?:please|must|need to|should|make sure|ensure)[^\n]{0,40} enabled? [^\n]{0,60} apis?",
        r"(?:fail\w*|unable|could not|cannot|please|ensure|make sure)[^\n]{0,100} apis? [^\n]{0,60} (?:enabled|activated)",
        r"[a-z]+\.googleapis\.com\W{0,3} (?:is |are |has )?(?:not (?:been )?enabled|disabled)",
    ),
)

BILLING_HINT = (
    rule(
        Cause.BILLING,
        NO,
        "Billing stands in the way[ in project {project}].",
        "See https://console.cloud.google.com/billing/linkedaccount[?project={project}]: the project needs an open billing "
        "account.",
        "https://cloud.google.com/billing/docs/how-to/modify-project",
        r"(?<![./\w-])billing(?! quota)|blaze",
    ),
)

QUOTA_HINT = (
    rule(
        Cause.QUOTA,
        NO,
        "A quota or limit[ of project {project}] stands in the way.",
        f"Ask for less, or raise it at {QUOTAS}.",
        "https://cloud.google.com/docs/quotas/view-manage",
        r"(?<![./\w-])quotas?(?! project|[_./])",
        r"insufficient (?:free |available )?(?:\w+ )?(?:address(?:es)?|ips?|cpus?|gpus?)",
    ),
)

POLICY_HINT = (
    rule(
        Cause.ORG_POLICY,
        NO,
        "A policy forbids this[: {constraint}].",
        "See which policies hold at https://console.cloud.google.com/iam-admin/orgpolicies[?project={project}].",
        "https://cloud.google.com/resource-manager/docs/organization-policy/overview",
        r"(?:blocked|forbid\w*|prohibit\w*|restrict\w*|violat\w+|den(?:ied|ies)|disallow\w*)[^\n]{0,80} polic(?:y|ies)",
        r"(?<!iam\s)polic(?:y|ies)[^\n]{0,60} (?:block\w*|forbid\w*|prohibit\w*|restrict\w*|violat\w+|disallow\w*)",
        r"vpc[ _-]?(?:sc\b|service[ _-]?controls)",
    ),
)

LOGIN_HINT = (
    rule(
        Cause.PERMISSION,
        NO,
        "The caller could not show who it is, or is not let in.",
        "Log in anew (`gcloud auth login`, for programs `gcloud auth application-default login`), and see what the "
        "account may do at https://console.cloud.google.com/iam-admin/iam.",
        "https://cloud.google.com/docs/authentication",
        rf"{_FAILS}[^\n]{{0,50}} (?:authenticat\w+|authoriz\w+|credential\S*|log ?in|identity|json key|username|password)",
        rf"(?:authenticat\w+|authoriz\w+|credentials?|identity token|client secret)[^\n]{{0,50}} {_FAILS}",
        r"(?:status|code|error|http(?:/\S+)?)[\s:=\"'(\[]{1,4}40[13]",
        r"forbidden|(?:un|not )authorized|(?:active|signed[- ]in) account|google\.auth\.exceptions",
        r"api[ _]keys?(?! creation)|(?:callers?|users?|clients?) (?:without|with no|has no|have no)",
    ),
)

NETWORK_HINT = (
    rule(
        Cause.NETWORK,
        YES,
        "A connection broke or could not be made.",
        "Run again; if it stays, check the network, the proxy and https://status.cloud.google.com.",
        "https://status.cloud.google.com",
        rf"(?:lost|{_FAILS})[^\n]{{0,40}} (?:connect(?:ion|ing)?|network|socket|dns|tls|ssl|proxy|certificate|hostname)",
        rf"(?:connections?|network|socket|dns|tls|ssl|proxy|hostname)[^\n]{{0,40}} (?:lost|broke\w*|reset|closed|dropped|{_FAILS})",
        r"(?:unexpected |premature )?\beof\b|transport (?:error|closed)|stream (?:removed|reset|closed)|resolve (?:host|name)",
        r"(?:does|did|could|can) ?not resolve|(?:recv|send|read|write) (?:error|failure|failed)",
    ),
)

SERVICE_HINT = (
    rule(
        Cause.SERVICE_UNAVAILABLE,
        YES,
        "Google's service has trouble at the moment.",
        "Run again in a few minutes; if it stays, look at https://status.cloud.google.com.",
        "https://status.cloud.google.com",
        r"experiencing (?:\w+ ){0,2}(?:issues|problems|difficulties|trouble)|outage|degraded|overloaded",
        r"wait (?:a few|some|a couple of|\d+) (?:seconds|minutes|moments|hours)[^\n]{0,60} (?:again|retry)",
        r"(?:try|retry)(?: \S+){0,6} again(?: later)?",
        r"(?:status|code|error|http(?:/\S+)?)[\s:=\"'(\[]{1,4}500",
    ),
)

BUILD_HINT = (
    rule(
        Cause.BUILD_STEP_FAILED,
        NO,
        "A tool that builds the app failed.",
        f"Try the command with `docker build .` on your own machine; the lines above it are in {BUILD_LOG}.",
        "https://cloud.google.com/build/docs/troubleshooting",
        rf"{_TOOLS}[^\n]{{0,120}} {_FAILS}",
        rf"{_FAILS}[^\n]{{0,120}} {_TOOLS}",
        r"(?:could not|unable to|failed to|cannot|can't) (?:resolve|install|find|satisfy) [^\n]{0,60} "
        r"(?:packages?|modules?|dependenc(?:y|ies)|requirements?|versions?|distributions?)",
        r"could not be (?:resolved|installed|satisfied|compiled)|(?:copy|add|run) failed|\.dockerignore|dockerfile:\d+",
        r"(?:conflicting|unmet|missing) (?:peer )?dependenc(?:y|ies)|dependency (?:conflict|resolution)",
    ),
)

PROGRAM_HINT = (
    rule(
        Cause.CONTAINER_CRASH,
        NO,
        "A program ended with an error.",
        READ_ITS_LOG,
        "https://cloud.google.com/run/docs/troubleshooting",
        r"(?:containers?|instances?|workers?|process)[^\n]{0,40} (?:exit\w*|crash\w*|died|killed|terminated|(?:not|fail\w*) (?:to )?start\w*)",
        r"panicked|stack trace|traceback|core dump(?:ed)?|out of memory|heap limit",
        r"[a-z_.]*[a-z]{3}(?:error|exception): \S",
    ),
)

IMAGE_HINT = (
    rule(
        Cause.IMAGE_MISSING,
        NO,
        "Something is missing: [the image {image}|the image] cannot be had.",
        "See what there is at https://console.cloud.google.com/artifacts; push the image, or correct its name.",
        "https://cloud.google.com/run/docs/troubleshooting",
        r"(?:pull|fetch|find|resolve|load)\w*[^\n]{0,60} (?:image|manifest|tag)[^\n]{0,200} (?:not found|404|does not exist)",
        r"(?:images?|manifest|\S+@sha256:\S+) (?:can't|cannot|could not|does not|was not)(?: be)? (?:pull\w*|found|fetch\w*|exist)",
    ),
)

ABSENT_HINT = (
    rule(
        Cause.NOT_FOUND,
        NO,
        "Something that was asked for is not there.",
        "Check the name, the project and the region in slipway.yaml against what there is of that kind at "
        "https://console.cloud.google.com/[?project={project}].",
        "https://cloud.google.com/apis/design/errors",
        r"(?:matched|matches|found|returned) no|no (?:\w+ ){0,3}(?:matched|matches|found|exists?)",
        r"(?:cannot|can't|could ?n[o']t|unable to|failed to) (?:find|locate|look up)",
    ),
)

BUSY_HINT = (
    rule(
        Cause.CONFLICT,
        YES,
        "Something else is going on with the same thing, or it has changed meanwhile.",
        f"Run again: it reads the present state first; if it stays, see who works on it in the audit log {AUDIT_LOG}.",
        "https://cloud.google.com/apis/design/errors",
        r"(?:is )?not ready(?! and cannot serve)|precondition failed|etag|if-match|resource_?not_?ready",
        r"(?:already|still|currently) (?:in use|running|in progress|locked|being \w+)|busy",
    ),
)

WRONG_HINT = (
    rule(
        Cause.INVALID_CONFIG,
        NO,
        "Something that was given is wrong or missing.",
        "Correct it as the message says; for slipway.yaml, https://cloud.google.com/run/docs/reference/rest lists what "
        "Cloud Run takes.",
        "https://cloud.google.com/run/docs/reference/rest",
        r"(?:unexpected|unknown|wrong|bad|illegal|inconsistent|insufficient|unsupported) (?:\w+ ){0,2}"
        r"(?:inputs?|values?|arguments?|options?|names?|files?|blocks?|keys?|types?|formats?|versions?|selections?)",
        r"(?:at least|at most|exactly|no more than) \d+|(?:has|have|had|contains?) errors",
        r"(?:is|are|was) not set|must be set|(?:env|environment) variables?|make sure (?:that )?(?:you|the|this)",
        r"cannot (?:destroy|modify|change|update|delete)|without setting|deployment contains",
    ),
)
