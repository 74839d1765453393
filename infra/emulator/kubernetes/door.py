"""The API server's door: who asks for what, whether he may, and the answer in the form that he wants."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from aiohttp import web

from infra.emulator.iam.identity import Identity
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError
from infra.emulator.kernel.handlers import Call
from infra.emulator.kubernetes import discovery, views
from infra.emulator.kubernetes.clusters import NETWORK, Clusters
from infra.emulator.kubernetes.kinds import Kind
from infra.emulator.kubernetes.objects import Change, Object, Objects
from infra.emulator.kubernetes.patches import APPLY
from infra.emulator.kubernetes.permissions import permission_of
from infra.emulator.kubernetes.protobuf import PROTOBUF, decoded
from infra.emulator.kubernetes.selectors import Predicate, fields, labels
from infra.emulator.kubernetes.server import ApiServer
from infra.emulator.kubernetes.status import (
    NoSuchPath,
    Refusal,
    about,
    bad_request,
    method_not_allowed,
    no_such_resource,
    of_error,
)

DNS = "gke.goog"  # the domain of clusters' own names
ANONYMOUS = "system:anonymous"
WATCH_S = 300.0


@dataclass(frozen=True)
class Asked:
    """One request, taken apart: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris"""

    server: ApiServer
    kind: Kind
    namespace: str  # '' for cluster-scoped kinds and for lists over all namespaces
    name: str  # '' for the whole collection
    part: str  # status, scale or ''
    query: Mapping[str, str]
    accept: str
    who: str
    project: str

    @property
    def strict(self) -> bool:
        return self.query.get("fieldValidation") == "Strict"

    @property
    def dry(self) -> bool:
        return bool(self.query.get("dryRun"))


class KubernetesDoor:
    def __init__(self, cloud: Cloud) -> None:
        self._clusters, self._objects = cloud.get(Clusters), cloud.get(Objects)
        self._identity, self._policies, self._journal = cloud.get(Identity), cloud.get(Policies), cloud.journal
        cloud.fronts[DNS] = cloud.fronts[NETWORK] = self.handle

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except RpcError as error:
            refusal = of_error(error)
            text, media_type = refusal.rendered()
            return web.Response(text=text, status=refusal.http_status, content_type=media_type)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        cluster = self._clusters.at(request.host.partition(":")[0])
        if cluster is None:
            raise NoSuchPath
        who = self._who(request)
        parts = [part for part in request.path.split("/") if part]
        server = ApiServer(cluster, self._objects)
        if said := self._told(parts, server):
            return _json(200, said)
        asked = self._asked(parts, request, server, who)
        verb = _verb(request, asked)
        call = Call(f"kubernetes.{asked.kind.plural}.{verb}", request.host, who, dict(request.headers))
        async with self._journal.observed(call):
            self._admit(asked, verb)
            return await self._do(verb, asked, request)

    def _who(self, request: web.Request) -> str:
        given = request.headers.get("Authorization", "")
        if not given:
            return ANONYMOUS
        try:
            return self._identity.principal(given)
        except RpcError:
            raise Refusal(401, "Unauthorized", "Unauthorized") from None

    def _told(self, parts: list[str], server: ApiServer) -> Mapping[str, Any] | None:
        """What is no resource: discovery, version, health."""
        kinds = self._objects.kinds(server.cluster)
        match parts:
            case ["version"]:
                return discovery.VERSION
            case ["healthz" | "readyz" | "livez"]:
                return {"status": "ok"}
            case ["api"]:
                return discovery.core_versions()
            case ["apis"]:
                return discovery.groups(kinds)
            case ["openapi", "v3"]:
                return discovery.openapi_index(kinds)
            case ["openapi", "v3", *place]:
                return discovery.openapi(kinds, "/".join(place))
            case ["api", version]:
                return discovery.resources(kinds, "", version)
            case ["apis", name] if version := next((each.version for each in kinds.values() if each.group == name), ""):
                return {"kind": "APIGroup", "apiVersion": "v1", **discovery.group(name, version)}
            case ["apis", name, version]:
                return discovery.resources(kinds, name, version)
        return None

    def _asked(self, parts: list[str], request: web.Request, server: ApiServer, who: str) -> Asked:
        group, version, rest = ("", *_rest(parts)) if parts[:1] == ["api"] else _grouped(parts)
        namespace = ""
        if rest[:1] == ["namespaces"] and len(rest) > 2 and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        if not rest or len(rest) > 3:
            raise NoSuchPath
        kinds = self._objects.kinds(server.cluster)
        if not any((each.group, each.version) == (group, version) for each in kinds.values()):
            raise NoSuchPath
        kind = kinds.get((group, rest[0]))
        if kind is None or kind.version != version or (namespace and not kind.namespaced):
            raise no_such_resource()
        name, part = (*rest[1:], "", "")[:2]
        project = server.cluster.split("/")[1]
        accept = request.headers.get("Accept", "")
        return Asked(server, kind, namespace, name, part, dict(request.query), accept, who, project)

    def _admit(self, asked: Asked, verb: str) -> None:
        """By IAM, as GKE does beside RBAC: https://cloud.google.com/kubernetes-engine/docs/how-to/iam"""
        permission = permission_of(asked.kind, verb)
        if asked.who != ANONYMOUS and self._policies.allowed(asked.who, permission, f"projects/{asked.project}"):
            return
        shown = f'{asked.kind.qualified} "{asked.name}"' if asked.name else asked.kind.qualified
        where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
        text = f'{shown} is forbidden: User "{asked.who}" cannot {verb} resource "{asked.kind.plural}" '
        text += f'in API group "{asked.kind.group}" {where}'
        if asked.who != ANONYMOUS:
            text += f': requires one of ["{permission}"] permission(s).'
        raise Refusal(403, "Forbidden", text, about(asked.kind, asked.name))

    async def _do(self, verb: str, asked: Asked, request: web.Request) -> web.StreamResponse:
        match verb:
            case "list":
                return _json(200, self._list(asked))
            case "watch":
                return await self._watch(asked, request)
            case "get":
                found = asked.server.get(asked.kind, asked.namespace, asked.name)
                scaled = asked.part == "scale"
                return _json(200, views.scale(found) if scaled else views.one(asked.kind, found, asked.accept))
        body = await _body(request, asked.kind)
        status, said = self._write(verb, asked, request.content_type, body)
        return _json(status, said)

    def _write(self, verb: str, asked: Asked, media_type: str, body: Any) -> tuple[int, Mapping[str, Any]]:
        server, kind, namespace, name = asked.server, asked.kind, asked.namespace, asked.name
        if verb in ("delete", "deletecollection"):
            options = body if body else _options(asked.query)  # a body alone counts, where there is one
            if verb == "delete":
                return 200, server.delete(kind, namespace, name, options)
            found = self._found(asked)
            server.delete_all(kind, namespace, found, options)
            meta = {"resourceVersion": str(self._objects.version(server.cluster))}
            return 200, views.many(kind, found, meta, asked.accept)
        if verb == "create":
            made = server.create(kind, namespace, body, strict=asked.strict, dry=asked.dry)
            return 201, views.one(kind, made, asked.accept)
        if asked.part == "scale":
            return 200, server.scale(kind, namespace, name, media_type if verb == "patch" else "", body)
        if verb == "patch":
            changed, new = server.patch(kind, namespace, name, media_type, body, asked.query, asked.part)
            return 201 if new else 200, views.one(kind, changed, asked.accept)
        new_one = server.replace(kind, namespace, name, body, asked.part, strict=asked.strict, dry=asked.dry)
        return 200, views.one(kind, new_one, asked.accept)

    def _wanted(self, asked: Asked) -> tuple[Predicate, Predicate]:
        return labels(asked.query.get("labelSelector", "")), fields(asked.query.get("fieldSelector", ""), asked.kind)

    def _found(self, asked: Asked) -> list[Object]:
        by_label, by_field = self._wanted(asked)
        every = self._objects.every(asked.server.cluster, asked.kind, asked.namespace)
        return [each for each in every if by_label(each) and by_field(each)]

    def _list(self, asked: Asked) -> Mapping[str, Any]:
        found, version = self._found(asked), str(self._objects.version(asked.server.cluster))
        start = _continued(asked.query.get("continue", ""))
        limit = int(asked.query.get("limit", "0") or 0) or len(found)
        meta: dict[str, Any] = {"resourceVersion": version}
        left = len(found) - start - limit
        if left > 0:
            meta["continue"] = base64.urlsafe_b64encode(json.dumps({"v": "meta", "s": start + limit}).encode()).decode()
            meta["remainingItemCount"] = left
        return views.many(asked.kind, found[start : start + limit], meta, asked.accept)

    async def _watch(self, asked: Asked, request: web.Request) -> web.StreamResponse:
        """https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes"""
        by_label, by_field = self._wanted(asked)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        with self._objects.watching() as changes:
            await response.prepare(request)
            if asked.query.get("resourceVersion", "0") in ("", "0"):
                for each in self._found(asked):
                    await response.write(_event(asked, "ADDED", each))
            with_limit = float(asked.query.get("timeoutSeconds", WATCH_S))
            try:
                async with asyncio.timeout(min(with_limit, WATCH_S)):
                    while True:
                        change = await changes.get()
                        if _concerns(change, asked) and by_label(change.found) and by_field(change.found):
                            await response.write(_event(asked, change.what, change.found))
            except TimeoutError:
                pass
            except ConnectionError:
                return response
        await response.write_eof()
        return response


def _concerns(change: Change, asked: Asked) -> bool:
    here = change.found["metadata"].get("namespace", "")
    return (change.cluster, change.kind) == (asked.server.cluster, asked.kind) and asked.namespace in ("", here)


def _event(asked: Asked, what: str, found: Object) -> bytes:
    return json.dumps({"type": what, "object": views.one(asked.kind, found, asked.accept)}).encode() + b"\n"


def _rest(parts: list[str]) -> tuple[str, list[str]]:
    if len(parts) < 2:
        raise NoSuchPath
    return parts[1], parts[2:]


def _grouped(parts: list[str]) -> tuple[str, str, list[str]]:
    if parts[:1] != ["apis"] or len(parts) < 3:
        raise NoSuchPath
    return parts[1], parts[2], parts[3:]


def _verb(request: web.Request, asked: Asked) -> str:
    if request.method in ("GET", "HEAD"):
        if request.query.get("watch") in ("1", "true"):
            return "watch"
        return "get" if asked.name else "list"
    verbs = {
        "POST": ("", "create"),
        "PUT": ("update", ""),
        "PATCH": ("patch", ""),
        "DELETE": ("delete", "deletecollection"),
    }
    verb = verbs.get(request.method, ("", ""))[0 if asked.name else 1]
    if not verb:
        raise method_not_allowed()
    return verb


def _options(query: Mapping[str, str]) -> dict[str, Any]:
    said: dict[str, Any] = {key: query[key] for key in ("propagationPolicy", "gracePeriodSeconds") if key in query}
    return said | ({"dryRun": [query["dryRun"]]} if "dryRun" in query else {})


async def _body(request: web.Request, kind: Kind) -> Any:
    raw = await request.read()
    if not raw:
        return {}
    if request.content_type == PROTOBUF:
        return decoded(raw)
    try:
        if request.content_type == APPLY:
            return yaml.safe_load(raw) or {}
        return json.loads(raw)
    except (ValueError, yaml.YAMLError):
        shown = raw.decode(errors="replace")
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind.kind}): couldn't get version/kind; "
            f"json parse error: unexpected end of JSON input ({shown})"
        ) from None


def _continued(token: str) -> int:
    if not token:
        return 0
    try:
        return int(json.loads(base64.urlsafe_b64decode(token))["s"])
    except (ValueError, KeyError, TypeError):
        text = "invalid continue token: continue key is not valid: invalid character 'i' looking for beginning of value"
        raise bad_request(text) from None


def _json(status: int, said: Mapping[str, Any]) -> web.Response:
    return web.json_response(dict(said), status=status)
