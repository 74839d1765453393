"""The v1 paths that gcloud uses: by namespace on a region's own host, and by project on the global one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web
from google.rpc.code_pb2 import Code

from infra.emulator.iam.admission import Admission
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError, aborted, error_info, invalid
from infra.emulator.kernel.handlers import Call, route
from infra.emulator.projects.locations import REGIONS, check_location
from infra.emulator.projects.projects import Project, Projects
from infra.emulator.run.knative import incoming, outgoing, selectors
from infra.emulator.run.names import short
from infra.emulator.run.state import ServicePb, missing
from infra.emulator.run.system import CloudRun

HOST = "run.googleapis.com"
SERVING = "/apis/serving.knative.dev/v1/namespaces/{namespace}"
GLOBAL = "/v1/projects/{namespace}/locations/{location}"
EMPTY_KINDS = {
    "jobs": ("Job", "run.googleapis.com/v1"),
    "executions": ("Execution", "run.googleapis.com/v1"),
    "tasks": ("Task", "run.googleapis.com/v1"),
    "workerpools": ("WorkerPool", "run.googleapis.com/v1"),
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
        self._projects, self._admission = cloud.get(Projects), cloud.get(Admission)
        self._policies = cloud.get(Policies)

    @_both("GET", "/services", "namespaces.services.list")
    async def list_services(self, request: web.Request, call: Call, namespace: str, location: str = "") -> web.Response:
        parent = self._admit(call, namespace, location, "run.services.list")
        number = self._projects.find(namespace).number
        found = self._in(self._state.services, parent, "services")
        return _page(request, "Service", (outgoing.service(service, number) for service in found))

    @_both("GET", "/services/{name}", "namespaces.services.get")
    async def get_service(
        self, _: web.Request, call: Call, namespace: str, name: str, location: str = ""
    ) -> web.Response:
        parent = self._admit(call, namespace, location, "run.services.get", f"services/{name}")
        return self._answer(self._state.service(f"{parent}/services/{name}"))

    @_both("POST", "/services", "namespaces.services.create")
    async def create_service(
        self, request: web.Request, call: Call, namespace: str, location: str = ""
    ) -> web.Response:
        parent = self._admit(call, namespace, location, "run.services.create")
        check_location(parent)
        body = await _body(request)
        full = f"{parent}/services/{(body.get('metadata') or {}).get('name', '')}"
        dry = _is_dry(request)
        operation = self._lifecycle.create(full, incoming.service(body), call.principal, validate_only=dry)
        return self._answer(_subject(operation) if dry else self._state.service(full))

    @_both("PUT", "/services/{name}", "namespaces.services.replaceService")
    async def replace_service(
        self, request: web.Request, call: Call, namespace: str, name: str, location: str = ""
    ) -> web.Response:
        parent = self._admit(call, namespace, location, "run.services.update", f"services/{name}")
        body = await _body(request)
        current = self._state.service(f"{parent}/services/{name}")
        _check_version(current, (body.get("metadata") or {}).get("resourceVersion", ""))
        dry = _is_dry(request)
        operation = self._lifecycle.update(current.name, incoming.service(body), call.principal, validate_only=dry)
        return self._answer(_subject(operation) if dry else self._state.service(current.name))

    @_both("DELETE", "/services/{name}", "namespaces.services.delete")
    async def delete_service(
        self, _: web.Request, call: Call, namespace: str, name: str, location: str = ""
    ) -> web.Response:
        parent = self._admit(call, namespace, location, "run.services.delete", f"services/{name}")
        service = self._state.service(f"{parent}/services/{name}")
        self._lifecycle.delete(service.name)
        return _deleted(service, "service")

    @_both("GET", "/revisions", "namespaces.revisions.list")
    async def list_revisions(
        self, request: web.Request, call: Call, namespace: str, location: str = ""
    ) -> web.Response:
        parent = self._admit(call, namespace, location, "run.revisions.list")
        newest_first = sorted(
            self._in(self._state.revisions, parent, "revisions"), key=lambda r: -int(r.create_time.ToNanoseconds())
        )
        return _page(request, "Revision", map(self._revision, newest_first))

    @_both("GET", "/revisions/{name}", "namespaces.revisions.get")
    async def get_revision(
        self, _: web.Request, call: Call, namespace: str, name: str, location: str = ""
    ) -> web.Response:
        parent = self._admit(call, namespace, location, "run.revisions.get", f"revisions/{name}")
        return web.json_response(self._revision(self._state.revision(self._find_revision(parent, name))))

    @_both("DELETE", "/revisions/{name}", "namespaces.revisions.delete")
    async def delete_revision(
        self, _: web.Request, call: Call, namespace: str, name: str, location: str = ""
    ) -> web.Response:
        parent = self._admit(call, namespace, location, "run.revisions.delete", f"revisions/{name}")
        full = self._find_revision(parent, name)
        revision = self._state.revision(full)
        self._lifecycle.delete_revision(full)
        return _deleted(revision, "revision")

    @_both("GET", "/{kind}", "namespaces.parts.list")
    async def list_parts(
        self, request: web.Request, call: Call, namespace: str, kind: str, location: str = ""
    ) -> web.Response:
        """Routes and configurations: views of services, one each."""
        view = self._view(kind)
        parent = self._admit(call, namespace, location, f"run.{kind}.list")
        number = self._projects.find(namespace).number
        found = self._in(self._state.services, parent, "services")
        return _page(request, kind.removesuffix("s").capitalize(), (view(service, number) for service in found))

    @_both("GET", "/{kind}/{name}", "namespaces.parts.get")
    async def get_part(
        self, _: web.Request, call: Call, namespace: str, kind: str, name: str, location: str = ""
    ) -> web.Response:
        view = self._view(kind)
        parent = self._admit(call, namespace, location, f"run.{kind}.get", f"{kind}/{name}")
        service = self._state.service(f"{parent}/services/{name}")
        return web.json_response(view(service, self._projects.find(namespace).number))

    @route("GET", "/apis/run.googleapis.com/v1/namespaces/{namespace}/{kind}", method="run.namespaces.list", host=HOST)
    @route(
        "GET", "/apis/domains.cloudrun.com/v1/namespaces/{namespace}/{kind}", method="run.namespaces.list", host=HOST
    )
    async def list_nothing(self, _: web.Request, call: Call, namespace: str, kind: str) -> web.Response:
        """Kinds that are not emulated have no instances."""
        if kind not in EMPTY_KINDS:
            raise invalid(f"Unknown kind of resource: {kind}.")
        self._admit(call, namespace, "-", f"run.{kind}.list")
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

    def _admit(self, call: Call, namespace: str, location: str, permission: str, resource: str = "") -> str:
        """Checks project, API and permission; answers projects/{id}/locations/{location}."""
        project = self._projects.find(namespace)
        parent = f"projects/{project.id}/locations/{location or _region(call)}"
        self._admission.require_usable(parent, HOST, permission)
        self._permit(call, permission, project, parent, resource)
        return parent

    def _permit(self, call: Call, permission: str, project: Project, parent: str, resource: str) -> None:
        if not self._policies.allowed(call.principal, permission, f"{parent}/{resource}".rstrip("/")):
            name = f"namespaces/{project.id}/{resource}".rstrip("/")
            raise RpcError(
                Code.PERMISSION_DENIED,
                f"Permission '{permission}' denied on resource '{name}' (or resource may not exist).",
                error_info("IAM_PERMISSION_DENIED", HOST, permission=permission, resource=name),
            )

    def _in(self, table: Any, parent: str, collection: str) -> list[Any]:
        """What a table holds in a location; in all of them for `-`."""
        prefix = parent.removesuffix("-") if parent.endswith("/-") else f"{parent}/"
        return [message for message in table.list(prefix) if f"/{collection}/" in message.name]

    def _find_revision(self, parent: str, name: str) -> str:
        for full in self._state.revisions.names(f"{parent}/services/"):
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


def _region(call: Call) -> str:
    """us-central1-run.googleapis.com -> us-central1: requests by namespace go to a region's own host."""
    region = call.host.partition(".")[0].removesuffix("-run")
    if region == call.host.partition(".")[0]:
        raise invalid("Requests by namespace must be sent to a regional endpoint, REGION-run.googleapis.com.")
    return region


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        return dict(await request.json())
    except ValueError as error:
        raise invalid(f"Invalid JSON payload received. {error}") from error


def _is_dry(request: web.Request) -> bool:
    return request.query.get("dryRun") == "all"


def _subject(operation: Any) -> Any:
    service = ServicePb()
    operation.metadata.Unpack(service)
    return service


def _check_version(service: Any, given: str) -> None:
    current = outgoing.resource_version(service)
    if given and given != current:
        raise aborted(
            f"Conflict for resource '{short(service.name)}': version '{given}' was specified but current version is "
            f"'{current}'."
        )


def _page(request: web.Request, kind: str, found: Iterable[dict[str, Any]]) -> web.Response:
    """Up to `limit` of the objects that the label selector lets through, from where the last page ended."""
    selector = request.query.get("labelSelector", "")
    chosen = [item for item in found if selectors.matches(selector, item["metadata"]["labels"])]
    start, limit = int(request.query.get("continue") or 0), int(request.query.get("limit") or 0) or len(chosen)
    token = str(start + limit) if start + limit < len(chosen) else ""
    return web.json_response(outgoing.listing(kind, chosen[start : start + limit], token))


def _deleted(message: Any, kind: str) -> web.Response:
    details = {"name": short(message.name), "group": "v1", "kind": kind, "uid": message.uid}
    return web.Response(text=json.dumps({"status": "Success", "details": details}), content_type="application/json")
