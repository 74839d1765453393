"""What slipway.yaml says, brought into a service that others have a say in as well: a three-way merge. Pure.

As `kubectl apply` does it: what is said now is set, what the last release said and this one does not goes back to its
default, and whatever Slipway never said stays as it is.
https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/#how-apply-calculates-differences-and-merges-changes

A path is `containers[].env[LEVEL]`. Containers, variables, volumes and mounts go by their names and not by their
places; `[]` is the container that gets the requests. Some values are said as one, see WHOLE.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

INGRESS = "[]"  # the container that gets the requests, whatever it is called
UNNAMED = "#"  # the sidecar that has no name, of which there is one at most
# Lists that are maps by one of their fields.
KEYED = {"env": "name", "volumes": "name", "volumeMounts": "mountPath"}
# Maps whose keys are the user's.
TEXTS = frozenset({"labels", "annotations", "limits"})
# One of several forms each, so that half of one and half of another would be none.
WHOLE = frozenset({"startupProbe", "livenessProbe", "readinessProbe", "vpcAccess", "binaryAuthorization"})
_SEGMENT = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")
_IMAGE = re.compile(r"(.*containers\[[^\]]+\])\.image")


def merged(
    live: Mapping[str, Any], before: Collection[str], said: Mapping[str, Any], fresh: Mapping[str, Any]
) -> dict[str, Any]:
    """`live` with what is `said`, and without what was said `before` and is not any more.

    before: paths. fresh: what something becomes that is said no more, for that which does not simply go.
    """
    found, wanted, new = leaves(_named_as_said(live, said)), leaves(said), leaves(fresh)
    for path in set(before) - wanted.keys():
        found.pop(path, None)
        if path in new:
            found[path] = new[path]
        if sidecar := _IMAGE.fullmatch(path):  # a container is gone without its image, whatever was added to it
            found = {each: value for each, value in found.items() if not each.startswith(sidecar[1])}
    return _body({**found, **wanted})


def leaves(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a body sets, by path, in its order. Entries of keyed lists, and what is in WHOLE, are one each."""
    return dict(found for key, value in body.items() for found in _walk(key, value, key))


def _walk(name: str, value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if name == "containers":
        ingress = ingress_of(value)
        for container in value:
            yield from _container(container, path, container is ingress)
    elif name in KEYED:
        keys = (str(entry.get(KEYED[name], "")).rstrip("/") for entry in value)  # a folder with a slash is the same one
        yield from ((f"{path}[{_escaped(key)}]", entry) for key, entry in zip(keys, value, strict=True))
    elif name in TEXTS:
        yield from ((f"{path}[{_escaped(key)}]", text) for key, text in value.items())
    elif name == "ports" and value:
        yield from ((f"{path}.{key}", inner) for key, inner in value[0].items())  # there is never more than one
    elif isinstance(value, Mapping) and value and name not in WHOLE:
        for key, inner in value.items():
            yield from _walk(key, inner, f"{path}.{key}")
    else:
        yield path, value


def _container(container: Mapping[str, Any], path: str, is_ingress: bool) -> Iterator[tuple[str, Any]]:
    label = INGRESS if is_ingress else f"[{_escaped(container.get('name') or UNNAMED)}]"
    for key, inner in container.items():
        if is_ingress or key != "name":
            yield from _walk(key, inner, f"{path}{label}.{key}")


def named_by_place(containers: Sequence[Mapping[str, Any]]) -> list[str]:
    """What sidecars are called, in their order; one without a name by its place among them."""
    ingress = ingress_of(containers)
    beside = [each for each in containers if each is not ingress]
    return [str(each.get("name") or f"sidecar-{number}") for number, each in enumerate(beside, 1)]


def _named_as_said(live: Mapping[str, Any], said: Mapping[str, Any]) -> Mapping[str, Any]:
    """With the name of a sidecar that has none, where it is said by that."""
    containers, known = live.get("containers", ()), {each.get("name") for each in said.get("containers", ())}
    ingress, names = ingress_of(containers), iter(named_by_place(containers))
    named = [each if each is ingress or (name := next(names)) not in known else {**each, "name": name}
             for each in containers]  # fmt: skip
    return {**live, "containers": named} if containers else live


def ingress_of(containers: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The container with a port gets the requests; where none says one, the first."""
    return next((each for each in containers if each.get("ports")), containers[0] if containers else None)


def _body(found: Mapping[str, Any]) -> dict[str, Any]:
    """The body with these leaves."""
    nested: dict[str, Any] = {}
    for path, value in found.items():
        *way, last = segments(path)
        place = nested
        for segment in way:
            place = place.setdefault(segment, {})
        if value == {}:
            place.setdefault(last, {})
        else:
            place[last] = value
    return {key: _listed(key, value) for key, value in nested.items()}


def _listed(name: str, value: Any) -> Any:
    """With the maps of `leaves` as the lists that they were."""
    if not isinstance(value, Mapping) or name in WHOLE:
        return value
    if name in KEYED:
        return list(value.values())
    if name in TEXTS:
        return dict(value)
    if name == "containers":
        return [({"name": key} if key not in ("", UNNAMED) else {}) | _fields(each) for key, each in value.items()]
    return [dict(value)] if name == "ports" else _fields(value)


def _fields(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _listed(key, inner) for key, inner in value.items()}


def shown_as(path: str) -> str:
    """The path as `settings` has it, for people."""
    text = path.replace("containers[].", "containers[0].").replace(".ports.", ".ports[0].")
    return re.sub(r"\.limits\[(.*)\]$", r".limits.\1", text)


def is_below(path: str, paths: Iterable[str]) -> bool:
    """Whether it is one of these, or part of one; both as people see them."""
    return any(path == each or path.startswith((f"{each}.", f"{each}[")) for each in paths)


def segments(path: str) -> list[str]:
    """The names of which a path consists, the deepest last."""
    return [_unescaped(key) if plain == "" else plain for key, plain in _SEGMENT.findall(path)]


def _escaped(key: str) -> str:
    return key.replace("%", "%25").replace("]", "%5D").replace("[", "%5B")


def _unescaped(key: str) -> str:
    return key.replace("%5B", "[").replace("%5D", "]").replace("%25", "%")
