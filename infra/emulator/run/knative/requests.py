"""What requests of API v1 have in common: who may, in which region, with what body, which page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from aiohttp import web
from google.rpc.code_pb2 import Code

from infra.emulator.iam.admission import Admission
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError, aborted, error_info, invalid
from infra.emulator.kernel.handlers import Call
from infra.emulator.projects.locations import check_location
from infra.emulator.projects.projects import Project, Projects
from infra.emulator.run.knative import outgoing, selectors
from infra.emulator.run.names import short

HOST = "run.googleapis.com"


class Gate:
    def __init__(self, cloud: Cloud) -> None:
        self._projects, self._admission = cloud.get(Projects), cloud.get(Admission)
        self._policies = cloud.get(Policies)

    def admit(self, call: Call, namespace: str, location: str, permission: str, resource: str = "") -> str:
        """Checks project, API and permission; answers projects/{id}/locations/{location}."""
        project = self._projects.find(namespace)
        parent = f"projects/{project.id}/locations/{location or _region(call)}"
        if location != "-":
            check_location(parent)
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


def _region(call: Call) -> str:
    """us-central1-run.googleapis.com -> us-central1: requests by namespace go to a region's own host."""
    region = call.host.partition(".")[0].removesuffix("-run")
    if region == call.host.partition(".")[0]:
        raise invalid("Requests by namespace must be sent to a regional endpoint, REGION-run.googleapis.com.")
    return region


def within(table: Any, parent: str, collection: str) -> list[Any]:
    """What a table holds of a collection in a location; in all of them for `-`."""
    prefix = parent.removesuffix("-") if parent.endswith("/-") else f"{parent}/"
    return [message for message in table.list(prefix) if message.name.split("/")[-2] == collection]


async def body_of(request: web.Request) -> dict[str, Any]:
    try:
        return dict(await request.json())
    except ValueError as error:
        raise invalid(f"Invalid JSON payload received. {error}") from error


def is_dry(request: web.Request) -> bool:
    return request.query.get("dryRun") == "all"


def check_version(message: Any, body: dict[str, Any]) -> None:
    """Raises ABORTED when the object that was sent stands for another version."""
    given, current = (body.get("metadata") or {}).get("resourceVersion", ""), outgoing.resource_version(message)
    if given and given != current:
        raise aborted(
            f"Conflict for resource '{short(message.name)}': version '{given}' was specified but current version is "
            f"'{current}'."
        )


def page(request: web.Request, kind: str, found: Iterable[dict[str, Any]], api: str = outgoing.API) -> web.Response:
    """Up to `limit` of the objects that the label selector lets through, from where the last page ended."""
    selector = request.query.get("labelSelector", "")
    chosen = [item for item in found if selectors.matches(selector, item["metadata"]["labels"])]
    start, limit = int(request.query.get("continue") or 0), int(request.query.get("limit") or 0) or len(chosen)
    token = str(start + limit) if start + limit < len(chosen) else ""
    return web.json_response(outgoing.listing(kind, chosen[start : start + limit], token, api))


def deleted(message: Any, kind: str) -> web.Response:
    details = {"name": short(message.name), "group": "v1", "kind": kind, "uid": message.uid}
    return web.Response(text=json.dumps({"status": "Success", "details": details}), content_type="application/json")
