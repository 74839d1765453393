"""slipway.yaml without what may be secret: values of variables, headers of probes, build arguments, and hooks. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

PROBES = ("startup_probe", "liveness_probe", "readiness_probe")


def silenced(said: dict[str, Any]) -> dict[str, Any]:
    """As a record keeps it; whatever an earlier version of Slipway has kept besides goes. What is silent stays so."""
    said = deepcopy(said)
    environments = list(_entries(said, "environments"))
    places = [said, *environments]
    for each in [
        *environments,
        *(one for place in places for key in ("services", "jobs", "worker_pools") for one in _entries(place, key)),
    ]:
        _silence(each)
        (each.get("build") or {}).pop("args", None)
        for sidecar in _entries(each, "sidecars"):
            _silence(sidecar)
    for environment in environments:
        environment.pop("before", None)
        environment.pop("after", None)
    return said


def _entries(said: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    return (each for each in (said.get(key) or {}).values() if isinstance(each, dict))


def _silence(said: dict[str, Any]) -> None:
    said.pop("env", None)
    for probe in PROBES:
        if isinstance(said.get(probe), dict):
            said[probe].pop("headers", None)
