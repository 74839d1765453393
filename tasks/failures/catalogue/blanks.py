"""Fills the blanks of a problem or remedy with what the message itself names.

In a problem a blank reads as prose, "project acme" or, when the message names none, "the project". In a remedy
it reads as part of a command, `acme` or `PROJECT_ID`, so that the command stays readable.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tasks.failures.roles import ACT_AS, ENABLE, NEEDS

_EMAIL = r"\b[\w.+-]{1,64}@[\w.-]+\w"
_ID = r"[a-z][a-z0-9-]*[a-z0-9]"
_GOOGLES = "serverless-runtimes|gae-runtimes|cloudrun|cloud-builders|buildpacks|kaniko-project|k8s-skaffold"
_REGION = r"(?:africa|asia|australia|europe|me|northamerica|southamerica|us)-[a-z]+\d{1,2}"


@dataclass(frozen=True, slots=True)
class Blank:
    placeholder: str  # in a command, when the message does not name it
    named: str  # in prose; {} is the value
    unnamed: str  # in prose, when the message does not name it
    patterns: tuple[re.Pattern[str], ...]  # how messages name it, most reliable first; group 1 is the value

    def find(self, message: str) -> str | None:
        return next((found[1] for each in self.patterns if (found := each.search(message))), None)


def _blank(placeholder: str, named: str, unnamed: str, *patterns: str) -> Blank:
    return Blank(placeholder, named, unnamed, tuple(re.compile(each) for each in patterns))


_BLANKS = {
    "project": _blank(
        "PROJECT_ID",
        "project {}",
        "the project",
        r"[?&]project=([\w:.-]+)",
        r"--project[= ]([\w:.-]+)",
        r"\bprojects/([\w:.-]+)",
        r"\bproject(?: number)? [\['\"(#]+([\w:.-]+)[\]'\")]",
        r"\bproject[_ ]number:(\d+)",
        rf"\b[Pp]roject (\d{{6,}}|(?=[a-z0-9-]*[0-9-]){_ID})\b",
        r"@([a-z][a-z0-9-]+)\.iam\.gserviceaccount\.com",
        r"\b(?:service-)?(\d{6,})(?:-compute@developer|@cloudbuild|@[\w-]+\.iam|\.cloudbuild-logs)",
        rf"-docker\.pkg\.dev/(?!{_GOOGLES})({_ID})/",
        rf"\bgcr\.io/(?!{_GOOGLES})({_ID})/",
    ),
    "api": _blank(
        "API_NAME.googleapis.com",
        "{}",
        "a Google API",
        r"apis/(?:api|library)/([a-z0-9-]+\.googleapis\.com)",
        r"\bAPI \[([a-z0-9-]+\.googleapis\.com)\]",
        r"[\"']service[\"']\s*:\s*[\"']([a-z0-9-]+\.googleapis\.com)",
        r"\bservices?[ (s)'\[\"/]+([a-z0-9-]+\.googleapis\.com)",
        r"\b([a-z0-9-]{1,63}\.googleapis\.com)",
    ),
    "permission": _blank(
        "PERMISSION",
        "the permission {}",
        "a permission",
        r"[\"'\\]([a-z][A-Za-z]+(?:\.[A-Za-z]+){2,3})\\?[\"']",
        r"\b([a-z]+\.[a-zA-Z]+\.[a-z][a-zA-Z]+) (?:access|permission)",
        r"[Pp]ermissions?:? \[?([a-z]+\.[a-zA-Z]+\.[a-z][a-zA-Z]+)",
    ),
    "principal": _blank(
        "PRINCIPAL",
        "{}",
        "the caller",
        rf"authenticated as ({_EMAIL})",
        rf"\b({_EMAIL})\]? (?:does|do) not have",
        rf"[Uu]ser \[({_EMAIL})\]",
        rf"(?:permission|role|access) to ({_EMAIL})",
        rf"\(({_EMAIL})\)",
        rf"\b(?:[Rr]evision |runtime )?service account:? \[?({_EMAIL})",
        rf"({_EMAIL})",
    ),
    "account": _blank(
        "SERVICE_ACCOUNT",
        "the service account {}",
        "the service account",
        rf"service account:? [\['\"]?(?:projects/[\w-]+/serviceAccounts/)?({_EMAIL})",
        r"\b([\w.+-]{1,64}@[\w.-]+gserviceaccount\.com)",
    ),
    "repository": _blank(
        "REPOSITORY",
        "the repository {}",
        "the repository",
        r"repositories/([\w-]+)",
        r"[Rr]epository \\?\"([\w.-]+)",
        r"-docker\.pkg\.dev/[\w.:-]+/([\w-]+)",
    ),
    "region": _blank(
        "REGION",
        "{}",
        "this region",
        r"locations/([a-z]+-[a-z]+\d|us|europe|asia)\b",
        rf"\b({_REGION})\b",
        r"\b(us|europe|asia)-docker\.pkg\.dev",
    ),
    "bucket": _blank(
        "BUCKET",
        "the bucket {}",
        "the bucket",
        r"gs://([\w.-]+)",
        r"/b/([\w.-]+)/o\b",
        r"\bbuckets?[ /\[\"']+([\w.-]*[\d.-][\w.-]*\w)",
        r"access to ([a-z0-9][\w.-]+\w)[.,]",
    ),
    "secret": _blank(
        "SECRET",
        "the secret {}",
        "the secret",
        r"secrets/([\w-]+)",
        r"[Ss]ecret \[?['\"]?([\w-]+)['\"]? (?:was )?not",
    ),
    "image": _blank(
        "IMAGE",
        "the image {}",
        "the image",
        r"[Ii]mage [\['\"]([^'\"\]\s]+)",
        r"manifest for (\S+?) not found",
        r"tag: (\S+)",
        r"pull access denied for ([^\s,]+)",
        r"\b([\w-]{1,40}\.pkg\.dev/[^\s'\",]+|\b(?:\w+\.)?gcr\.io/[^\s'\",]+)",
    ),
    "service": _blank(
        "SERVICE",
        "the service {}",
        "the service",
        r"\bservices/([a-z][a-z0-9-]*)(?![\w.-])",
        r"\b[Ss]ervice [\['\"]([a-z][a-z0-9-]*)[\]'\"]",
        r"[Rr]evision [\['\"]?([a-z][a-z0-9-]*?)-\d{5}-[a-z0-9]{3}",
    ),
    "revision": _blank(
        "REVISION",
        "the revision {}",
        "the revision",
        r"[Rr]evision [\['\"\\]*([a-z][\w-]*\d[\w-]*)",
        r"revisions/([\w-]+)",
    ),
    "port": _blank("PORT", "port {}", "the port it was given", r"PORT=(\d+)", r"\bport (\d+)"),
    "quota": _blank(
        "QUOTA",
        "the quota {}",
        "a quota",
        r"quota metric '([^']+)'",
        r"Quota '([^']+)'",
        r"Quota violated:\s+(\w+)",
        r"quota_metric[\"':= ]+([\w./-]+)",
        r"(total allowable \w+)",
        r"requested total (CPU|memory)",
    ),
    "constraint": _blank(
        "CONSTRAINT",
        "the constraint {}",
        "an organisation policy",
        r"(constraints/[\w.]+)",
        r"\b(iam\.[a-z]\w+|run\.[a-z]\w+)\b",
    ),
    "lock": _blank("LOCK_ID", "{}", "the lock", r"\bID:\s+([0-9a-f-]{36}|\d{10,})"),
    "host": _blank(
        "HOST",
        "{}",
        "the server",
        r"host='([^']+)'",
        r"lookup ([\w.-]+)",
        r"https?://([\w.-]+)",
        r"(?:getaddrinfo|resolv\w+) \w* ?'?([\w-]+(?:\.[\w-]+)+)",
        r"\b([\w-]{1,63}\.(?:googleapis|docker|pypi|npmjs|debian|github)\.\w+)",
    ),
    "argument": _blank("OPTION", "{}", "an option", r"argument (--?[\w-]+)", r"(--[\w-]+)"),
    "field": _blank(
        "FIELD",
        "{}",
        "one of its values",
        r"\"field\": \"(?:Violation in )?([^\"]+)",
        r"Violation in ([\w.]+)",
        r"\b((?:spec|metadata|template)\.[\w.\[\]]*\w)",
    ),
}
_SLOT = re.compile(r"\{(\w+)\}")

# Roles of permissions that Slipway itself does not need but messages name; a family ends in a dot.
# https://cloud.google.com/iam/docs/roles-permissions
_ROLES = {
    "artifactregistry.repositories.createOnPush": "roles/artifactregistry.createOnPushWriter",
    "artifactregistry.repositories.downloadArtifacts": "roles/artifactregistry.reader",
    "artifactregistry.repositories.uploadArtifacts": "roles/artifactregistry.writer",
    "artifactregistry.": "roles/artifactregistry.admin",
    "apigateway.": "roles/apigateway.admin",
    "billing.": "roles/billing.user",
    "cloudbuild.": "roles/cloudbuild.builds.editor",
    "compute.": "roles/compute.networkUser",
    "iam.serviceAccountKeys.": "roles/iam.serviceAccountKeyAdmin",
    "iam.serviceAccounts.create": "roles/iam.serviceAccountCreator",
    "iam.serviceAccounts.delete": "roles/iam.serviceAccountAdmin",
    "iam.serviceAccounts.disable": "roles/iam.serviceAccountAdmin",
    "iam.serviceAccounts.getAccessToken": "roles/iam.serviceAccountTokenCreator",
    "iam.serviceAccounts.list": "roles/iam.serviceAccountViewer",
    "iam.serviceAccounts.signBlob": "roles/iam.serviceAccountTokenCreator",
    "iam.serviceaccounts.actAs": "roles/iam.serviceAccountUser",  # Cloud Run's own spelling
    "logging.": "roles/logging.viewer",
    "logging.logEntries.create": "roles/logging.logWriter",
    "monitoring.": "roles/monitoring.viewer",
    "resourcemanager.": "roles/browser",
    "resourcemanager.projects.setIamPolicy": "roles/resourcemanager.projectIamAdmin",
    "run.": "roles/run.admin",
    "run.routes.invoke": "roles/run.invoker",
    "secretmanager.": "roles/secretmanager.admin",
    "secretmanager.versions.access": "roles/secretmanager.secretAccessor",
    "serviceusage.": "roles/serviceusage.serviceUsageAdmin",
    "serviceusage.services.use": "roles/serviceusage.serviceUsageConsumer",
    "storage.buckets.": "roles/storage.admin",
    "storage.objects.": "roles/storage.objectUser",
    "vpcaccess.": "roles/vpcaccess.user",
} | {need.permission: need.role for need in (*NEEDS, ACT_AS, ENABLE)}

_ROLE_TITLES = {
    "Storage Object Viewer": "roles/storage.objectViewer",
    "Secret Manager Secret Accessor": "roles/secretmanager.secretAccessor",
    "Artifact Registry Writer": "roles/artifactregistry.writer",
    "Service Account User": "roles/iam.serviceAccountUser",
    "editor role": "roles/editor",
}


def as_prose(template: str, message: str) -> str:
    """A problem with each `{blank}` replaced by words."""

    def words(slot: re.Match[str]) -> str:
        value = _BLANKS[slot[1]].find(message)
        return _BLANKS[slot[1]].unnamed if value is None else _BLANKS[slot[1]].named.format(value)

    return _SLOT.sub(words, template)


def as_command(template: str, message: str) -> str:
    """A remedy with each `{blank}` replaced by a value or placeholder."""
    return _SLOT.sub(lambda slot: _derived(slot[1], message), template)


def role_for(permission: str) -> str:
    """The smallest predefined role that we know to hold this permission, else a placeholder."""
    if permission in _ROLES:
        return _ROLES[permission]
    families = [each for each in _ROLES if each.endswith(".") and permission.startswith(each)]
    return _ROLES[max(families, key=len)] if families else "ROLE"


def _derived(name: str, message: str) -> str:
    compute = _DERIVED.get(name)
    return compute(message) if compute else _BLANKS[name].find(message) or _BLANKS[name].placeholder


def _role(message: str) -> str:
    titled = next((role for title, role in _ROLE_TITLES.items() if title in message), "")
    permission = _BLANKS["permission"].find(message)
    return role_for(permission) if permission else titled or "ROLE"


def _member(message: str) -> str:
    """An IAM member, which says its kind."""
    principal = _BLANKS["principal"].find(message) or "PRINCIPAL"
    person = "@" in principal and not principal.endswith("gserviceaccount.com")
    return f"{'user' if person else 'serviceAccount'}:{principal}"


_DERIVED: dict[str, Callable[[str], str]] = {"role": _role, "member": _member}
