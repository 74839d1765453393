"""The v1 paths that gcloud uses: by namespace on a region's own host, and by project on the global one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import invalid
from infra.emulator.kernel.handlers import Call, route
from infra.emulator.projects.locations import REGIONS, check_location
from infra.emulator.projects.projects import Projects
from infra.emulator.run.knative import incoming, outgoing
from infra.emulator.run.knative.requests import HOST, Gate, body_of, check_version, deleted, is_dry, page, within
from infra.emulator.run.names import PoolName, owner_of, short
from infra.emulator.run.pools.system import CloudPools
from infra.emulator.run.state import ServicePb, missing
from infra.emulator.run.system import CloudRun

SERVING = "/apis/serving.knative.dev/v1/namespaces/{namespace}"
GLOBAL = "/v1/projects/{namespace}/locations/{location}"
EMPTY_KINDS = {
    "domainmappings": ("DomainMapping", "domains.cloudrun.com/v1"),
}


def _both(verb: str, path: str, method: str) -> Callable[[Any], Any]:
    """A door under both of v1's prefixes."""

    def mark(handler: Any) -> Any:
        for prefix in (SERVING, GLOBAL):
            handler = route(verb, prefix + path, method=f"run.{method}", host=HOST)(handler)
        return handler

    return mark


class Knative:
    def __init__(self, cloud: Cloud) -> None:
        self._state, self._lifecycle = cloud.get(CloudRun).state, cloud.get(CloudRun).lifecycle
        self._of_pools = cloud.get(CloudPools).lifecycle
        self._projects, self._gate = cloud.get(Projects), Gate(cloud)

    @_both("GET", "/services", "namespaces.services.list")
    async def list_services(self, request: web.Request, call: Call, namespace: str, location: str = "") -> web.Response:
        parent = self._gate.admit(call, namespace, location, "run.services.list")
        number = self._projects.find(namespace).number
        found = within(self._state.services, parent, "services")
        return page(request, "Service", (outgoing.service(service, number) for service in found))

    @_both("GET", "/services/{name}", "namespaces.services.get")
    async def get_service(
        self, _: web.Request, call: Call, namespace: str, name: str, location: str = ""
    ) -> web.Response:
        parent = self._gate.admit(call, namespace, location, "run.services.get", f"services/{name}")
        return self._answer(self._state.service(f"{parent}/services/{name}"))

    @_both("POST", "/services", "namespaces.services.create")
    async def create_service(
        self, request: web.Request, call: Call, namespace: str, location: str = ""
    ) -> web.Response:
        parent = self._gate.admit(call, namespace, location, "run.services.create")
        check_location(parent)
        body = await body_of(request)
        full = f"{parent}/services/{(body.get('metadata') or {}).get('name', '')}"
        dry = is_dry(request)
        operation = self._lifecycle.create(full, incoming.service(body), call.principal, validate_only=dry)
        return self._answer(_subject(operation) if dry else self._state.service(full))

    @_both("PUT", "/services/{name}", "namespaces.services.replaceService")
    async def replace_service(
        self, request: web.Request, call: Call, namespace: str, name: str, location: str = ""
    ) -> web.Response:
        parent = self._gate.admit(call, namespace, location, "run.services.update", f"services/{name}")
        body = await body_of(request)
        current = self._state.service(f"{parent}/services/{name}")
        check_version(current, body)
        dry = is_dry(request)
        operation = self._lifecycle.update(current.name, incoming.service(body), call.principal, validate_only=dry)
        return self._answer(_subject(operation) if dry else self._state.service(current.name))

    @_both("DELETE", "/services/{name}", "namespaces.services.delete")
    async def delete_service(
        self, _: web.Request, call: Call, namespace: str, name: str, location: str = ""
    ) -> web.Response:
        parent = self._gate.admit(call, namespace, location, "run.services.delete", f"services/{name}")
        service = self._state.service(f"{parent}/services/{name}")
        self._lifecycle.delete(service.name)
        return deleted(service, "service")

    @_both("GET", "/revisions", "namespaces.revisions.list")
    async def list_revisions(
        self, request: web.Request, call: Call, namespace: str, location: str = ""
    ) -> web.Response:
        parent = self._gate.admit(call, namespace, location, "run.revisions.list")
        newest_first = sorted(
            within(self._state.revisions, parent, "revisions"), key=lambda r: -int(r.create_time.ToNanoseconds())
        )
        return page(request, "Revision", map(self._revision, newest_first))

    @_both("GET", "/revisions/{name}", "namespaces.revisions.get")
    async def get_revision(
        self, _: web.Request, call: Call, namespace: str, name: str, location: str = ""
    ) -> web.Response:
        parent = self._gate.admit(call, namespace, location, "run.revisions.get", f"revisions/{name}")
        return web.json_response(self._revision(self._state.revision(self._find_revision(parent, name))))

    @_both("DELETE", "/revisions/{name}", "namespaces.revisions.delete")
    async def delete_revision(
        self, _: web.Request, call: Call, namespace: str, name: str, location: str = ""
    ) -> web.Response:
        parent = self._gate.admit(call, namespace, location, "run.revisions.delete", f"revisions/{name}")
        full = self._find_revision(parent, name)
        revision = self._state.revision(full)
        lifecycle = self._of_pools if owner_of(full).kind == PoolName.kind else self._lifecycle
        lifecycle.delete_revision(full)
        return deleted(revision, "revision")

    @_both("GET", "/{kind}", "namespaces.parts.list")
    async def list_parts(
        self, request: web.Request, call: Call, namespace: str, kind: str, location: str = ""
    ) -> web.Response:
        """Routes and configurations: views of services, one each."""
        view = self._view(kind)
        parent = self._gate.admit(call, namespace, location, f"run.{kind}.list")
        number = self._projects.find(namespace).number
        found = within(self._state.services, parent, "services")
        return page(request, kind.removesuffix("s").capitalize(), (view(service, number) for service in found))

    @_both("GET", "/{kind}/{name}", "namespaces.parts.get")
    async def get_part(
        self, _: web.Request, call: Call, namespace: str, kind: str, name: str, location: str = ""
    ) -> web.Response:
        view = self._view(kind)
        parent = self._gate.admit(call, namespace, location, f"run.{kind}.get", f"{kind}/{name}")
        service = self._state.service(f"{parent}/services/{name}")
        return web.json_response(view(service, self._projects.find(namespace).number))

    @route(
        "GET", "/apis/domains.cloudrun.com/v1/namespaces/{namespace}/{kind}", method="run.namespaces.list", host=HOST
    )
    async def list_nothing(self, _: web.Request, call: Call, namespace: str, kind: str) -> web.Response:
        """Kinds that are not emulated have no instances."""
        if kind not in EMPTY_KINDS:
            raise invalid(f"Unknown kind of resource: {kind}.")
        self._gate.admit(call, namespace, "-", f"run.{kind}.list")
        name, api = EMPTY_KINDS[kind]
        return web.json_response(outgoing.listing(name, (), api=api))

    @route("GET", "/v1/projects/{project}/locations", method="run.projects.locations.list", host=HOST)
    async def list_locations(self, _: web.Request, __: Call, project: str) -> web.Response:
        found = self._projects.find(project)
        self._projects.require(found, HOST)
        regions = [
            {"name": f"projects/{found.id}/locations/{region}", "locationId": region, "displayName": region}
            for region in REGIONS
        ]
        return web.json_response({"locations": regions})

    def _find_revision(self, parent: str, name: str) -> str:
        """Of a service or a worker pool."""
        for full in self._state.revisions.names(f"{parent}/"):
            if short(full) == name:
                return full
        raise missing(f"{parent}/revisions/{name}", "REVISION")

    def _answer(self, service: Any) -> web.Response:
        number = self._projects.find(service.name).number
        return web.json_response(outgoing.service(service, number))

    def _revision(self, revision: Any) -> dict[str, Any]:
        number = self._projects.find(revision.name).number
        return outgoing.revision(revision, self._state.image(revision.name), number)

    @staticmethod
    def _view(kind: str) -> Callable[[Any, int], dict[str, Any]]:
        views = {"routes": outgoing.route, "configurations": outgoing.configuration}
        if kind not in views:
            raise invalid(f"Unknown kind of resource: {kind}.")
        return views[kind]


def _subject(operation: Any) -> Any:
    service = ServicePb()
    operation.metadata.Unpack(service)
    return service
