"""What a deployer must be allowed to do: permission -> the smallest predefined role that has it, and why.

docs/reference/roles.md is made from this. Roles: https://cloud.google.com/iam/docs/roles-permissions
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Need:
    permission: str
    role: str
    why: str


ACT_AS = Need("iam.serviceAccounts.actAs", "roles/iam.serviceAccountUser", "revisions run as a service account")

NEEDS = (
    Need("run.services.get", "roles/run.admin", "read what is live"),
    Need("run.services.list", "roles/run.admin", "check quota headroom"),
    Need("run.services.create", "roles/run.admin", "create a service on its first deployment"),
    Need("run.services.update", "roles/run.admin", "deploy revisions and move traffic"),
    Need("run.services.getIamPolicy", "roles/run.admin", "see whether a service is public"),
    Need("run.services.setIamPolicy", "roles/run.admin", "open a public service once it is proven"),
    Need("run.revisions.get", "roles/run.admin", "find a revision that is deployed already"),
    Need("run.revisions.list", "roles/run.admin", "keep the number of revisions bounded"),
    Need("run.revisions.delete", "roles/run.admin", "clean up revisions that nothing needs"),
    Need("cloudbuild.builds.create", "roles/cloudbuild.builds.editor", "build images"),
    Need("cloudbuild.builds.get", "roles/cloudbuild.builds.editor", "follow a build"),
    Need("cloudbuild.builds.list", "roles/cloudbuild.builds.editor", "adopt a build that is already running"),
    Need("cloudbuild.builds.update", "roles/cloudbuild.builds.editor", "cancel a build"),
    Need("artifactregistry.repositories.get", "roles/artifactregistry.admin", "check the image repository"),
    Need("artifactregistry.repositories.create", "roles/artifactregistry.admin", "create it with immutable tags"),
    Need("artifactregistry.tags.get", "roles/artifactregistry.admin", "see which digest a version already names"),
    Need("artifactregistry.tags.create", "roles/artifactregistry.admin", "name an unchanged image by its new version"),
    Need("artifactregistry.versions.delete", "roles/artifactregistry.admin", "clean up images that nothing needs"),
    Need("storage.buckets.get", "roles/storage.admin", "check the build bucket"),
    Need("storage.buckets.create", "roles/storage.admin", "create it"),
    Need("storage.objects.create", "roles/storage.admin", "upload sources, write release records"),
    Need("storage.objects.get", "roles/storage.admin", "read build logs and release records"),
    Need("storage.objects.list", "roles/storage.admin", "read the release history"),
    Need("storage.objects.delete", "roles/storage.admin", "rewrite release records, clean up sources"),
    Need("serviceusage.services.get", "roles/serviceusage.serviceUsageConsumer", "see which APIs are enabled"),
    Need("logging.logEntries.list", "roles/logging.viewer", "show the last lines of a container that failed"),
    Need("monitoring.timeSeries.list", "roles/monitoring.viewer", "judge a candidate by its real requests"),
    Need("secretmanager.versions.get", "roles/secretmanager.viewer", "check that a secret's version exists"),
    Need("secretmanager.versions.list", "roles/secretmanager.viewer", "find a secret's newest enabled version"),
    Need("resourcemanager.projects.get", "roles/browser", "find the project's number"),
)
ENABLE = Need("serviceusage.services.enable", "roles/serviceusage.serviceUsageAdmin", "enable APIs that are off")

REQUIRED_APIS = (
    "artifactregistry.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
)
