"""Field masks: which part of a resource an update is about (https://google.aip.dev/134)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infra.emulator.kernel.errors import invalid


def merged(current: Any, given: Any, paths: Sequence[str]) -> Any:
    """`current` with the fields at `paths` taken from `given`; all of `given` when there are none, or for '*'."""
    result = type(current)()
    if not paths or "*" in paths:
        result.CopyFrom(given)
        return result
    result.CopyFrom(current)
    for path in paths:
        _take(result, given, path.split("."), path)
    return result


def _take(target: Any, source: Any, parts: Sequence[str], path: str) -> None:
    field = next((f for f in target.DESCRIPTOR.fields if parts[0] in (f.name, f.json_name)), None)
    if field is None or (len(parts) > 1 and (field.is_repeated or field.message_type is None)):
        raise invalid(f"Invalid field mask: '{path}' is not a field of {target.DESCRIPTOR.full_name}.", "update_mask")
    if len(parts) > 1:
        _take(getattr(target, field.name), getattr(source, field.name), parts[1:], path)
        return
    target.ClearField(field.name)
    if field.is_repeated:
        getattr(target, field.name).MergeFrom(getattr(source, field.name))
    elif field.message_type is None:
        setattr(target, field.name, getattr(source, field.name))
    elif source.HasField(field.name):
        getattr(target, field.name).CopyFrom(getattr(source, field.name))
