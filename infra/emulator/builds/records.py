"""Builds as they are stored and shown, and the long-running operations that mirror them."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from google.cloud.devtools import cloudbuild_v1
from google.longrunning import operations_pb2
from google.rpc.code_pb2 import Code

from infra.emulator.builds.substitutions import BuildPb
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import not_found
from infra.emulator.projects.projects import Project, Projects

Status = cloudbuild_v1.Build.Status
FailureType = cloudbuild_v1.Build.FailureInfo.FailureType
Logging = cloudbuild_v1.BuildOptions.LoggingMode
LogsBehavior = cloudbuild_v1.BuildOptions.DefaultLogsBucketBehavior
MetadataPb: Any = cloudbuild_v1.BuildOperationMetadata.pb()

ONGOING = frozenset({Status.PENDING, Status.QUEUED, Status.WORKING})
DEFAULT_TIMEOUT_S = 3600  # https://cloud.google.com/build/docs/build-config-file-schema#timeout
DEFAULT_QUEUE_TTL_S = 3600
NO_OBJECT_LOGS = frozenset({Logging.NONE, Logging.CLOUD_LOGGING_ONLY})

# How an operation ends for each way a build can end without success.
ERRORS = {
    Status.FAILURE: (Code.UNKNOWN, "Build failed; check build logs for details"),
    Status.INTERNAL_ERROR: (Code.INTERNAL, "Build failed because of an internal error"),
    Status.TIMEOUT: (Code.DEADLINE_EXCEEDED, "Build timed out; check build logs for details"),
    Status.CANCELLED: (Code.CANCELLED, "Build cancelled"),
    Status.EXPIRED: (Code.DEADLINE_EXCEEDED, "Build expired in the queue"),
}


class Builds:
    """The table of builds. Every `put` brings the build's operations along."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._table = cloud.store.messages("builds", BuildPb)
        self._requests = cloud.store.messages("build-requests", BuildPb)

    def create(self, project: Project, location: str, request: BuildPb, account: str) -> BuildPb:
        """A new build in the queue: `request` with everything filled in that Cloud Build fills in."""
        build = BuildPb()
        build.CopyFrom(request)
        build.id = str(uuid.uuid4())
        build.project_id = project.id
        build.name = f"projects/{project.id}/locations/{location}/builds/{build.id}"
        build.status = Status.QUEUED
        build.create_time.GetCurrentTime()
        build.log_url = _log_url(project, location, build.id)
        _fill_defaults(build, project, location, account)
        self._requests.put(build.name, request)
        return build

    def put(self, build: BuildPb) -> operations_pb2.Operation:
        """Stores the build; answers its operation."""
        self._table.put(build.name, build)
        for name in operation_names(build):
            self._cloud.operations.put(_operation(build, name))
        return _operation(build, operation_names(build)[0])

    def get(self, name: str) -> BuildPb:
        build = self._table.get(name)
        if build is None:
            raise not_found()
        return build

    def request(self, name: str) -> BuildPb:
        """What CreateBuild was given."""
        request = self._requests.get(name)
        if request is None:
            raise not_found()
        return request

    def all(self) -> Iterator[BuildPb]:
        return self._table.list()

    def newest(self, parent: str, size: int, token: str, keep: Callable[[BuildPb], bool]) -> tuple[list[BuildPb], str]:
        """A page of the builds under `parent`, newest first, and the token of the next one."""
        builds = [build for build in self._table.list(f"{parent}/builds/") if keep(build)]
        builds.sort(key=_age, reverse=True)
        if token:
            builds = [build for build in builds if _token(build) < token]
        page = builds[:size]
        return page, _token(page[-1]) if len(builds) > size else ""


def operation_names(build: BuildPb) -> tuple[str, str]:
    """The name that CreateBuild answers, and the one under which `gcloud run deploy --source` polls."""
    key = base64.b64encode(build.id.encode()).decode()
    parent = build.name.rsplit("/builds/", 1)[0]
    return f"operations/build/{build.project_id}/{key}", f"{parent}/operations/{build.id}"


def _operation(build: BuildPb, name: str) -> operations_pb2.Operation:
    operation = operations_pb2.Operation(name=name, done=build.status not in ONGOING)
    operation.metadata.Pack(MetadataPb(build=build))
    if build.status == Status.SUCCESS:
        operation.response.Pack(build)
    elif operation.done:
        operation.error.code, operation.error.message = ERRORS[build.status]
    return operation


def _age(build: BuildPb) -> tuple[int, str]:
    return build.create_time.ToNanoseconds(), build.id


def _token(build: BuildPb) -> str:
    nanoseconds, build_id = _age(build)
    return f"{nanoseconds:020}-{build_id}"


def _log_url(project: Project, location: str, build_id: str) -> str:
    region = "" if location == "global" else f";region={location}"
    return f"https://console.cloud.google.com/cloud-build/builds{region}/{build_id}?project={project.number}"


def _fill_defaults(build: BuildPb, project: Project, location: str, account: str) -> None:
    build.timeout.seconds = build.timeout.seconds or DEFAULT_TIMEOUT_S
    build.queue_ttl.seconds = build.queue_ttl.seconds or DEFAULT_QUEUE_TTL_S
    build.service_account = build.service_account or f"projects/{project.id}/serviceAccounts/{account}"
    build.options.logging = build.options.logging or Logging.LEGACY
    build.options.pool.SetInParent()
    images = list(build.images or build.artifacts.images)
    if images:
        build.images[:] = images
        build.artifacts.images[:] = images
    if build.options.logging in NO_OBJECT_LOGS:
        build.logs_bucket = ""
    elif not build.logs_bucket:
        build.logs_bucket = f"gs://{default_logs_bucket(build, project, location)}"
    elif not build.logs_bucket.startswith("gs://"):
        build.logs_bucket = f"gs://{build.logs_bucket}"


def default_logs_bucket(build: BuildPb, project: Project, location: str) -> str:
    if build.options.default_logs_bucket_behavior == LogsBehavior.REGIONAL_USER_OWNED_BUCKET:
        return f"{project.number}-{location}-cloudbuild-logs"
    return f"{project.number}.cloudbuild-logs.googleusercontent.com"


def built_in(cloud: Cloud, build: BuildPb) -> dict[str, str]:
    """The substitutions that Cloud Build sets itself."""
    project = cloud.get(Projects).find(build.project_id)
    return {
        "PROJECT_ID": project.id,
        "PROJECT_NUMBER": str(project.number),
        "BUILD_ID": build.id,
        "LOCATION": build.name.split("/")[3],
        "SERVICE_ACCOUNT": build.service_account,
        "SERVICE_ACCOUNT_EMAIL": build.service_account.rsplit("/", 1)[-1],
    }
