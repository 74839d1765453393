"""Templates without the values of plain variables: records are read by more people than services are. Pure.

The name stays, and the SHA-256 of the value, which tells whether another value is the same. References to secrets stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

DIGEST = "valueSha256"  # stands in a variable's entry instead of `value`


def masked(template: Mapping[str, Any]) -> dict[str, Any]:
    """A revision template of the Cloud Run API, v2 as JSON, with its variables masked; one that is masked stays so."""
    containers = [_container(container) for container in template.get("containers") or ()]
    return {**template, "containers": containers} if containers else dict(template)


def _container(container: Mapping[str, Any]) -> Mapping[str, Any]:
    variables = container.get("env")
    return {**container, "env": [_variable(each) for each in variables]} if variables else container


def _variable(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    if DIGEST in entry or entry.get("valueSource"):
        return entry
    value = str(entry.get("value", ""))  # Cloud Run leaves out an empty one
    rest = {key: kept for key, kept in entry.items() if key != "value"}
    return {**rest, DIGEST: hashlib.sha256(value.encode()).hexdigest()}
