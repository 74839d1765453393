"""Label and field selectors: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#api"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from infra.emulator.kubernetes.kinds import Kind
from infra.emulator.kubernetes.status import bad_request

Predicate = Callable[[Mapping[str, Any]], bool]
_IN = re.compile(r"(\S+)\s+(in|notin)\s*\(([^)]*)\)")
_EQUAL = re.compile(r"([^=!\s]+)\s*(==|=|!=)\s*([^=!]*)")
_FIELDS = {
    "pods": {"spec.nodeName", "status.phase", "spec.restartPolicy", "spec.serviceAccountName"},
    "secrets": {"type"},
    "events": {"involvedObject.kind", "involvedObject.name", "involvedObject.namespace", "involvedObject.uid", "type"},
    "namespaces": {"status.phase"},
    "jobs": {"status.successful"},
}


def labels(selector: str) -> Predicate:
    """Raises Refusal for what is no selector."""
    terms = [_term(text.strip()) for text in re.split(r",(?![^(]*\))", selector) if text.strip()]
    return lambda found: all(term(found["metadata"].get("labels") or {}) for term in terms)


def _term(text: str) -> Predicate:
    if found := _IN.fullmatch(text):
        key, how, values = found[1], found[2], {each.strip() for each in found[3].split(",")}
        if how == "in":
            return lambda given: given.get(key) in values
        return lambda given: given.get(key) not in values
    if found := _EQUAL.fullmatch(text):
        key, how, value = found[1], found[2], found[3].strip()
        if how == "!=":
            return lambda given: given.get(key) != value
        return lambda given: given.get(key) == value
    if re.fullmatch(r"!?[A-Za-z0-9][-A-Za-z0-9_./]*", text):
        key = text.removeprefix("!")
        return lambda given: (key in given) != text.startswith("!")
    raise bad_request("unable to parse requirement: found '=', expected: identifier")


def fields(selector: str, kind: Kind) -> Predicate:
    known = {"metadata.name", *({"metadata.namespace"} if kind.namespaced else ()), *_FIELDS.get(kind.plural, ())}
    terms: list[Predicate] = []
    for text in filter(None, selector.split(",")):
        found = _EQUAL.fullmatch(text.strip())
        if not found:
            raise bad_request(f"invalid selector: {text!r}; can't understand {text!r}")
        if found[1] not in known:
            shown = ", ".join(f'"{each}"' for each in sorted(known & {"metadata.name", "metadata.namespace"}))
            raise bad_request(f'"{found[1]}" is not a known field selector: only {shown}')
        terms.append(_field(found[1], found[2], found[3]))
    return lambda given: all(term(given) for term in terms)


def _field(path: str, how: str, wanted: str) -> Predicate:
    def holds(given: Mapping[str, Any]) -> bool:
        value: Any = given
        for part in path.split("."):
            value = value.get(part, "") if isinstance(value, Mapping) else ""
        return (str(value) == wanted) != (how == "!=")

    return holds
