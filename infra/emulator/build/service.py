"""google.devtools.cloudbuild.v1.CloudBuild, regional and global."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from typing import Any

from google.cloud.devtools import cloudbuild_v1
from google.longrunning import operations_pb2
from google.rpc.code_pb2 import Code

from infra.emulator.build import filters, source, substitutions, validation
from infra.emulator.build.buildah import Buildah
from infra.emulator.build.builders import Workshop
from infra.emulator.build.choice import Reach
from infra.emulator.build.execution import Execution
from infra.emulator.build.processes import Processes
from infra.emulator.build.queue import Queue
from infra.emulator.build.records import (
    ONGOING,
    Builds,
    Logging,
    LogsBehavior,
    Status,
    built_in,
    default_logs_bucket,
    operation_names,
)
from infra.emulator.build.substitutions import BuildPb
from infra.emulator.cloud import Call, Cloud, rpc
from infra.emulator.errors import RpcError, failed_precondition, invalid
from infra.emulator.mirror import Mirror
from infra.emulator.projects import Project

HOST = "cloudbuild.googleapis.com"
SERVICE = "google.devtools.cloudbuild.v1.CloudBuild"
BUILDER_ROLE = "roles/cloudbuild.builds.builder"
PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
LOCATION = re.compile(r"projects/[^/]+/locations/([a-z]+[a-z0-9-]*)(?:/.*)?")
ListBuildsResponse: Any = cloudbuild_v1.ListBuildsResponse.pb()


class CloudBuild:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._builds = Builds(cloud)
        self._processes = Processes(cloud.store)
        self._queue = Queue(cloud.behaviour)
        self._workshop = Workshop(Buildah(cloud.data, self._processes), Mirror(cloud.data), Reach())
        self._running: dict[str, Execution] = {}
        self._granted = cloud.store.values("build-accounts")  # projects whose build account has had its role
        cloud.on_start.append(self._on_start)
        cloud.on_stop.append(self._on_stop)

    @rpc(f"{SERVICE}/CreateBuild", resource="")
    async def create(self, request: Any, call: Call) -> operations_pb2.Operation:
        project, location = self._place(request.parent or f"projects/{request.project_id}/locations/global")
        self._cloud.require(call.principal, "cloudbuild.builds.create", f"projects/{project.id}", HOST)
        return self._create(project, location, request.build, call)

    @rpc(f"{SERVICE}/RetryBuild", resource="")
    async def retry(self, request: Any, call: Call) -> operations_pb2.Operation:
        """A new build from what the old one was made of."""
        old = self._find(request, "cloudbuild.builds.create", call)
        project, location = self._place(old.name)
        return self._create(project, location, self._builds.request(old.name), call)

    @rpc(f"{SERVICE}/GetBuild", resource="")
    async def get(self, request: Any, call: Call) -> BuildPb:
        return self._find(request, "cloudbuild.builds.get", call)

    @rpc(f"{SERVICE}/ListBuilds", resource="")
    async def list_builds(self, request: Any, call: Call) -> Any:
        project, location = self._place(request.parent or f"projects/{request.project_id}/locations/global")
        self._cloud.require(call.principal, "cloudbuild.builds.list", f"projects/{project.id}", HOST)
        size = min(request.page_size or PAGE_SIZE, MAX_PAGE_SIZE)
        keep = filters.parse(request.filter)
        builds, token = self._builds.newest(
            f"projects/{project.id}/locations/{location}", size, request.page_token, keep
        )
        return ListBuildsResponse(builds=builds, next_page_token=token)

    @rpc(f"{SERVICE}/CancelBuild", resource="")
    async def cancel(self, request: Any, call: Call) -> BuildPb:
        build = self._find(request, "cloudbuild.builds.update", call)
        await self._cancel(build)
        return self._builds.get(build.name)

    @rpc(f"{SERVICE}/ListBuildTriggers", resource="")
    async def list_triggers(self, request: Any, _: Call) -> Any:
        self._place(request.parent or f"projects/{request.project_id}/locations/global")
        return cloudbuild_v1.ListBuildTriggersResponse.pb()()

    @rpc(f"{SERVICE}/ListWorkerPools", resource="")
    async def list_worker_pools(self, request: Any, _: Call) -> Any:
        self._place(request.parent)
        return cloudbuild_v1.ListWorkerPoolsResponse.pb()()

    @rpc(f"{SERVICE}/GetDefaultServiceAccount", resource="")
    async def get_default_service_account(self, request: Any, _: Call) -> Any:
        project, _location = self._place(request.name)
        email = build_account(project)
        return cloudbuild_v1.DefaultServiceAccount.pb()(
            name=request.name, service_account_email=f"projects/{project.id}/serviceAccounts/{email}"
        )

    # What the handlers share

    def _place(self, name: str) -> tuple[Project, str]:
        """Project and location of a resource name; raises if the project is unknown or the API is off."""
        match = LOCATION.fullmatch(name)
        if match is None:
            raise invalid(f"invalid resource name: {name}")
        project = self._cloud.projects.find(name)
        self._cloud.projects.require(project, HOST)
        return project, match[1]

    def _find(self, request: Any, permission: str, call: Call) -> BuildPb:
        """The build that a request names in either way. The old way knows global builds alone."""
        name = request.name or f"projects/{request.project_id}/locations/global/builds/{request.id}"
        project, location = self._place(name)
        self._cloud.require(call.principal, permission, f"projects/{project.id}", HOST)
        return self._builds.get(f"projects/{project.id}/locations/{location}/builds/{name.rsplit('/', 1)[-1]}")

    def _create(self, project: Project, location: str, request: BuildPb, call: Call) -> operations_pb2.Operation:
        validation.check(request)
        self._grant_build_account(project)
        build = self._builds.create(project, location, request, build_account(project))
        substitutions.substitute(build, built_in(self._cloud, build))
        account = build.service_account.rsplit("/", 1)[-1]
        self._check_account(project, request, account, call)
        source.resolve(self._cloud, build, account)
        self._prepare_logs_bucket(project, location, build)
        operation = self._builds.put(build)
        execution = Execution(self._cloud, self._builds, self._processes, self._queue, self._workshop, build)
        self._running[build.name] = execution
        execution.start().add_done_callback(lambda _: self._forget(build))
        for name in operation_names(build):
            self._cloud.operations.canceller[name] = lambda _: self._cancel_in_background(build.name)
        return operation

    def _forget(self, build: BuildPb) -> None:
        self._running.pop(build.name, None)
        for name in operation_names(build):
            self._cloud.operations.canceller.pop(name, None)

    def _check_account(self, project: Project, request: BuildPb, account: str, call: Call) -> None:
        """A service account of one's own: the caller must be allowed to act as it, and logs need a place."""
        if not request.service_account:
            return
        resource = f"projects/{project.id}/serviceAccounts/{account}"
        if not self._cloud.policies.allowed(call.principal, "iam.serviceAccounts.actAs", resource):
            text = f"caller does not have permission to act as service account {resource}"
            raise RpcError(Code.PERMISSION_DENIED, text)
        options = request.options
        if (
            not request.logs_bucket
            and options.logging not in (Logging.CLOUD_LOGGING_ONLY, Logging.NONE)
            and options.default_logs_bucket_behavior != LogsBehavior.REGIONAL_USER_OWNED_BUCKET
        ):
            raise invalid(
                "if 'build.service_account' is specified, the build must either (a) specify 'build.logs_bucket', "
                "(b) use the REGIONAL_USER_OWNED_BUCKET build.options.default_logs_bucket_behavior option, or (c) "
                "use either CLOUD_LOGGING_ONLY / NONE logging options"
            )

    def _prepare_logs_bucket(self, project: Project, location: str, build: BuildPb) -> None:
        bucket = build.logs_bucket.removeprefix("gs://").partition("/")[0]
        if not bucket or self._cloud.objects.exists(bucket):
            return
        if bucket != default_logs_bucket(build, project, location):
            raise failed_precondition(
                f'invalid bucket "{bucket}"; default Cloud Build service account or user-specified service account '
                "does not have access to the bucket"
            )
        self._cloud.objects.create_bucket(bucket, project.id, "US" if location == "global" else location)

    def _grant_build_account(self, project: Project) -> None:
        """Google gives the account its role once; taken away, it stays away."""
        if project.id not in self._granted:
            self._granted.put(project.id, True)
            member = f"serviceAccount:{build_account(project)}"
            self._cloud.policies.grant(f"projects/{project.id}", BUILDER_ROLE, member)

    async def _cancel(self, build: BuildPb) -> None:
        if build.status not in ONGOING or build.name not in self._running:
            raise failed_precondition(f"Cannot cancel build {build.id}: it is in state {Status(build.status).name}")
        await self._running[build.name].cancel()

    def _cancel_in_background(self, name: str) -> None:
        if name in self._running:
            self._cloud.background.spawn(self._running[name].cancel())

    async def _on_start(self) -> None:
        """Builds that were under way when the emulator ended went with it, their processes too."""
        self._processes.end_leftovers()
        await asyncio.to_thread(shutil.rmtree, self._cloud.data / "builds", ignore_errors=True)
        for project in self._cloud.projects.all():
            self._grant_build_account(project)
        for build in self._builds.all():
            if build.status in ONGOING:
                build.status, build.status_detail = Status.INTERNAL_ERROR, "the local Google Cloud was restarted"
                build.finish_time.GetCurrentTime()
                self._builds.put(build)

    async def _on_stop(self) -> None:
        for execution in list(self._running.values()):
            with contextlib.suppress(RpcError):
                await execution.stop()


def build_account(project: Project) -> str:
    return f"{project.number}@cloudbuild.gserviceaccount.com"
