"""Resources of Compute Engine by project, place and collection, as JSON in the API's words.

A key is projects/{project}/{global, regions/R or zones/Z}/{collection}/{name}, which is also how they refer to each
other: https://cloud.google.com/compute/docs/reference/rest/v1. What another refers to cannot be deleted.
"""

from __future__ import annotations

import re
import time
import uuid
import zlib
from collections.abc import Iterator
from typing import Any

from infra.emulator.compute.fields import FIELDS
from infra.emulator.iam.json_apis import LegacyError, Resource, known_only, timestamp
from infra.emulator.kernel.cloud import Cloud

API = "https://www.googleapis.com/compute/v1"
# https://cloud.google.com/compute/docs/naming-resources: RFC 1035
NAME = re.compile(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?")
REFERENCE = re.compile(
    r"(?:https://[\w.]+/compute/v1/)?(?:projects/([^/]+)/)?((?:global|(?:regions|zones)/[^/]+)/(\w+)/[^/]+)"
)
IN_WORDS = re.compile(r"(?<!^)(?=[A-Z])")
DEFAULT_NETWORK = (
    "global/networks/default"  # every project has one: https://cloud.google.com/vpc/docs/vpc#default-network
)


class Compute:
    def __init__(self, cloud: Cloud) -> None:
        self.table = cloud.store.values("compute")
        self.operations = cloud.store.values("compute-operations")

    def find(self, name: str) -> Resource:
        found = self.table.get(name)
        if found is None:
            raise LegacyError(404, "notFound", f"The resource '{name}' was not found")
        return dict(found)

    def of(self, project: str, collection: str, place: str = "") -> list[tuple[str, Resource]]:
        """By place, those of one place where it is named, and name; addresses tell who uses them."""
        start = f"projects/{project}/{place + '/' if place else ''}"
        names = [name for name in self.table.names(start) if name.split("/")[-2] == collection]
        return [(name, self.shown(name)) for name in names]

    def shown(self, name: str) -> Resource:
        found = self.find(name)
        users = [f"{API}/{user}" for user in self.users(name)]
        if "/addresses/" in name:
            found["status"] = "IN_USE" if users else "RESERVED"
        return found | ({"users": users} if users and "/addresses/" in name else {})

    def insert(self, project: str, place: str, collection: str, body: Resource) -> str:
        """The name of what has been made."""
        name = str(body.get("name", ""))
        _check(collection, body, name)
        full = f"projects/{project}/{place}/{collection}/{name}"
        if full in self.table:
            raise LegacyError(409, "alreadyExists", f"The resource '{full}' already exists")
        self._put(full, collection, place, {**_defaults(collection, full), **body})
        return full

    def patch(self, full: str, changes: Resource) -> None:
        collection, place = full.split("/")[-2], full.split("/", 2)[2].rsplit("/", 2)[0]
        known_only(changes, FIELDS[collection], "resource")
        there = self.find(full)
        seen = changes.get("fingerprint")
        if seen is not None and seen != there.get("fingerprint"):
            raise LegacyError(412, "conditionNotMet", "Invalid fingerprint.")
        self._put(full, collection, place, {**there, **changes, "name": there["name"]})

    def _put(self, full: str, collection: str, place: str, body: Resource) -> None:
        """With what Google sets itself. Whatever it refers to has to be there."""
        project = full.split("/")[1]
        for reference in references(project, body):
            if reference not in self.table and reference != f"projects/{project}/{DEFAULT_NETWORK}":
                raise LegacyError(404, "notFound", f"The resource '{reference}' was not found")
        where = {"region": f"{API}/projects/{project}/{place}"} if place.startswith("regions/") else {}
        where |= {"zone": f"{API}/projects/{project}/{place}"} if place.startswith("zones/") else {}
        printed = {"fingerprint": uuid.uuid4().hex[:11] + "="} if "fingerprint" in FIELDS[collection] else {}
        self.table.put(full, {**body, **where, **printed, "selfLink": f"{API}/{full}"})

    def delete(self, full: str) -> None:
        self.find(full)
        if users := list(self.users(full)):
            text = f"The {_word(full)} resource '{full}' is already being used by '{users[0]}'"
            raise LegacyError(400, "resourceInUseByAnotherResource", text)
        self.table.delete(full)

    def users(self, full: str) -> Iterator[str]:
        """Who refers to it; a forwarding rule may name an address by its digits."""
        digits = self.find(full).get("address") if "/addresses/" in full else None
        for name in self.table.names(f"projects/{full.split('/')[1]}/"):
            body = self.table.get(name) or {}
            if name != full and (
                full in references(full.split("/")[1], body) or (digits and body.get("IPAddress") == digits)
            ):
                yield name

    def operate(self, project: str, place: str, kind: str, full: str, user: str) -> Resource:
        """An operation that is done already, as it is at the latest when it is asked for again."""
        name = f"operation-{time.time_ns() // 1_000_000}-{uuid.uuid4().hex[:13]}"
        now, at = timestamp(), f"projects/{project}/{place}"
        operation: Resource = {
            "kind": "compute#operation", "id": str(zlib.crc32(name.encode())), "name": name, "operationType": kind,
            "targetLink": f"{API}/{full}", "targetId": str(zlib.crc32(full.encode())), "status": "DONE",
            "user": user, "progress": 100, "insertTime": now, "startTime": now, "endTime": now,
            "selfLink": f"{API}/{at}/operations/{name}",
        }  # fmt: skip
        if place != "global":
            operation[place.split("/")[0].removesuffix("s")] = f"{API}/{at}"
        self.operations.put(f"{at}/operations/{name}", operation)
        return operation


def references(project: str, body: Any) -> set[str]:
    """The names of all resources that a body names as links, in full or from the project on."""
    if isinstance(body, str):
        found = REFERENCE.fullmatch(body)
        known = found is not None and found[3] in FIELDS
        return {f"projects/{found[1] or project}/{found[2]}"} if found is not None and known else set()
    if isinstance(body, list):
        return {name for each in body for name in references(project, each)}
    if isinstance(body, dict):
        own = ("selfLink", "region", "zone", "name", "users")
        return {name for key, each in body.items() if key not in own for name in references(project, each)}
    return set()


def _check(collection: str, body: Resource, name: str) -> None:
    known_only(body, FIELDS[collection], "resource")
    if not NAME.fullmatch(name):
        text = f"Invalid value for field 'resource.name': '{name}'. Must be a match of regex '{NAME.pattern}'"
        raise LegacyError(400, "invalid", text)
    if collection == "firewalls" and bool(body.get("allowed")) == bool(body.get("denied")):
        raise LegacyError(400, "invalid", "Exactly one of allowed and denied must be specified.")
    if collection == "networkEndpointGroups" and body.get("networkEndpointType") == "SERVERLESS":
        serverless = [each for each in ("cloudRun", "cloudFunction", "appEngine") if each in body]
        run = body.get("cloudRun", {"service": "another's"})
        if len(serverless) != 1 or bool(run.get("service")) == bool(run.get("urlMask")):
            text = "Invalid value for field 'resource': a serverless NEG names one service, or a URL mask."
            raise LegacyError(400, "invalid", text)


def _defaults(collection: str, full: str) -> Resource:
    number = zlib.crc32(full.encode())
    made: Resource = {"kind": f"compute#{_singular(collection)}", "id": str(number), "creationTimestamp": timestamp()}
    match collection:
        case "firewalls":
            made |= {"direction": "INGRESS", "priority": 1000, "disabled": False, "logConfig": {"enable": False},
                     "network": f"{API}/projects/{full.split('/')[1]}/{DEFAULT_NETWORK}"}  # fmt: skip
        case "addresses":
            digits = f"34.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
            made |= {"address": digits, "addressType": "EXTERNAL", "status": "RESERVED"}
        case "instances":
            made |= {"status": "RUNNING"}
        case "networkEndpointGroups":
            made |= {"size": 0}
    return made


def _singular(collection: str) -> str:
    return {"addresses": "address", "targetHttpProxies": "targetHttpProxy", "targetHttpsProxies": "targetHttpsProxy",
            "targetTcpProxies": "targetTcpProxy", "targetSslProxies": "targetSslProxy"}.get(
        collection, collection.removesuffix("s"))  # fmt: skip


def _word(full: str) -> str:
    """url_map"""
    return IN_WORDS.sub("_", _singular(full.split("/")[-2])).lower()
