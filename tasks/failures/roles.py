"""What a deployer must be allowed to do: permission -> the smallest predefined role that has it, and why.

docs/reference/roles.md is made from this. Roles: https://cloud.google.com/iam/docs/roles-permissions
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class On(StrEnum):
    """The smallest thing on which a permission can be given; one on the project counts everywhere in it."""

    PROJECT = "project"
    SERVICE = "service"
    JOB = "job"
    POOL = "worker pool"
    REPOSITORY = "repository"
    BUCKET = "bucket"
    SECRET = "secret"  # noqa: S105 - a kind of resource


class When(StrEnum):
    """What makes a permission necessary. Without it only runs that need it are stopped."""

    ALWAYS = "always"
    ABSENT = "absent"  # what it is held on is not there yet
    OPENING = "opening"  # somebody is to be let in who may not call a service yet
    ASKING = "asking"  # a private service is asked whether it is healthy, as whom we act as
    CANARY = "canary"
    HELPFUL = "helpful"  # the run does without it, and says so


@dataclass(frozen=True, slots=True)
class Need:
    permission: str
    role: str
    why: str
    on: On = On.PROJECT
    when: When = When.ALWAYS


ACT_AS = Need(
    "iam.serviceAccounts.actAs", "roles/iam.serviceAccountUser", "revisions, jobs and builds run as a service account"
)
MAKE_TOKENS = Need(
    "iam.serviceAccounts.getOpenIdToken",
    "roles/iam.serviceAccountOpenIdTokenCreator",
    "ask private services whether they are healthy",
)
INVOKE = Need(
    "run.routes.invoke", "roles/run.invoker", "ask private services whether they are healthy", On.SERVICE, When.ASKING
)
READ_SECRET = Need("secretmanager.versions.access", "roles/secretmanager.secretAccessor", "read the secret", On.SECRET)

_RUN, _BUILDS, _IMAGES, _STORAGE = (
    "roles/run.admin", "roles/cloudbuild.builds.editor", "roles/artifactregistry.admin", "roles/storage.admin"
)  # fmt: skip

NEEDS = (
    Need("run.services.get", _RUN, "read what is live", On.SERVICE),
    Need("run.services.list", _RUN, "check quota headroom", when=When.HELPFUL),
    Need("run.services.create", _RUN, "create a service on its first deployment", On.SERVICE, When.ABSENT),
    Need("run.services.update", _RUN, "deploy revisions and move traffic", On.SERVICE),
    Need("run.services.getIamPolicy", _RUN, "see who may call a service", On.SERVICE),
    Need("run.services.setIamPolicy", _RUN, "let callers in once a service is proven", On.SERVICE, When.OPENING),
    INVOKE,
    Need("run.revisions.get", _RUN, "find a revision that is deployed already", On.SERVICE),
    Need("run.revisions.list", _RUN, "keep the number of revisions bounded", On.SERVICE),
    Need("run.revisions.delete", _RUN, "clean up revisions that nothing needs", On.SERVICE, When.HELPFUL),
    Need("run.jobs.get", _RUN, "see what a job is", On.JOB),
    Need("run.jobs.create", _RUN, "create a job on its first deployment", On.JOB, When.ABSENT),
    Need("run.jobs.update", _RUN, "deploy jobs", On.JOB),
    Need("run.jobs.run", _RUN, "run jobs as hooks", On.JOB),
    Need("run.executions.get", _RUN, "see how an execution ended", On.JOB),
    Need("run.executions.cancel", _RUN, "stop it with the run", On.JOB),
    Need("run.workerpools.get", _RUN, "see how a worker pool is", On.POOL),
    Need("run.workerpools.create", _RUN, "create a worker pool on its first deployment", On.POOL, When.ABSENT),
    Need("run.workerpools.update", _RUN, "deploy worker pools and share out their instances", On.POOL),
    Need("cloudbuild.builds.create", _BUILDS, "build images"),
    Need("cloudbuild.builds.get", _BUILDS, "follow a build"),
    Need("cloudbuild.builds.list", _BUILDS, "adopt a build that is already running"),
    Need("cloudbuild.builds.update", _BUILDS, "cancel a build"),
    Need("artifactregistry.repositories.get", _IMAGES, "check the image repository", On.REPOSITORY),
    Need("artifactregistry.repositories.create", _IMAGES, "create it with immutable tags", On.REPOSITORY, When.ABSENT),
    Need("artifactregistry.tags.get", _IMAGES, "see which digest a version already names", On.REPOSITORY),
    Need("artifactregistry.tags.create", _IMAGES, "name an unchanged image by its new version", On.REPOSITORY),
    Need(
        "artifactregistry.versions.delete", _IMAGES, "clean up images that nothing needs", On.REPOSITORY, When.HELPFUL
    ),
    Need("storage.buckets.get", _STORAGE, "check the build bucket", On.BUCKET),
    Need("storage.buckets.create", _STORAGE, "create it", On.BUCKET, When.ABSENT),
    Need("storage.objects.create", _STORAGE, "upload sources, write release records", On.BUCKET),
    Need("storage.objects.get", _STORAGE, "read build logs and release records", On.BUCKET),
    Need("storage.objects.list", _STORAGE, "read the release history", On.BUCKET),
    Need("storage.objects.update", _STORAGE, "show that a release is under way", On.BUCKET),
    Need("storage.objects.delete", _STORAGE, "rewrite release records, clean up sources", On.BUCKET),
    Need("serviceusage.services.get", "roles/serviceusage.serviceUsageConsumer", "see which APIs are enabled"),
    Need(
        "logging.logEntries.list",
        "roles/logging.viewer",
        "show the last lines of a container that failed",
        when=When.HELPFUL,
    ),
    Need(
        "monitoring.timeSeries.list", "roles/monitoring.viewer", "judge a canary by its real requests", when=When.CANARY
    ),
    Need("secretmanager.versions.get", "roles/secretmanager.viewer", "check that a secret's version exists", On.SECRET),
    Need("secretmanager.versions.list", "roles/secretmanager.viewer", "find its newest enabled version", On.SECRET),
    Need("resourcemanager.projects.get", "roles/browser", "find the project's number"),
)
WATCH = Need(
    "logging.logEntries.list", "roles/logging.viewer", "see whether a worker pool's instances end by themselves"
)
# To have a bill of materials written takes no more: ExportSBOM is DATA_READ, and occurrences.create is not.
# https://cloud.google.com/artifact-analysis/docs/artifact-analysis-audit-logging
LOOK_INTO = Need(
    "containeranalysis.occurrences.list",
    "roles/containeranalysis.occurrences.viewer",
    "see what was found in images, what is in them and where they come from",
)
KEEP = (  # how everything is set
    Need("run.services.list", _RUN, "keep how services are set before a release"),
    Need("run.jobs.list", _RUN, "keep how jobs are set before a release"),
    Need("run.jobs.getIamPolicy", _RUN, "keep who may run jobs"),
    Need("run.workerpools.list", _RUN, "keep how worker pools are set before a release"),
    Need("run.workerpools.getIamPolicy", _RUN, "keep who may change worker pools"),
    Need(
        "cloudscheduler.jobs.list",
        "roles/cloudscheduler.viewer",
        "keep which schedules call the app",
        when=When.HELPFUL,
    ),
)
_SQL = "roles/cloudsql.editor"
KEEP_DATABASES = (
    Need("cloudsql.instances.get", _SQL, "see what a database can be brought back to"),
    Need("cloudsql.backupRuns.create", _SQL, "back up a database before a release"),
    Need("cloudsql.backupRuns.list", _SQL, "find a backup that was begun"),
)
ENABLE = Need("serviceusage.services.enable", "roles/serviceusage.serviceUsageAdmin", "enable APIs that are off")

BUILD = "cloudbuild.googleapis.com"  # where images are made
REQUIRED_APIS = (
    "artifactregistry.googleapis.com",
    BUILD,
    "cloudresourcemanager.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
)
SCANS = ("containeranalysis.googleapis.com", "containerscanning.googleapis.com")  # what is found in images, and by whom
DATABASES = "sqladmin.googleapis.com"  # where backups of databases are made
MONITORING = "monitoring.googleapis.com"  # where canaries are judged
CREDENTIALS = "iamcredentials.googleapis.com"  # where tokens of another account are made
