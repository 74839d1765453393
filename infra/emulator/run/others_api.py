"""Kinds of Cloud Run that are not emulated: there are none of them, and who asks is told so."""

from __future__ import annotations

from typing import Any

from google.cloud import run_v2

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.run.state import missing

API = "google.cloud.run.v2"
ListJobsResponse: Any = run_v2.ListJobsResponse.pb()
ListWorkerPoolsResponse: Any = run_v2.ListWorkerPoolsResponse.pb()


class OtherKinds:
    def __init__(self, _: Cloud) -> None: ...

    @rpc(f"{API}.Jobs/ListJobs", permission="run.jobs.list", resource="parent")
    async def list_jobs(self, _: Any, __: Call) -> Any:
        return ListJobsResponse()

    @rpc(f"{API}.Jobs/GetJob", permission="run.jobs.get")
    async def get_job(self, request: Any, _: Call) -> Any:
        raise missing(request.name, "JOB")

    @rpc(f"{API}.WorkerPools/ListWorkerPools", permission="run.workerpools.list", resource="parent")
    async def list_worker_pools(self, _: Any, __: Call) -> Any:
        return ListWorkerPoolsResponse()

    @rpc(f"{API}.WorkerPools/GetWorkerPool", permission="run.workerpools.get")
    async def get_worker_pool(self, request: Any, _: Call) -> Any:
        raise missing(request.name, "WORKERPOOL")
