"""container.googleapis.com v1: clusters, as far as clients need them to reach an API server."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from infra.emulator.iam.admission import Admission
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import invalid
from infra.emulator.kernel.handlers import Call, route
from infra.emulator.kubernetes.clusters import Clusters
from infra.emulator.kubernetes.door import KubernetesDoor
from infra.emulator.projects.projects import Projects

HOST = "container.googleapis.com"
PATH = "/v1/projects/{project}/locations/{location}"


class ContainerEngine:
    def __init__(self, cloud: Cloud) -> None:
        self._projects, self._admission, self._clusters = cloud.get(Projects), cloud.get(Admission), cloud.get(Clusters)
        KubernetesDoor(cloud)

    @route("GET", f"{PATH}/clusters/{{cluster}}", method="container.clusters.get", host=HOST)
    async def get(self, _: web.Request, call: Call, project: str, location: str, cluster: str) -> web.Response:
        name = self._admitted(call, project, "container.clusters.get", location, cluster)
        return web.json_response(self._clusters.shown(self._clusters.find(name)))

    @route("GET", f"{PATH}/clusters", method="container.clusters.list", host=HOST)
    async def list(self, _: web.Request, call: Call, project: str, location: str) -> web.Response:
        self._admitted(call, project, "container.clusters.list", location)
        found = self._clusters.within(self._projects.find(project).id, location)
        return web.json_response({"clusters": [self._clusters.shown(row) for row in found]} if found else {})

    @route("POST", f"{PATH}/clusters", method="container.clusters.create", host=HOST)
    async def create(self, request: web.Request, call: Call, project: str, location: str) -> web.Response:
        """Without nodes, and ready at once."""
        name = str((await request.json()).get("cluster", {}).get("name", ""))
        if not name:
            raise invalid("Cluster.name must be specified.", "cluster.name")
        full = self._admitted(call, project, "container.clusters.create", location, name)
        self._clusters.create(full)
        return web.json_response(self._operation(full, "CREATE_CLUSTER"))

    @route("DELETE", f"{PATH}/clusters/{{cluster}}", method="container.clusters.delete", host=HOST)
    async def delete(self, _: web.Request, call: Call, project: str, location: str, cluster: str) -> web.Response:
        full = self._admitted(call, project, "container.clusters.delete", location, cluster)
        self._clusters.delete(full)
        return web.json_response(self._operation(full, "DELETE_CLUSTER"))

    @route("GET", f"{PATH}/operations/{{operation}}", method="container.operations.get", host=HOST)
    async def operation(self, _: web.Request, call: Call, project: str, location: str, operation: str) -> web.Response:
        self._admitted(call, project, "container.operations.get", location)
        place = f"projects/{project}/locations/{location}/clusters/none"
        return web.json_response({**self._operation(place, "CREATE_CLUSTER"), "name": operation})

    def _admitted(self, call: Call, project: str, permission: str, location: str, cluster: str = "") -> str:
        """The full name, by the project's id."""
        name = f"projects/{project}"
        self._admission.require_usable(name, HOST, permission)
        self._admission.require(call.principal, permission, name, HOST)
        return f"projects/{self._projects.find(project).id}/locations/{location}/clusters/{cluster}"

    def _operation(self, full: str, what: str) -> dict[str, Any]:
        _, project, _, location, _, _ = full.split("/")
        name = f"operation-{time.time_ns()}"
        place = f"https://{HOST}/v1/projects/{self._projects.find(project).number}/locations/{location}"
        return {
            "name": name,
            "zone": location,
            "location": location,
            "operationType": what,
            "status": "DONE",
            "selfLink": f"{place}/operations/{name}",
            "targetLink": f"https://{HOST}/v1/{full}",
        }
