"""Compute Engine: firewalls, machines, and what load balancers are made of, over REST.

Resources are told as their JSON: which fields matter depends on what they are. Names are full ones,
projects/{project}/{global, regions/R or zones/Z}/{collection}/{name}. Lists are never partial: what answers with a
warning is an error. https://cloud.google.com/compute/docs/reference/rest/v1
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from infra.gcp.calls.clients import unless_gone
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.rest import change, ended, find_json, get_json

API = "https://compute.googleapis.com/compute/v1"
PAGE_SIZE = 500
LONGEST_POLL_S = 2.0
NOTHING = "NO_RESULTS_ON_PAGE"  # the one warning that takes nothing from an answer
_LINK = re.compile(r"(?:https://[\w.]+/compute/v1/)?(projects/[^/]+/(?:global|(?:regions|zones)/[^/]+)/\w+/[^/]+)")


@dataclass(frozen=True, slots=True)
class Resource:
    name: str
    created: datetime
    body: Mapping[str, Any]

    @property
    def labels(self) -> Mapping[str, str]:
        return dict(self.body.get("labels", {}))


async def list_global(project: str, collection: str) -> list[Resource]:
    """Raises GoogleError, as all here."""
    found: list[Resource] = []
    async for page in _pages(f"compute.{collection}.list", f"{API}/projects/{project}/global/{collection}"):
        found += [_resource(project, each) for each in page.get("items", ())]
    return found


async def list_everywhere(project: str, collection: str) -> list[Resource]:
    """Global ones and those of all regions and zones; an answer that lacks any of them is none."""
    name, found = f"compute.{collection}.aggregatedList", list[Resource]()
    query = {"returnPartialSuccess": "false", "includeAllScopes": "true"}
    async for page in _pages(name, f"{API}/projects/{project}/aggregated/{collection}", query):
        if page.get("unreachables"):
            raise GoogleError(name, "UNAVAILABLE", f"Not all could be listed: {', '.join(page['unreachables'])}")
        for scope in page.get("items", {}).values():
            _refuse(name, scope)
            found += [_resource(project, each) for each in scope.get(collection, ())]
    return found


async def get(name: str) -> Resource | None:
    found = await find_json("compute.get", f"{API}/{name}")
    return None if found is None else _resource(name.split("/")[1], found)


async def is_shared(project: str) -> bool:
    """Whether other projects use its networks: https://cloud.google.com/vpc/docs/shared-vpc"""
    found = await get_json("compute.projects.get", f"{API}/projects/{project}")
    return bool(found.get("xpnProjectStatus") == "HOST")


async def patch(name: str, body: Mapping[str, Any], timeout_s: float) -> bool:
    """False if it is gone."""
    return await unless_gone(_done("compute.patch", "PATCH", name, timeout_s, body))


async def delete(name: str, timeout_s: float) -> bool:
    """False if it is gone; INVALID_ARGUMENT where another resource uses it."""
    return await unless_gone(_done("compute.delete", "DELETE", name, timeout_s))


def links(body: Any, project: str) -> frozenset[str]:
    """The full names of all resources that a body names, with the project's id as it was asked for."""
    if isinstance(body, str):
        found = _LINK.fullmatch(body)
        return frozenset({named(found[1], project)}) if found else frozenset()
    if isinstance(body, Mapping):
        named_by_it = (each for key, each in body.items() if key not in ("selfLink", "users"))
        return frozenset().union(*(links(each, project) for each in named_by_it))
    return frozenset().union(*(links(each, project) for each in body)) if isinstance(body, list) else frozenset()


def state(body: Mapping[str, Any], but: Collection[str] = ()) -> str:
    """A digest of all that somebody has set, for what has no etag; `but` for these fields."""
    others = {"kind", "selfLink", "users", "status", *but}
    text = json.dumps({key: value for key, value in body.items() if key not in others}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def named(name: str, project: str) -> str:
    """The name in the words of whoever has asked for a project by its id: links may carry its number."""
    _, said, rest = name.split("/", 2)
    return f"projects/{project if said.isdigit() else said}/{rest}"


async def _pages(name: str, url: str, query: Mapping[str, str] | None = None) -> Any:
    token = ""
    while True:
        asked = {"maxResults": PAGE_SIZE, **(query or {})} | ({"pageToken": token} if token else {})
        page = await get_json(name, f"{url}?{urlencode(asked)}")
        _refuse(name, page)
        yield page
        token = page.get("nextPageToken", "")
        if not token:
            return


def _refuse(name: str, part: Mapping[str, Any]) -> None:
    """Raises where a list says that it is not whole."""
    warning = part.get("warning", {})
    if warning and warning.get("code") != NOTHING:
        raise GoogleError(name, "UNAVAILABLE", f"Not all could be listed: {warning.get('message', warning)}")


async def _done(called: str, method: str, name: str, timeout_s: float, body: object = None) -> None:
    """Waits for the operation that the call starts; its failure is a GoogleError."""
    operation = await change(called, method, f"{API}/{name}", body)
    place = "/".join(name.split("/")[:3] if name.split("/")[2] == "global" else name.split("/")[:4])
    url = f"{API}/{place}/operations/{operation['name']}"
    await ended(called, "compute.operations.get", url, timeout_s, LONGEST_POLL_S)


def _resource(project: str, body: Mapping[str, Any]) -> Resource:
    found = _LINK.fullmatch(body["selfLink"])
    if found is None:
        raise GoogleError("compute", "INTERNAL", f"{body['selfLink']} is no link to a resource.")
    return Resource(named(found[1], project), datetime.fromisoformat(body["creationTimestamp"]), body)
