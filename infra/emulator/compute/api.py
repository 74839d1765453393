"""Compute Engine v1: one set of routes for all collections, in three sorts of places.

https://cloud.google.com/compute/docs/reference/rest/v1
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from infra.emulator.compute.fields import FIELDS
from infra.emulator.compute.state import API, Compute
from infra.emulator.iam.json_apis import Door, LegacyError, Resource, legacy_form, paged, read_body
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import unimplemented
from infra.emulator.kernel.handlers import Call, route
from infra.emulator.projects.projects import Projects

HOST = "compute.googleapis.com"
HOSTS = (HOST, "www.googleapis.com")
ROOT = "/compute/v1/projects/{project}"
# Where each lives; a global and a regional one of the same collection are different resources with the same fields.
PLACES = {
    "instanceTemplates": ("global", "regions"),
    "networks": ("global",), "firewalls": ("global",), "instances": ("zones",),
    "forwardingRules": ("global", "regions"), "targetHttpProxies": ("global", "regions"),
    "targetHttpsProxies": ("global", "regions"), "targetTcpProxies": ("global", "regions"),
    "targetSslProxies": ("global",), "urlMaps": ("global", "regions"), "backendServices": ("global", "regions"),
    "healthChecks": ("global", "regions"), "networkEndpointGroups": ("global", "regions", "zones"),
    "addresses": ("global", "regions"), "sslCertificates": ("global", "regions"),
}  # fmt: skip
# Permissions of most collections say where; of these two it is the global ones that do.
GLOBAL_SAID = frozenset({"forwardingRules", "addresses", "networkEndpointGroups"})
NOT_AGGREGATED = frozenset({"networks", "firewalls", "targetSslProxies"})
CHANGED = frozenset({"firewalls", "forwardingRules", "urlMaps", "backendServices", "targetHttpsProxies"})


def api(verb: str, path: str, method: str) -> Callable[[Any], Any]:
    """Marks a route in each sort of place; its `place` is global, regions/R or zones/Z."""

    def mark(handler: Any) -> Any:
        for host in HOSTS:
            for place in ("global", "regions/{where}", "zones/{where}"):
                template = f"{ROOT}/{place}/{path}"
                handler = route(verb, template, method=f"compute.{method}", host=host, form=legacy_form)(handler)
        return handler

    return mark


class ComputeApi:
    def __init__(self, cloud: Cloud) -> None:
        self._compute, self._door = cloud.get(Compute), Door(cloud, HOST)
        self._projects = cloud.get(Projects)

    def _admit(self, request: web.Request, call: Call, project: str, collection: str, verb: str) -> tuple[str, str]:
        """The project's id and the place."""
        words = request.path.split("/projects/", 1)[1].split("/")[1:]
        place = "global" if words[0] == "global" else "/".join(words[:2])
        if words[0] not in PLACES.get(collection, ()):
            raise unimplemented(f"{collection} of {place} in Compute Engine")
        permission = f"compute.{permitted(collection, words[0])}.{verb}"
        return self._door.admit(call, project, permission).id, place

    @api("GET", "{collection}", "list")
    async def list(
        self, request: web.Request, call: Call, project: str, collection: str, where: str = ""
    ) -> web.Response:
        project, place = self._admit(request, call, project, collection, "list")
        found, token = paged(request, self._compute.of(project, collection, place), lambda each: each[0])
        answer: Resource = {"kind": f"compute#{collection}List", "id": f"projects/{project}/{place}/{collection}",
                            "selfLink": f"{API}/projects/{project}/{place}/{collection}"}  # fmt: skip
        answer |= {"items": [body for _, body in found]} if found else {}
        return web.json_response(answer | ({"nextPageToken": token} if token else {}))

    @api("GET", "{collection}/{name}", "get")
    async def get(
        self, request: web.Request, call: Call, project: str, collection: str, name: str, where: str = ""
    ) -> web.Response:
        if collection == "operations":
            return self._operation(request, call, project, name)
        project, place = self._admit(request, call, project, collection, "get")
        return web.json_response(self._compute.shown(f"projects/{project}/{place}/{collection}/{name}"))

    @api("POST", "{collection}", "insert")
    async def insert(
        self, request: web.Request, call: Call, project: str, collection: str, where: str = ""
    ) -> web.Response:
        project, place = self._admit(request, call, project, collection, "create")
        full = self._compute.insert(project, place, collection, await read_body(request))
        return web.json_response(self._compute.operate(project, place, "insert", full, call.principal))

    @api("PATCH", "{collection}/{name}", "patch")
    async def patch(
        self, request: web.Request, call: Call, project: str, collection: str, name: str, where: str = ""
    ) -> web.Response:
        project, place = self._admit(request, call, project, collection, "update")
        if collection not in CHANGED:
            raise unimplemented(f"A patch of {collection} in Compute Engine")
        full = f"projects/{project}/{place}/{collection}/{name}"
        self._compute.patch(full, await read_body(request))
        return web.json_response(self._compute.operate(project, place, "patch", full, call.principal))

    @api("DELETE", "{collection}/{name}", "delete")
    async def delete(
        self, request: web.Request, call: Call, project: str, collection: str, name: str, where: str = ""
    ) -> web.Response:
        project, place = self._admit(request, call, project, collection, "delete")
        full = f"projects/{project}/{place}/{collection}/{name}"
        self._compute.delete(full)
        return web.json_response(self._compute.operate(project, place, "delete", full, call.principal))

    @api("POST", "operations/{name}/wait", "operations.wait")
    async def wait(self, request: web.Request, call: Call, project: str, name: str, where: str = "") -> web.Response:
        return self._operation(request, call, project, name)

    def _operation(self, request: web.Request, call: Call, project: str, name: str) -> web.Response:
        words = request.path.split("/projects/", 1)[1].split("/")[1:]
        place = "global" if words[0] == "global" else "/".join(words[:2])
        sort = {"global": "global", "regions": "region", "zones": "zone"}[words[0]]
        project = self._door.admit(call, project, f"compute.{sort}Operations.get").id
        full = f"projects/{project}/{place}/operations/{name}"
        found = self._compute.operations.get(full)
        if found is None:
            raise LegacyError(404, "notFound", f"The resource '{full}' was not found")
        return web.json_response(found)


class ComputeLists:
    """What concerns a whole project: lists over all places, and the project itself."""

    def __init__(self, cloud: Cloud) -> None:
        self._compute, self._door = cloud.get(Compute), Door(cloud, HOST)

    @route("GET", f"{ROOT}/aggregated/{{collection}}", host=HOST, method="compute.aggregatedList", form=legacy_form)
    async def aggregated(self, request: web.Request, call: Call, project: str, collection: str) -> web.Response:
        """By place; a place with nothing says so in a warning, which is none about the answer being whole.

        https://cloud.google.com/compute/docs/reference/rest/v1/forwardingRules/aggregatedList
        """
        if collection not in FIELDS or collection in NOT_AGGREGATED:
            raise unimplemented(f"An aggregated list of {collection} in Compute Engine")
        project = self._door.admit(call, project, f"compute.{collection}.list").id
        found, token = paged(request, self._compute.of(project, collection), lambda each: each[0])
        scopes: dict[str, Resource] = {"global": _nothing("global")} if "global" in PLACES[collection] else {}
        for name, body in found:
            place = name.split("/", 2)[2].rsplit("/", 2)[0]
            there = scopes.get(place, {})
            scopes[place] = {collection: [*there.get(collection, ()), body]}
        answer: Resource = {"kind": f"compute#{collection[:-1]}AggregatedList", "items": scopes,
                            "id": f"projects/{project}/aggregated/{collection}",
                            "selfLink": f"{API}/projects/{project}/aggregated/{collection}"}  # fmt: skip
        return web.json_response(answer | ({"nextPageToken": token} if token else {}))

    @route("GET", ROOT, host=HOST, method="compute.projects.get", form=legacy_form)
    async def project(self, _: web.Request, call: Call, project: str) -> web.Response:
        found = self._door.admit(call, project, "compute.projects.get")
        return web.json_response({
            "kind": "compute#project", "id": str(found.number), "name": found.id, "xpnProjectStatus":
            "UNSPECIFIED_XPN_PROJECT_STATUS", "selfLink": f"{API}/projects/{found.id}", "defaultNetworkTier": "PREMIUM",
        })  # fmt: skip


def permitted(collection: str, sort: str) -> str:
    """The word in permissions: https://cloud.google.com/compute/docs/access/iam-permissions"""
    if collection == "instanceTemplates":
        return collection
    if sort == "global" and collection in GLOBAL_SAID:
        return f"global{collection[0].upper()}{collection[1:]}"
    if sort == "regions" and collection not in GLOBAL_SAID:
        return f"region{collection[0].upper()}{collection[1:]}"
    if sort == "regions" and collection == "networkEndpointGroups":
        return "regionNetworkEndpointGroups"
    return collection


def _nothing(place: str) -> Resource:
    text = f"There are no results for scope '{place}' on this page."
    data = [{"key": "scope", "value": place}]
    return {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": text, "data": data}}
