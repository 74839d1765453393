"""google.devtools.cloudbuild.v1.CloudBuild, regional and global, and Cloud Run's builds from source."""

from __future__ import annotations

import re
import uuid
from typing import Any

from google.cloud import run_v2
from google.cloud.devtools import cloudbuild_v1
from google.longrunning import operations_pb2

from infra.emulator.builds import filters, runsource
from infra.emulator.builds.dispatch import Dispatch, build_account
from infra.emulator.builds.records import Builds
from infra.emulator.builds.substitutions import BuildPb
from infra.emulator.iam.admission import Admission
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import invalid
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.projects.projects import Project, Projects

HOST = "cloudbuild.googleapis.com"
SERVICE = "google.devtools.cloudbuild.v1.CloudBuild"
PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
LOCATION = re.compile(r"projects/[^/]+/locations/([a-z]+[a-z0-9-]*)(?:/.*)?")
BuildTriggerPb: Any = cloudbuild_v1.BuildTrigger.pb()
ListTriggersResponse: Any = cloudbuild_v1.ListBuildTriggersResponse.pb()
ListBuildsResponse: Any = cloudbuild_v1.ListBuildsResponse.pb()


class CloudBuild:
    def __init__(self, cloud: Cloud) -> None:
        self._admission, self._projects = cloud.get(Admission), cloud.get(Projects)
        self._builds = Builds(cloud)
        self._triggers = cloud.store.messages("build-triggers", BuildTriggerPb)
        self._dispatch = Dispatch(cloud, self._builds)

    @rpc(f"{SERVICE}/CreateBuild", resource="")
    async def create(self, request: Any, call: Call) -> operations_pb2.Operation:
        project, location = self._place(request.parent or f"projects/{request.project_id}/locations/global")
        self._admission.require(call.principal, "cloudbuild.builds.create", f"projects/{project.id}", HOST)
        return self._dispatch.create(project, location, request.build, call.principal)

    @rpc(f"{SERVICE}/RetryBuild", resource="")
    async def retry(self, request: Any, call: Call) -> operations_pb2.Operation:
        """A new build from what the old one was made of."""
        old = self._find(request, "cloudbuild.builds.create", call)
        project, location = self._place(old.name)
        return self._dispatch.create(project, location, self._builds.request(old.name), call.principal)

    @rpc(f"{SERVICE}/GetBuild", resource="")
    async def get(self, request: Any, call: Call) -> BuildPb:
        return self._find(request, "cloudbuild.builds.get", call)

    @rpc(f"{SERVICE}/ListBuilds", resource="")
    async def list_builds(self, request: Any, call: Call) -> Any:
        project, location = self._place(request.parent or f"projects/{request.project_id}/locations/global")
        self._admission.require(call.principal, "cloudbuild.builds.list", f"projects/{project.id}", HOST)
        size = min(request.page_size or PAGE_SIZE, MAX_PAGE_SIZE)
        keep = filters.parse(request.filter)
        builds, token = self._builds.newest(
            f"projects/{project.id}/locations/{location}", size, request.page_token, keep
        )
        return ListBuildsResponse(builds=builds, next_page_token=token)

    @rpc(f"{SERVICE}/CancelBuild", resource="")
    async def cancel(self, request: Any, call: Call) -> BuildPb:
        build = self._find(request, "cloudbuild.builds.update", call)
        await self._dispatch.cancel(build)
        return self._builds.get(build.name)

    @rpc(f"{SERVICE}/ListBuildTriggers", resource="")
    async def list_triggers(self, request: Any, call: Call) -> Any:
        project, location = self._place(request.parent or f"projects/{request.project_id}/locations/global")
        self._admission.require(call.principal, "cloudbuild.builds.list", f"projects/{project.id}", HOST)
        start = f"projects/{project.id}/locations/{location}/triggers/"
        found, token = self._triggers.page(start, request.page_size or PAGE_SIZE, request.page_token)
        return ListTriggersResponse(triggers=found, next_page_token=token)

    @rpc(f"{SERVICE}/CreateBuildTrigger", resource="")
    async def create_trigger(self, request: Any, call: Call) -> Any:
        """What would start it never happens here: it is there to be listed."""
        project, location = self._place(request.parent or f"projects/{request.project_id}/locations/global")
        self._admission.require(call.principal, "cloudbuild.builds.create", f"projects/{project.id}", HOST)
        made = BuildTriggerPb()
        made.CopyFrom(request.trigger)
        made.id = str(uuid.uuid4())
        made.name = made.name or "trigger"
        made.resource_name = f"projects/{project.id}/locations/{location}/triggers/{made.id}"
        made.create_time.GetCurrentTime()
        self._triggers.put(made.resource_name, made)
        return made

    @rpc(f"{SERVICE}/ListWorkerPools", resource="")
    async def list_worker_pools(self, request: Any, _: Call) -> Any:
        self._place(request.parent)
        return cloudbuild_v1.ListWorkerPoolsResponse.pb()()

    @rpc(f"{SERVICE}/GetDefaultServiceAccount", resource="")
    async def get_default_service_account(self, request: Any, call: Call) -> Any:
        project, _location = self._place(request.name)
        self._admission.require(call.principal, "cloudbuild.builds.get", f"projects/{project.id}", HOST)
        email = build_account(project)
        return cloudbuild_v1.DefaultServiceAccount.pb()(
            name=request.name, service_account_email=f"projects/{project.id}/serviceAccounts/{email}"
        )

    @rpc("google.cloud.run.v2.Builds/SubmitBuild", resource="parent")
    async def submit(self, request: Any, call: Call) -> Any:
        """Answers the build's operation, which callers then poll at Cloud Build."""
        project, location = self._place(request.parent)
        self._admission.require(call.principal, "cloudbuild.builds.create", f"projects/{project.id}", HOST)
        operation = self._dispatch.create(project, location, runsource.build_request(request), call.principal)
        return run_v2.SubmitBuildResponse.pb()(build_operation=operation)

    # What the handlers share

    def _place(self, name: str) -> tuple[Project, str]:
        """Project and location of a resource name; raises if the project is unknown or the API is off."""
        match = LOCATION.fullmatch(name)
        if match is None:
            raise invalid(f"invalid resource name: {name}")
        project = self._projects.find(name)
        self._projects.require(project, HOST)
        return project, match[1]

    def _find(self, request: Any, permission: str, call: Call) -> BuildPb:
        """The build that a request names in either way. The old way knows global builds alone."""
        name = request.name or f"projects/{request.project_id}/locations/global/builds/{request.id}"
        project, location = self._place(name)
        self._admission.require(call.principal, permission, f"projects/{project.id}", HOST)
        return self._builds.get(f"projects/{project.id}/locations/{location}/builds/{name.rsplit('/', 1)[-1]}")
