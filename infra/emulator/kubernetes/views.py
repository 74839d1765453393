"""The forms in which an API server gives objects: whole, their metadata alone, or as a table.

https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-representations
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from infra.emulator.kubernetes.kinds import Kind
from infra.emulator.kubernetes.objects import Object

META = "meta.k8s.io/v1"
_ASKED = re.compile(r"as=(\w+)")


def form(accept: str) -> str:
    """'' for whole objects, else Table or PartialObjectMetadata, with List or not; the first that is known."""
    for each in accept.split(","):
        found = _ASKED.search(each)
        if not found:
            return ""
        if found[1].removesuffix("List") in ("Table", "PartialObjectMetadata") and "v1beta1" not in each:
            return found[1].removesuffix("List")
    return ""


def one(kind: Kind, found: Object, accept: str) -> Mapping[str, Any]:
    asked = form(accept)
    if asked == "Table":
        return _table(kind, [found], {"resourceVersion": found["metadata"].get("resourceVersion", "")})
    return _partial(found) if asked else found


def many(kind: Kind, found: Sequence[Object], meta: Mapping[str, Any], accept: str) -> Mapping[str, Any]:
    """Items of lists carry neither kind nor apiVersion; a list of metadata alone that is empty has null for items."""
    asked = form(accept)
    if asked == "Table":
        return _table(kind, found, meta)
    if asked:
        items = [_partial(each) for each in found] or None
        return {"kind": "PartialObjectMetadataList", "apiVersion": META, "metadata": dict(meta), "items": items}
    bare = [{key: value for key, value in each.items() if key not in ("kind", "apiVersion")} for each in found]
    return {"kind": f"{kind.kind}List", "apiVersion": kind.group_version, "metadata": dict(meta), "items": bare}


def _partial(found: Object) -> dict[str, Any]:
    return {"kind": "PartialObjectMetadata", "apiVersion": META, "metadata": found["metadata"]}


def _table(kind: Kind, found: Sequence[Object], meta: Mapping[str, Any]) -> dict[str, Any]:
    more = _COLUMNS.get(kind.kind, ())
    names = ["Name", *(name for name, _ in more), "Age"]
    columns = [{"name": name, "type": "string", "format": "name" if name == "Name" else "", "description": "",
                "priority": 0} for name in names]  # fmt: skip
    rows = [
        {
            "cells": [each["metadata"]["name"], *(cell(each) for _, cell in more), _age(each)],
            "object": _partial(each),
        }
        for each in found
    ]
    return {"kind": "Table", "apiVersion": META, "metadata": dict(meta), "columnDefinitions": columns, "rows": rows}


def scale(found: Object) -> dict[str, Any]:
    """https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/scale-v1/"""
    own = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: found["metadata"][key] for key in own},
        "spec": {"replicas": found["spec"].get("replicas", 1)},
        "status": {"replicas": found.get("status", {}).get("replicas", 0)},
    }


def _age(found: Object) -> str:
    """As kubectl shows it, in the largest unit."""
    made = datetime.fromisoformat(found["metadata"]["creationTimestamp"])
    seconds = int((datetime.now(UTC) - made).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{max(seconds, 0)}s"


def _phase(found: Object) -> str:
    return str(found.get("status", {}).get("phase", ""))


def _replicas(found: Object) -> str:
    return f"{found.get('status', {}).get('readyReplicas', 0)}/{found['spec'].get('replicas', 1)}"


_COLUMNS: Mapping[str, Sequence[tuple[str, Callable[[Object], Any]]]] = {
    "ConfigMap": [("Data", lambda each: len(each.get("data") or {}) + len(each.get("binaryData") or {}))],
    "Secret": [("Type", lambda each: each.get("type", "")), ("Data", lambda each: len(each.get("data") or {}))],
    "Namespace": [("Status", _phase)],
    "Pod": [("Ready", lambda each: f"0/{len(each['spec'].get('containers', ()))}"), ("Status", _phase)],
    "PersistentVolumeClaim": [("Status", _phase)],
    "Deployment": [("Ready", _replicas)],
    "ReplicaSet": [("Desired", lambda each: each["spec"].get("replicas", 1))],
    "StatefulSet": [("Ready", _replicas)],
    "Service": [("Type", lambda each: each["spec"].get("type", "ClusterIP"))],
}
