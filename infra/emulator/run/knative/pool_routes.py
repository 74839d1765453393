"""The v1 paths by which gcloud lists worker pools and replaces them: by namespace, on a region's own host or on all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call, route
from infra.emulator.projects.projects import Projects
from infra.emulator.run.knative import pools_in, pools_out
from infra.emulator.run.knative.requests import HOST, Gate, body_of, check_version, deleted, is_dry, page, within
from infra.emulator.run.pools.system import CloudPools
from infra.emulator.run.state import PoolPb

NAMESPACE = "/apis/run.googleapis.com/v1/namespaces/{namespace}/workerpools"


def _door(verb: str, path: str, method: str) -> Callable[[Any], Any]:
    return route(verb, NAMESPACE + path, method=f"run.namespaces.workerpools.{method}", host=HOST)


class KnativePools:
    def __init__(self, cloud: Cloud) -> None:
        self._state, self._lifecycle = cloud.get(CloudPools).state, cloud.get(CloudPools).lifecycle
        self._projects, self._gate = cloud.get(Projects), Gate(cloud)

    @_door("GET", "", "list")
    async def list_pools(self, request: web.Request, call: Call, namespace: str) -> web.Response:
        """On the global host those of every region, as gcloud asks for them without one."""
        parent = self._gate.admit(call, namespace, "-" if call.host.startswith(HOST) else "", "run.workerpools.list")
        number = self._projects.find(namespace).number
        found = (pools_out.pool(pool, number) for pool in within(self._state.pools, parent, "workerPools"))
        return page(request, "WorkerPool", found, pools_out.API)

    @_door("POST", "", "create")
    async def create_pool(self, request: web.Request, call: Call, namespace: str) -> web.Response:
        parent = self._gate.admit(call, namespace, "", "run.workerpools.create")
        body = await body_of(request)
        name = f"{parent}/workerPools/{(body.get('metadata') or {}).get('name', '')}"
        made = self._lifecycle.create(name, pools_in.pool(body), call.principal, validate_only=is_dry(request))
        return self._answer(_subject(made))

    @_door("GET", "/{name}", "get")
    async def get_pool(self, _: web.Request, call: Call, namespace: str, name: str) -> web.Response:
        return self._answer(self._state.owner(self._named(call, namespace, name, "get")))

    @_door("PUT", "/{name}", "replaceWorkerPool")
    async def replace_pool(self, request: web.Request, call: Call, namespace: str, name: str) -> web.Response:
        full, body = self._named(call, namespace, name, "update"), await body_of(request)
        check_version(self._state.owner(full), body)
        made = self._lifecycle.update(full, pools_in.pool(body), call.principal, validate_only=is_dry(request))
        return self._answer(_subject(made))

    @_door("DELETE", "/{name}", "delete")
    async def delete_pool(self, _: web.Request, call: Call, namespace: str, name: str) -> web.Response:
        pool = self._state.owner(self._named(call, namespace, name, "delete"))
        self._lifecycle.delete(pool.name)
        return deleted(pool, "workerpool")

    def _named(self, call: Call, namespace: str, name: str, verb: str) -> str:
        parent = self._gate.admit(call, namespace, "", f"run.workerpools.{verb}", f"workerPools/{name}")
        return f"{parent}/workerPools/{name}"

    def _answer(self, pool: Any) -> web.Response:
        return web.json_response(pools_out.pool(pool, self._projects.find(pool.name).number))


def _subject(operation: Any) -> Any:
    pool = PoolPb()
    operation.metadata.Unpack(pool)
    return pool
