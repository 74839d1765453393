"""What an API server tells of itself: versions, groups, resources, and that it validates fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.emulator.kubernetes.kinds import Kind

VERSION = {
    "major": "1", "minor": "33", "gitVersion": "v1.33.5-gke.1080000", "gitCommit": "0" * 40, "gitTreeState": "clean",
    "buildDate": "2025-09-17T08:40:07Z", "goVersion": "go1.24.6", "compiler": "gc", "platform": "linux/amd64",
}  # fmt: skip
# Versions that the recorded server has beside the preferred one.
_OLDER = {"batch": "v1beta1", "networking.k8s.io": "v1beta1"}
Kinds = Mapping[tuple[str, str], Kind]


def core_versions() -> dict[str, Any]:
    address = {"clientCIDR": "0.0.0.0/0", "serverAddress": "10.0.0.1:443"}
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [address]}


def groups(kinds: Kinds) -> dict[str, Any]:
    found: dict[str, str] = {each.group: each.version for each in kinds.values() if each.group}
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(*each) for each in sorted(found.items())]}


def group(name: str, version: str) -> dict[str, Any]:
    versions = [version, *([_OLDER[name]] if name in _OLDER else [])]
    said = [{"groupVersion": f"{name}/{each}", "version": each} for each in versions]
    return {"name": name, "versions": said, "preferredVersion": said[0]}


def resources(kinds: Kinds, name: str, version: str) -> dict[str, Any] | None:
    """None where there is no such version of a group."""
    found = [each for each in kinds.values() if (each.group, each.version) == (name, version)]
    if not found and _OLDER.get(name) != version:
        return None
    said = {"groupVersion": f"{name}/{version}" if name else version}
    listed = [entry for each in sorted(found, key=lambda each: each.plural) for entry in each.listed()]
    return {"kind": "APIResourceList", **({"apiVersion": "v1"} if name else {}), **said, "resources": listed}


def openapi_index(kinds: Kinds) -> dict[str, Any]:
    """https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-v3"""
    places = {_place(each) for each in kinds.values()}
    return {"paths": {place: {"serverRelativeURL": f"/openapi/v3/{place}?hash=0"} for place in sorted(places)}}


def openapi(kinds: Kinds, place: str) -> dict[str, Any] | None:
    """No schemas; but kubectl learns here that `fieldValidation` is understood, and leaves validation to the server."""
    found = [each for each in kinds.values() if _place(each) == place]
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string"}}
        for name in ("dryRun", "fieldManager", "fieldValidation", "force")
    ]
    paths = {
        f"/{place}/{'namespaces/{namespace}/' * each.namespaced}{each.plural}/{{name}}": {
            "patch": {
                "operationId": f"patch{each.kind}",
                "parameters": parameters,
                "responses": {"200": {"description": "OK"}},
                "x-kubernetes-action": "patch",
                "x-kubernetes-group-version-kind": {"group": each.group, "version": each.version, "kind": each.kind},
            }
        }
        for each in found
    }
    info = {"title": "Kubernetes", "version": VERSION["gitVersion"]}
    return {"openapi": "3.0.0", "info": info, "paths": paths} if found else None


def _place(kind: Kind) -> str:
    return f"apis/{kind.group_version}" if kind.group else f"api/{kind.version}"
