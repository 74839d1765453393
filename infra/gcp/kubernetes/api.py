"""Calls to a cluster's API server: discovery, lists page by page, changes and deletes with preconditions.

https://kubernetes.io/docs/reference/using-api/api-concepts/. The official client weighs a hundred megabytes for the
few calls that are needed here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx

from infra.gcp.calls.attempts import ONCE, READ, Attempts, attempted, current_caller
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.polling import until
from infra.gcp.kubernetes.access import Access, context_of

PAGE = 500
AT_ONCE = 16
WHOLE = "application/json"
METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
MERGE = "application/merge-patch+json"
EXPIRED = "OUT_OF_RANGE"
STATUSES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
    410: EXPIRED, 422: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Resource:
    """A sort of objects, in the version in which this server prefers to give them."""

    group: str  # '' for the core group
    version: str
    plural: str
    kind: str
    namespaced: bool

    def path(self, namespace: str = "", name: str = "") -> str:
        """Of one object, or of all of them in a namespace, or everywhere."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}{within}/{self.plural}{f'/{name}' if name else ''}"


class Api:
    """`async with Api(access) as api:`; every method raises GoogleError."""

    def __init__(self, access: Access, page: int = PAGE) -> None:
        self.access, self._page = access, page
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> Api:
        self._http = httpx.AsyncClient(
            base_url=self.access.server, verify=context_of(self.access), timeout=READ.timeout_s
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def resources(self) -> tuple[Resource, ...]:
        """All that can be listed and deleted, each once: in its group's preferred version, where that has it.

        One group that does not answer is an error: an aggregated API that is down would hide what is in it.
        """
        groups = (await self._read("discovery", "/apis"))["groups"]
        places = [("", "v1", "/api/v1")]
        for group in groups:
            preferred = group["preferredVersion"]["version"]
            versions = dict.fromkeys((preferred, *(each["version"] for each in group["versions"])))
            places += [(group["name"], each, f"/apis/{group['name']}/{each}") for each in versions]
        answers = await asyncio.gather(*(self._read("discovery", path) for _, _, path in places))
        found: dict[tuple[str, str], Resource] = {}
        for (group, version, _), answer in zip(places, answers, strict=True):
            for each in answer["resources"]:
                if "/" not in each["name"] and {"list", "delete"} <= set(each["verbs"]):
                    new = Resource(group, version, each["name"], each["kind"], each["namespaced"])
                    found.setdefault((group, each["name"]), new)
        return tuple(found.values())

    async def every(self, resource: Resource, namespace: str = "", *, metadata: bool = False) -> list[dict[str, Any]]:
        """Whole objects, or their metadata alone, page by page; a list of which one page fails is an error.

        Where the pages have become too old to go on, all of it once more, at once:
        https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks
        """
        place, accept = (f"{resource.plural}.list", resource.path(namespace)), METADATA if metadata else WHOLE
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": self._page}
        while True:
            try:
                page = await self._read(*place, accept, query)
            except GoogleError as error:
                if error.status != EXPIRED or "continue" not in query:
                    raise
                found, query = [], {}
                continue
            if "items" not in page:
                raise GoogleError(f"kubernetes.{place[0]}", "UNKNOWN", "The answer is no list.")
            found += page["items"] or ()  # null where there is none
            token = (page.get("metadata") or {}).get("continue", "")
            if not token:
                return found
            query["continue"] = token

    async def get(self, path: str, *, metadata: bool = False) -> dict[str, Any] | None:
        """None if there is no such object."""
        accept = METADATA.replace("MetadataList", "Metadata") if metadata else WHOLE
        try:
            return await self._read(f"{_plural(path)}.get", path, accept)
        except GoogleError as error:
            if error.status == "NOT_FOUND":
                return None
            raise

    async def patch(self, path: str, change: Mapping[str, Any], uid: str, version: str) -> bool:
        """A merge patch of what is as it was; False if it is gone. ABORTED if it has changed."""
        meta = {**change.get("metadata", {}), "uid": uid, "resourceVersion": version}
        body = json.dumps({**change, "metadata": meta})
        return await self._unless_gone("PATCH", f"{_plural(path)}.patch", path, body, MERGE)

    async def delete(self, path: str, uid: str, version: str, timeout_s: float) -> bool:
        """Of what is as it was; False if it is gone already. 200 means accepted: waits until it is gone.

        All options stand in the body: beside a body, those of the query are ignored.
        """
        preconditions = {"uid": uid, "resourceVersion": version}
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        body = json.dumps({**options, "preconditions": preconditions})
        if not await self._unless_gone("DELETE", f"{_plural(path)}.delete", path, body, WHOLE):
            return False

        async def gone() -> bool:
            found = await self.get(path, metadata=True)
            return found is None or found["metadata"]["uid"] != uid

        try:
            await until(gone, limit_s=timeout_s, pause_s=0.1, longest_s=2.0)
        except TimeoutError:
            waits = _waits(await self.get(path) or {})
            raise GoogleError(f"kubernetes.{_plural(path)}.delete", "DEADLINE_EXCEEDED", f"{path}: {waits}.") from None
        return True

    async def _unless_gone(self, verb: str, name: str, path: str, body: str, media_type: str) -> bool:
        try:
            await self._call(verb, name, path, ONCE, content=body, headers={"Content-Type": media_type})
        except GoogleError as error:
            if error.status == "NOT_FOUND":
                return False
            raise
        return True

    async def _read(
        self, name: str, path: str, accept: str = WHOLE, query: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        async with self._gate:
            return await self._call("GET", name, path, READ, headers={"Accept": accept}, params=dict(query or {}))

    async def _call(self, verb: str, name: str, path: str, attempts: Attempts, **more: Any) -> dict[str, Any]:
        method, headers = f"kubernetes.{name}", more.pop("headers")
        if reason := current_caller().reason:
            headers |= {"X-Goog-Request-Reason": reason}

        async def once() -> dict[str, Any]:
            bearer = await self.access.bearer()
            authorization = {"Authorization": f"Bearer {bearer}"} if bearer else {}
            response = await self._http.request(verb, path, headers=headers | authorization, **more)
            return _answer(method, response)

        return await attempted(method, once, attempts)


def _waits(found: Mapping[str, Any]) -> str:
    """Why something is not gone yet, by its finalizers and by what a namespace tells of its end."""
    holders = ", ".join(found.get("metadata", {}).get("finalizers") or ())
    conditions = (found.get("status") or {}).get("conditions") or ()
    said = [each for each in conditions if each.get("status") == "True" and each["type"].startswith("Namespace")]
    told = [str(each.get("message", "")) for each in said]
    return "; ".join([f"it waits for {holders}" if holders else "it is still there", *told])


def _answer(method: str, response: httpx.Response) -> dict[str, Any]:
    """Raises GoogleError for a Status that says no, and for what is no JSON."""
    try:
        said = response.json()
    except ValueError:
        said = None
    if response.is_success and isinstance(said, dict):
        return said
    status = said if isinstance(said, dict) else {}
    message = str(status.get("message", "")) or response.text.strip()[:500] or f"HTTP {response.status_code}"
    reason = str(status.get("reason", ""))
    code = "ALREADY_EXISTS" if reason == "AlreadyExists" else STATUSES.get(response.status_code, "UNKNOWN")
    raise GoogleError(method, code, message, response.status_code, reason=reason, domain="kubernetes.io")


def _plural(path: str) -> str:
    """configmaps of /api/v1/namespaces/shop/configmaps/a."""
    parts = path.split("/")
    return parts[-2]
