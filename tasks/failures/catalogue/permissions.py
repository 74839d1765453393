"""Which role to give for a permission that is missing.

A role stands here only if it surely holds the permission: https://cloud.google.com/iam/docs/roles-permissions
"""

from __future__ import annotations

from tasks.failures.roles import ACT_AS, ENABLE, NEEDS

_ROLES = {need.permission: need.role for need in (*NEEDS, ACT_AS, ENABLE)} | {
    "artifactregistry.dockerimages.list": "roles/artifactregistry.admin",
    "artifactregistry.repositories.createOnPush": "roles/artifactregistry.createOnPushWriter",
    "artifactregistry.repositories.downloadArtifacts": "roles/artifactregistry.reader",
    "artifactregistry.repositories.get": "roles/artifactregistry.reader",
    "artifactregistry.repositories.list": "roles/artifactregistry.reader",
    "artifactregistry.repositories.update": "roles/artifactregistry.admin",
    "artifactregistry.repositories.uploadArtifacts": "roles/artifactregistry.writer",
    "compute.networks.get": "roles/compute.networkUser",
    "compute.subnetworks.get": "roles/compute.networkUser",
    "compute.subnetworks.use": "roles/compute.networkUser",
    "iam.serviceAccounts.create": "roles/iam.serviceAccountCreator",
    "iam.serviceAccounts.delete": "roles/iam.serviceAccountAdmin",
    "iam.serviceAccounts.disable": "roles/iam.serviceAccountAdmin",
    "iam.serviceAccounts.getAccessToken": "roles/iam.serviceAccountTokenCreator",
    "iam.serviceAccounts.getOpenIdToken": "roles/iam.serviceAccountTokenCreator",
    "iam.serviceAccounts.list": "roles/iam.serviceAccountViewer",
    "iam.serviceAccounts.signBlob": "roles/iam.serviceAccountTokenCreator",
    "iam.serviceAccounts.signJwt": "roles/iam.serviceAccountTokenCreator",
    "iam.serviceaccounts.actAs": "roles/iam.serviceAccountUser",  # Cloud Run's own spelling
    "logging.logEntries.create": "roles/logging.logWriter",
    "logging.logs.list": "roles/logging.viewer",
    "monitoring.timeSeries.create": "roles/monitoring.metricWriter",
    "resourcemanager.projects.getIamPolicy": "roles/iam.securityReviewer",
    "resourcemanager.projects.setIamPolicy": "roles/resourcemanager.projectIamAdmin",
    "run.jobs.list": "roles/run.admin",
    "run.routes.invoke": "roles/run.invoker",
    "run.workerpools.list": "roles/run.admin",
    "secretmanager.versions.access": "roles/secretmanager.secretAccessor",
    "serviceusage.services.use": "roles/serviceusage.serviceUsageConsumer",
    "storage.buckets.list": "roles/storage.admin",
    "storage.objects.create": "roles/storage.objectUser",
    "storage.objects.delete": "roles/storage.objectUser",
    "storage.objects.get": "roles/storage.objectUser",
    "storage.objects.list": "roles/storage.objectUser",
    "storage.objects.update": "roles/storage.objectUser",
    "vpcaccess.connectors.get": "roles/vpcaccess.user",
    "vpcaccess.connectors.list": "roles/vpcaccess.user",
    "vpcaccess.connectors.use": "roles/vpcaccess.user",
}

# Administrators' roles that hold every permission of a family.
_FAMILIES = {
    "apigateway.": "roles/apigateway.admin",
    "artifactregistry.": "roles/artifactregistry.admin",
    "cloudscheduler.": "roles/cloudscheduler.admin",
    "cloudtasks.": "roles/cloudtasks.admin",
    "iam.serviceAccountKeys.": "roles/iam.serviceAccountKeyAdmin",
    "pubsub.": "roles/pubsub.admin",
    "run.": "roles/run.admin",
    "secretmanager.": "roles/secretmanager.admin",
    "storage.buckets.": "roles/storage.admin",
    "storage.objects.": "roles/storage.admin",
}
_ROLE_TITLES = {
    "Storage Object Viewer": "roles/storage.objectViewer",
    "Secret Manager Secret Accessor": "roles/secretmanager.secretAccessor",
    "Artifact Registry Writer": "roles/artifactregistry.writer",
    "Artifact Registry Reader": "roles/artifactregistry.reader",
    "Service Account User": "roles/iam.serviceAccountUser",
    "Cloud Run Admin": "roles/run.admin",
    "Cloud Run Invoker": "roles/run.invoker",
}
KNOWN_ROLES = frozenset({*_ROLES.values(), *_FAMILIES.values(), *_ROLE_TITLES.values()})


def role_for(permission: str) -> str:
    """The smallest predefined role that we know to hold this permission, '' if we know none."""
    family = next((each for each in _FAMILIES if permission.startswith(each)), "")
    return _ROLES.get(permission) or _FAMILIES.get(family, "")


def role_titled(message: str) -> str:
    """The one role that the message names by its title, '' for none or several."""
    named = {role for title, role in _ROLE_TITLES.items() if title in message}
    return named.pop() if len(named) == 1 else ""
