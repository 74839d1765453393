"""Where builds begin and, cancelled or interrupted, end: what a request needs before it becomes a running build."""

from __future__ import annotations

import asyncio
import contextlib
import shutil

from google.longrunning import operations_pb2
from google.rpc.code_pb2 import Code

from infra.emulator.builds import source, substitutions, validation
from infra.emulator.builds.buildah import Buildah
from infra.emulator.builds.builders import Workshop
from infra.emulator.builds.choice import Reach
from infra.emulator.builds.execution import Execution
from infra.emulator.builds.mirror import Mirror
from infra.emulator.builds.processes import Processes
from infra.emulator.builds.queue import Queue
from infra.emulator.builds.records import (
    NO_OBJECT_LOGS,
    ONGOING,
    Builds,
    LogsBehavior,
    Status,
    built_in,
    default_logs_bucket,
    operation_names,
)
from infra.emulator.builds.substitutions import BuildPb
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError, failed_precondition, invalid
from infra.emulator.projects.projects import Project, Projects
from infra.emulator.storage.objects import Objects


def build_account(project: Project) -> str:
    """The service account that builds run as unless the request names one: in new projects Compute Engine's.

    https://cloud.google.com/build/docs/cloud-build-service-account-updates
    """
    return f"{project.number}-compute@developer.gserviceaccount.com"


class Dispatch:
    def __init__(self, cloud: Cloud, builds: Builds) -> None:
        self._cloud, self._builds = cloud, builds
        self._policies, self._objects, self._projects = cloud.get(Policies), cloud.get(Objects), cloud.get(Projects)
        self._processes = Processes(cloud.store)
        self._queue = Queue(cloud.behaviour)
        self._workshop = Workshop(Buildah(cloud.data, self._processes), Mirror(cloud.data), Reach())
        self._running: dict[str, Execution] = {}
        cloud.on_start.append(self._on_start)
        cloud.on_stop.append(self._on_stop)

    def create(self, project: Project, location: str, request: BuildPb, principal: str) -> operations_pb2.Operation:
        """Puts a new build into the queue; raises RpcError for one that Cloud Build would not accept."""
        validation.check(request)
        build = self._builds.create(project, location, request, build_account(project))
        substitutions.substitute(build, built_in(self._cloud, build))
        account = build.service_account.rsplit("/", 1)[-1]
        self._check_account(project, request, account, principal)
        source.resolve(self._cloud, build, account)
        self._prepare_logs_bucket(project, location, build)
        operation = self._builds.put(build)
        self._start(build)
        return operation

    async def cancel(self, build: BuildPb) -> None:
        """Returns when the build is over; raises FAILED_PRECONDITION if it is already."""
        if build.status not in ONGOING or build.name not in self._running:
            raise failed_precondition(f"Cannot cancel build {build.id}: it is in state {Status(build.status).name}")
        await self._running[build.name].cancel()

    def _start(self, build: BuildPb) -> None:
        execution = Execution(self._cloud, self._builds, self._processes, self._queue, self._workshop, build)
        self._running[build.name] = execution
        execution.start().add_done_callback(lambda _: self._forget(build))
        for name in operation_names(build):
            self._cloud.operations.canceller[name] = lambda _: self._cancel_in_background(execution)

    def _cancel_in_background(self, execution: Execution) -> None:
        self._cloud.background.spawn(execution.cancel())

    def _forget(self, build: BuildPb) -> None:
        self._running.pop(build.name, None)
        for name in operation_names(build):
            self._cloud.operations.canceller.pop(name, None)

    def _check_account(self, project: Project, request: BuildPb, account: str, principal: str) -> None:
        """The caller must be allowed to act as it; and where it is named, logs need a place."""
        resource = f"projects/{project.id}/serviceAccounts/{account}"
        if not self._policies.allowed(principal, "iam.serviceAccounts.actAs", resource):
            text = f"caller does not have permission to act as service account {resource}"
            raise RpcError(Code.PERMISSION_DENIED, text)
        if not request.service_account:
            return
        regional = request.options.default_logs_bucket_behavior == LogsBehavior.REGIONAL_USER_OWNED_BUCKET
        if not request.logs_bucket and not regional and request.options.logging not in NO_OBJECT_LOGS:
            raise invalid(
                "if 'build.service_account' is specified, the build must either (a) specify 'build.logs_bucket', "
                "(b) use the REGIONAL_USER_OWNED_BUCKET build.options.default_logs_bucket_behavior option, or (c) "
                "use either CLOUD_LOGGING_ONLY / NONE logging options"
            )

    def _prepare_logs_bucket(self, project: Project, location: str, build: BuildPb) -> None:
        bucket = build.logs_bucket.removeprefix("gs://").partition("/")[0]
        if not bucket or self._may_log(build, bucket):
            return
        if self._objects.exists(bucket) or bucket != default_logs_bucket(build, project, location):
            raise failed_precondition(
                f'invalid bucket "{bucket}"; default Cloud Build service account or user-specified service account '
                "does not have access to the bucket"
            )
        self._objects.create_bucket(bucket, project.id, "US" if location == "global" else location)

    def _may_log(self, build: BuildPb, bucket: str) -> bool:
        """Whether the build's account may write into the bucket; into the one that Google makes, every build may."""
        if not self._objects.exists(bucket):
            return False
        project_id = self._objects.buckets.project_of(bucket)
        project, location = self._projects.find(f"projects/{build.project_id}"), build.name.split("/")[3]
        if bucket == default_logs_bucket(build, project, location):
            return True
        account, resource = build.service_account.rsplit("/", 1)[-1], f"projects/{project_id}/buckets/{bucket}"
        return self._policies.allowed(account, "storage.objects.create", resource)

    async def _on_start(self) -> None:
        """Builds that were under way when the emulator ended went with it, their processes too."""
        self._processes.end_leftovers()
        await asyncio.to_thread(shutil.rmtree, self._cloud.data / "builds", ignore_errors=True)
        for build in self._builds.all():
            if build.status in ONGOING:
                build.status, build.status_detail = Status.INTERNAL_ERROR, "the local Google Cloud was restarted"
                build.finish_time.GetCurrentTime()
                self._builds.put(build)

    async def _on_stop(self) -> None:
        for execution in list(self._running.values()):
            with contextlib.suppress(RpcError):
                await execution.stop()
