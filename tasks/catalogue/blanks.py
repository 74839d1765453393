"""Fills the blanks of a problem or remedy with what the message itself names.

A blank that the message does not name becomes a placeholder in capitals, so that a command stays readable:
`gcloud services enable run.googleapis.com --project PROJECT_ID`.
"""

from __future__ import annotations

import re

_ID = r"[a-z][a-z0-9-]*[a-z0-9]"
_REGION = r"(?:africa|asia|australia|europe|me|northamerica|southamerica|us)-[a-z]+\d{1,2}"

# Per blank: how messages name it, most reliable first; the placeholder. The first group is the value.
_BLANKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "project": (
        "PROJECT_ID",
        (
            r"[?&]project=([\w:.-]+)",
            r"--project[= ]([\w:.-]+)",
            r"\bprojects/([\w:.-]+)",
            r"\bproject(?: number)? [\['\"(#]+([\w:.-]+)[\]'\")]",
            r"\bproject[_ ]number:(\d+)",
            rf"\b[Pp]roject (\d{{6,}}|(?=[a-z0-9-]*[0-9-]){_ID})\b",
            r"@([a-z][a-z0-9-]+)\.iam\.gserviceaccount\.com",
            rf"-docker\.pkg\.dev/({_ID})/",
            rf"\bgcr\.io/({_ID})/",
        ),
    ),
    "api": (
        "API_NAME.googleapis.com",
        (
            r"apis/(?:api|library)/([a-z0-9-]+\.googleapis\.com)",
            r"\bAPI \[([a-z0-9-]+\.googleapis\.com)\]",
            r"[\"']service[\"']\s*:\s*[\"']([a-z0-9-]+\.googleapis\.com)",
            r"\bservices?[ (s)'\[\"/]+([a-z0-9-]+\.googleapis\.com)",
            r"([a-z0-9-]+\.googleapis\.com)",
        ),
    ),
    "permission": (
        "PERMISSION",
        (
            r"[\"']([a-z][A-Za-z]+(?:\.[A-Za-z]+){2,3})\\?[\"']",
            r"\b([a-z]+\.[a-zA-Z]+\.[a-z][a-zA-Z]+) (?:access|permission)",
            r"[Pp]ermissions?:? \[?([a-z]+\.[a-zA-Z]+\.[a-z][a-zA-Z]+)",
        ),
    ),
    "principal": (
        "PRINCIPAL",
        (
            r"authenticated as ([\w.+-]+@[\w.-]+\w)",
            r"\b([\w.+-]+@[\w.-]+\w)\]? (?:does|do) not have",
            r"(?:permission|role|access) to ([\w.+-]+@[\w.-]+\w)",
            r"\b(?:[Rr]evision |runtime )?service account:? \[?([\w.+-]+@[\w.-]+\w)",
            r"([\w.+-]+@[\w.-]+\w)",
        ),
    ),
    "account": (
        "SERVICE_ACCOUNT",
        (
            r"service account:? [\['\"]?(?:projects/[\w-]+/serviceAccounts/)?([\w.+-]+@[\w.-]+\w)",
            r"([\w.+-]+@[\w.-]+gserviceaccount\.com)",
        ),
    ),
    "repository": (
        "REPOSITORY",
        (r"repositories/([\w-]+)", r"[Rr]epository \\?\"([\w-]+)", r"-docker\.pkg\.dev/[\w.:-]+/([\w-]+)"),
    ),
    "region": (
        "REGION",
        (r"locations/([a-z]+-[a-z]+\d|us|europe|asia)\b", rf"\b({_REGION})\b"),
    ),
    "bucket": (
        "BUCKET",
        (r"gs://([\w.-]+)", r"/b/([\w.-]+)/o\b", r"\bbuckets?[ /\[\"']+([\w.-]*[\d.-][\w.-]*\w)"),
    ),
    "secret": ("SECRET", (r"secrets/([\w-]+)", r"[Ss]ecret \[?['\"]?([\w-]+)['\"]? (?:was )?not")),
    "image": (
        "IMAGE",
        (
            r"[Ii]mage [\['\"]([^'\"\]\s]+)",
            r"manifest for (\S+?) not found",
            r"tag: (\S+)",
            r"pull access denied for ([^\s,]+)",
            r"(\S+\.pkg\.dev/[^\s'\",]+|\bgcr\.io/[^\s'\",]+)",
        ),
    ),
    "service": (
        "SERVICE",
        (
            r"\bservices/([a-z][a-z0-9-]*)(?![\w.-])",
            r"\b[Ss]ervice [\['\"]([a-z][a-z0-9-]*)[\]'\"]",
            r"[Rr]evision [\['\"]?([a-z][a-z0-9-]*?)-\d{5}-[a-z0-9]{3}",
        ),
    ),
    "revision": ("REVISION", (r"[Rr]evision [\['\"\\]*([a-z][\w-]*\d[\w-]*)", r"revisions/([\w-]+)")),
    "port": ("PORT", (r"PORT=(\d+)", r"\bport (\d+)")),
    "metric": (
        "the quota",
        (
            r"quota metric '([^']+)'",
            r"Quota '([^']+)'",
            r"Quota violated:\s+(\w+)",
            r"quota_metric[\"':= ]+([\w./-]+)",
            r"(total allowable \w+)",
            r"(?:total |requested )(CPU|memory)",
        ),
    ),
    "constraint": ("CONSTRAINT", (r"(constraints/[\w.]+)", r"\b(iam\.[a-z]\w+|run\.[a-z]\w+)\b")),
    "lock": ("LOCK_ID", (r"\bID:\s+([0-9a-f-]{36}|\d{10,})",)),
    "host": (
        "the server",
        (
            r"host='([^']+)'",
            r"lookup ([\w.-]+)",
            r"https?://([\w.-]+)",
            r"(?:getaddrinfo|resolve|resolving) \w* ?'?([\w-]+(?:\.[\w-]+)+)",
            r"\b([\w-]+\.(?:googleapis|docker|pypi|npmjs|debian|github)\.\w+)",
        ),
    ),
    "argument": ("the option", (r"argument (--?[\w-]+)", r"(--[\w-]+)")),
    "field": ("the field named", (r"\"field\": \"([^\"]+)", r"\b((?:spec|metadata|template)\.[\w.\[\]]+)")),
}
_COMPILED = {
    name: (placeholder, tuple(re.compile(each) for each in patterns))
    for name, (placeholder, patterns) in _BLANKS.items()
}
_BLANK = re.compile(r"\{(\w+)\}")

# The smallest predefined role that holds a permission (cloud.google.com/iam/docs/permissions-reference).
_ROLES = {
    "artifactregistry.repositories.createOnPush": "roles/artifactregistry.createOnPushWriter",
    "artifactregistry.repositories.uploadArtifacts": "roles/artifactregistry.writer",
    "artifactregistry.tags.delete": "roles/artifactregistry.repoAdmin",
    "artifactregistry.versions.delete": "roles/artifactregistry.repoAdmin",
    "artifactregistry.repositories.downloadArtifacts": "roles/artifactregistry.reader",
    "artifactregistry.repositories.get": "roles/artifactregistry.reader",
    "artifactregistry.": "roles/artifactregistry.admin",
    "billing.": "roles/billing.user",
    "cloudbuild.": "roles/cloudbuild.builds.editor",
    "iam.serviceaccounts.actAs": "roles/iam.serviceAccountUser",
    "iam.serviceAccounts.actAs": "roles/iam.serviceAccountUser",
    "iam.serviceAccounts.getAccessToken": "roles/iam.serviceAccountTokenCreator",
    "iam.serviceAccounts.signBlob": "roles/iam.serviceAccountTokenCreator",
    "iam.serviceAccounts.create": "roles/iam.serviceAccountCreator",
    "iam.serviceAccountKeys.": "roles/iam.serviceAccountKeyAdmin",
    "logging.logEntries.create": "roles/logging.logWriter",
    "logging.": "roles/logging.viewer",
    "monitoring.": "roles/monitoring.viewer",
    "resourcemanager.projects.setIamPolicy": "roles/resourcemanager.projectIamAdmin",
    "resourcemanager.": "roles/browser",
    "run.services.setIamPolicy": "roles/run.admin",
    "run.routes.invoke": "roles/run.invoker",
    "run.": "roles/run.developer",
    "secretmanager.versions.access": "roles/secretmanager.secretAccessor",
    "secretmanager.": "roles/secretmanager.admin",
    "serviceusage.services.use": "roles/serviceusage.serviceUsageConsumer",
    "serviceusage.": "roles/serviceusage.serviceUsageAdmin",
    "storage.objects.get": "roles/storage.objectViewer",
    "storage.objects.list": "roles/storage.objectViewer",
    "storage.objects.": "roles/storage.objectUser",
    "storage.buckets.": "roles/storage.admin",
    "compute.": "roles/compute.networkUser",
    "vpcaccess.": "roles/vpcaccess.user",
    "apigateway.": "roles/apigateway.admin",
}


def fill(template: str, message: str) -> str:
    """The template with each `{blank}` replaced by what the message names."""
    return _BLANK.sub(lambda blank: _value(blank[1], message), template)


def role_for(permission: str) -> str:
    """The smallest predefined role that we know to hold this permission, else a placeholder."""
    if permission in _ROLES:
        return _ROLES[permission]
    family = max((each for each in _ROLES if each.endswith(".") and permission.startswith(each)), key=len, default="")
    return _ROLES.get(family, f"a role with {permission}")


def _value(name: str, message: str) -> str:
    if name == "role":
        permission = _value("permission", message)
        return role_for(permission) if "." in permission else "ROLE"
    placeholder, patterns = _COMPILED[name]
    return next((found[1] for each in patterns if (found := each.search(message))), placeholder)
