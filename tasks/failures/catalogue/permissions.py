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
    "cloudasset.assets.searchAllResources": "roles/cloudasset.viewer",
    "cloudbuild.connections.list": "roles/cloudbuild.connectionViewer",
    "cloudfunctions.functions.list": "roles/cloudfunctions.viewer",
    "cloudsql.instances.connect": "roles/cloudsql.client",
    "cloudsql.instances.update": "roles/cloudsql.editor",
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
    "datastore.entities.create": "roles/datastore.user",
    "datastore.entities.update": "roles/datastore.user",
    "container.secrets.list": "roles/container.developer",
    "logging.views.access": "roles/logging.viewAccessor",
    "logging.logEntries.create": "roles/logging.logWriter",
    "logging.logs.list": "roles/logging.viewer",
    "monitoring.timeSeries.create": "roles/monitoring.metricWriter",
    "resourcemanager.projects.getIamPolicy": "roles/iam.securityReviewer",
    "resourcemanager.projects.setIamPolicy": "roles/resourcemanager.projectIamAdmin",
    "run.jobs.list": "roles/run.admin",
    "run.routes.invoke": "roles/run.invoker",
    "run.workerpools.list": "roles/run.admin",
    "secretmanager.secrets.list": "roles/secretmanager.viewer",
    "secretmanager.versions.destroy": "roles/secretmanager.secretVersionManager",
    "secretmanager.versions.disable": "roles/secretmanager.secretVersionManager",
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

# Roles that hold whatever lists in a family.
_LISTING = {
    "apikeys.keys.": "roles/serviceusage.apiKeysViewer",
    "cloudsql.": "roles/cloudsql.viewer",
    "compute.": "roles/compute.viewer",
    "container.": "roles/container.viewer",
    "logging.": "roles/logging.viewer",
}
# What load balancers are made of, and what a cluster's API server keeps.
_BALANCING = (
    "addresses", "backendServices", "forwardingRules", "globalAddresses", "globalForwardingRules", "healthChecks",
    "networkEndpointGroups", "sslCertificates", "targetHttpProxies", "targetHttpsProxies", "targetSslProxies",
    "targetTcpProxies", "urlMaps",
)  # fmt: skip
_IN_CLUSTERS = (
    "configMaps", "cronJobs", "daemonSets", "deployments", "ingresses", "jobs", "namespaces", "persistentVolumeClaims",
    "replicaSets", "secrets", "services", "statefulSets",
)  # fmt: skip
# Administrators' roles that hold every permission of a family.
_FAMILIES = {
    **{f"compute.{each}.": "roles/compute.loadBalancerAdmin" for each in _BALANCING},
    **{f"container.{each}.": "roles/container.developer" for each in _IN_CLUSTERS},
    "apigateway.": "roles/apigateway.admin",
    "apikeys.keys.": "roles/serviceusage.apiKeysAdmin",
    "artifactregistry.": "roles/artifactregistry.admin",
    "cloudscheduler.": "roles/cloudscheduler.admin",
    "cloudsql.": "roles/cloudsql.admin",
    "cloudtasks.": "roles/cloudtasks.admin",
    "compute.firewalls.": "roles/compute.securityAdmin",
    "iam.serviceAccountKeys.": "roles/iam.serviceAccountKeyAdmin",
    "logging.buckets.": "roles/logging.configWriter",
    "logging.sinks.": "roles/logging.configWriter",
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
KNOWN_ROLES = frozenset({*_ROLES.values(), *_LISTING.values(), *_FAMILIES.values(), *_ROLE_TITLES.values()})


def role_for(permission: str) -> str:
    """The smallest predefined role that we know to hold this permission, '' if we know none."""
    families = (*(_LISTING.items() if permission.endswith(".list") else ()), *_FAMILIES.items())
    return _ROLES.get(permission) or next((role for start, role in families if permission.startswith(start)), "")


def role_titled(message: str) -> str:
    """The one role that the message names by its title, '' for none or several."""
    named = {role for title, role in _ROLE_TITLES.items() if title in message}
    return named.pop() if len(named) == 1 else ""
