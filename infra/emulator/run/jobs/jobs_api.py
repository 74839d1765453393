"""google.cloud.run.v2.Jobs."""

from __future__ import annotations

from typing import Any

from google.cloud import run_v2

from infra.emulator.iam.admission import Admission
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.projects.locations import check_location
from infra.emulator.run.jobs.names import JobName
from infra.emulator.run.jobs.system import CloudJobs
from infra.emulator.run.paging import page_of
from infra.emulator.run.policies_api import HOST, with_policies

JOBS = "google.cloud.run.v2.Jobs"
ListJobsResponse: Any = run_v2.ListJobsResponse.pb()


@with_policies(JOBS, "run.jobs", "jobs")
class Jobs:
    def __init__(self, cloud: Cloud) -> None:
        self._state, self._lifecycle = cloud.get(CloudJobs).state, cloud.get(CloudJobs).lifecycle
        self._admission, self.policies = cloud.get(Admission), cloud.get(Policies)

    def find(self, name: str) -> Any:
        return self._state.job(name)

    @rpc(f"{JOBS}/CreateJob", permission="run.jobs.create", resource="parent")
    async def create(self, request: Any, call: Call) -> Any:
        check_location(request.parent)
        name = f"{request.parent}/jobs/{request.job_id}"
        return self._lifecycle.create(name, request.job, call.principal, validate_only=request.validate_only)

    @rpc(f"{JOBS}/GetJob", permission="run.jobs.get")
    async def get(self, request: Any, _: Call) -> Any:
        return self._state.job(request.name)

    @rpc(f"{JOBS}/ListJobs", permission="run.jobs.list", resource="parent")
    async def list(self, request: Any, _: Call) -> Any:
        jobs, token = page_of(self._state.jobs, request, "jobs")
        return ListJobsResponse(jobs=jobs, next_page_token=token)

    @rpc(f"{JOBS}/UpdateJob", permission="run.jobs.update", resource="job.name")
    async def update(self, request: Any, call: Call) -> Any:
        name = request.job.name
        if request.allow_missing and name not in self._state.jobs:
            self._admission.require(call.principal, "run.jobs.create", JobName.parse(name).parent, HOST)
            return self._lifecycle.create(name, request.job, call.principal, validate_only=request.validate_only)
        return self._lifecycle.update(name, request.job, call.principal, validate_only=request.validate_only)

    @rpc(f"{JOBS}/DeleteJob", permission="run.jobs.delete")
    async def delete(self, request: Any, _: Call) -> Any:
        return self._lifecycle.delete(request.name, request.etag, validate_only=request.validate_only)

    @rpc(f"{JOBS}/RunJob", permission="run.jobs.run")
    async def run(self, request: Any, call: Call) -> Any:
        if request.HasField("overrides"):
            self._admission.require(call.principal, "run.jobs.runWithOverrides", request.name, HOST)
        return self._lifecycle.run(
            request.name, request.overrides, request.etag, call.principal, validate_only=request.validate_only
        )
