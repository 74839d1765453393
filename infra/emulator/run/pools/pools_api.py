"""google.cloud.run.v2.WorkerPools."""

from __future__ import annotations

from typing import Any

from google.cloud import run_v2

from infra.emulator.iam.admission import Admission
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.projects.locations import check_location
from infra.emulator.run.fields import merged
from infra.emulator.run.lifecycle import check_etag
from infra.emulator.run.names import PoolName
from infra.emulator.run.paging import page_of
from infra.emulator.run.policies_api import HOST, with_policies
from infra.emulator.run.pools.system import CloudPools

POOLS = "google.cloud.run.v2.WorkerPools"
ListWorkerPoolsResponse: Any = run_v2.ListWorkerPoolsResponse.pb()


@with_policies(POOLS, "run.workerpools", PoolName.kind)
class WorkerPools:
    def __init__(self, cloud: Cloud) -> None:
        self._state, self._lifecycle = cloud.get(CloudPools).state, cloud.get(CloudPools).lifecycle
        self._admission, self.policies = cloud.get(Admission), cloud.get(Policies)

    def find(self, name: str) -> Any:
        return self._state.owner(name)

    @rpc(f"{POOLS}/CreateWorkerPool", permission="run.workerpools.create", resource="parent")
    async def create(self, request: Any, call: Call) -> Any:
        check_location(request.parent)
        name = f"{request.parent}/workerPools/{request.worker_pool_id}"
        return self._lifecycle.create(name, request.worker_pool, call.principal, validate_only=request.validate_only)

    @rpc(f"{POOLS}/GetWorkerPool", permission="run.workerpools.get")
    async def get(self, request: Any, _: Call) -> Any:
        return self.find(request.name)

    @rpc(f"{POOLS}/ListWorkerPools", permission="run.workerpools.list", resource="parent")
    async def list(self, request: Any, _: Call) -> Any:
        pools, token = page_of(self._state.pools, request, "workerPools")
        return ListWorkerPoolsResponse(worker_pools=pools, next_page_token=token)

    @rpc(f"{POOLS}/UpdateWorkerPool", permission="run.workerpools.update", resource="worker_pool.name")
    async def update(self, request: Any, call: Call) -> Any:
        given, name, dry = request.worker_pool, request.worker_pool.name, request.validate_only
        if request.allow_missing and name not in self._state.pools:
            self._admission.require(call.principal, "run.workerpools.create", PoolName.parse(name).parent, HOST)
            return self._lifecycle.create(name, given, call.principal, validate_only=dry)
        current = self.find(name)
        check_etag(current, given.etag)
        wanted = merged(current, given, request.update_mask.paths)
        anew = request.force_new_revision
        return self._lifecycle.update(name, wanted, call.principal, validate_only=dry, anew=anew)

    @rpc(f"{POOLS}/DeleteWorkerPool", permission="run.workerpools.delete")
    async def delete(self, request: Any, _: Call) -> Any:
        return self._lifecycle.delete(request.name, request.etag, validate_only=request.validate_only)
