"""Server-side apply: which manager has set which field. https://kubernetes.io/docs/reference/using-api/server-side-apply/

Fields go by their path, `.data.k`; a list is one field. Real servers tell entries of some lists apart.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infra.emulator.kubernetes.kinds import Kind
from infra.emulator.kubernetes.status import Refusal

IDENTITY = {".apiVersion", ".kind", ".metadata.name", ".metadata.namespace"}


def paths(given: Mapping[str, Any]) -> list[str]:
    """Of every value that is set."""
    return sorted(path for path, _ in _leaves(given) if path not in IDENTITY)


def taken(
    kind: Kind,
    old: Mapping[str, Any],
    given: Mapping[str, Any],
    managers: Mapping[str, Sequence[str]],
    manager: str,
    *,
    force: bool,
) -> dict[str, list[str]]:
    """Who owns what when `manager` has applied `given`. Raises Refusal where others want another value."""
    wanted = {path: value for path, value in _leaves(given) if path not in IDENTITY}
    conflicts = [
        (path, other)
        for other, owned in sorted(managers.items())
        for path in owned
        if other != manager and path in wanted and _at(old, path) != wanted[path]
    ]
    if conflicts and not force:
        causes = [
            {"reason": "FieldManagerConflict", "message": f'conflict with "{other}"', "field": path}
            for path, other in conflicts
        ]
        plural = "" if len(conflicts) == 1 else "s"
        told = ", ".join(f'conflict with "{other}": {path}' for path, other in conflicts)
        text = f"Apply failed with {len(conflicts)} conflict{plural}: {told}"
        raise Refusal(409, "Conflict", text, {"causes": causes})
    lost = {path for path, _ in conflicts}
    rest = {other: [path for path in owned if path not in lost] for other, owned in managers.items()}
    return {**rest, manager: sorted(wanted)}


def without(
    old: Mapping[str, Any], managers: Mapping[str, Sequence[str]], manager: str, wanted: Sequence[str]
) -> dict[str, Any]:
    """The object without what `manager` had set, does not set any more, and nobody else has set."""
    new = copy.deepcopy(dict(old))
    others = {path for other, owned in managers.items() if other != manager for path in owned}
    for path in set(managers.get(manager, ())) - set(wanted) - others:
        *parents, last = _parts(path)
        holder: Any = new
        for part in parents:
            holder = holder.get(part, {}) if isinstance(holder, dict) else {}
        if isinstance(holder, dict):
            holder.pop(last, None)
    return new


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key.replace('.', '~')}")
    elif path:
        yield path.replace("~", "\x00"), value


def _parts(path: str) -> list[str]:
    return [part.replace("\x00", ".") for part in path.split(".")[1:]]


def _at(found: Any, path: str) -> Any:
    for part in _parts(path):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
