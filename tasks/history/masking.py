"""Templates without the values of plain variables and of what probes send: records are read by more people than
services are. Pure.

The name stays, and the SHA-256 of the value, which tells whether another value is the same. References to secrets stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

DIGEST = "valueSha256"  # stands in an entry instead of `value`
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def masked(template: Mapping[str, Any]) -> dict[str, Any]:
    """A revision template of the Cloud Run API, v2 as JSON, with its values masked; one that is masked stays so."""
    return with_values(template, _masked)


def masked_job(template: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a template of a job's executions."""
    return {**template, "template": masked(template["template"])} if template.get("template") else dict(template)


def with_values(
    template: Mapping[str, Any], change: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> dict[str, Any]:
    """The template with each variable, and each header of a probe, as `change` makes it."""
    containers = [_container(container, change) for container in template.get("containers") or ()]
    return {**template, "containers": containers} if containers else dict(template)


def _container(
    container: Mapping[str, Any], change: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> Mapping[str, Any]:
    made = {**container, "env": [change(each) for each in container["env"]]} if container.get("env") else {**container}
    for name in PROBES:
        probe = container.get(name) or {}
        asked = probe.get("httpGet") or {}
        if asked.get("httpHeaders"):
            made[name] = {**probe, "httpGet": {**asked, "httpHeaders": [change(each) for each in asked["httpHeaders"]]}}
    return made


def _masked(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    if DIGEST in entry or entry.get("valueSource"):
        return entry
    value = str(entry.get("value", ""))  # Cloud Run leaves out an empty one
    rest = {key: kept for key, kept in entry.items() if key != "value"}
    return {**rest, DIGEST: hashlib.sha256(value.encode()).hexdigest()}
