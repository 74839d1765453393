"""Label selectors, as Kubernetes-style lists take them (equality and set based)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from infra.emulator.kernel.errors import invalid

_KEY = r"\s*([A-Za-z0-9./_-]+)\s*"
_EQUALITY = re.compile(rf"{_KEY}(==|=|!=)\s*([A-Za-z0-9._-]*)\s*")
_SET = re.compile(rf"{_KEY}\s(in|notin)\s*\(([^)]*)\)\s*")
_PRESENCE = re.compile(r"\s*(!?)\s*([A-Za-z0-9./_-]+)\s*")


def matches(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether labels meet every requirement of the selector: `a=b, c != d, e in (f, g), h, !i`."""
    requirements = re.split(r",(?![^(]*\))", selector) if selector.strip() else []
    return all(_meets(requirement, labels) for requirement in requirements)


def _meets(requirement: str, labels: Mapping[str, str]) -> bool:
    if match := _EQUALITY.fullmatch(requirement):
        key, operator, value = match.groups()
        return (labels.get(key) == value) == (operator != "!=")
    if match := _SET.fullmatch(requirement):
        key, operator, values = match.groups()
        return (labels.get(key) in {value.strip() for value in values.split(",")}) == (operator == "in")
    if match := _PRESENCE.fullmatch(requirement):
        return (match[2] in labels) == (not match[1])
    raise invalid(f"Invalid label selector: '{requirement.strip()}'.", "labelSelector")
