"""Fields of messages that are newer than this client: kept when a message is made anew from one that was read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

KEYS = ("name", "mount_path")  # by which entries of lists are told apart; others go by their place


def keep_unknown(new: Any, old: Any) -> None:
    """Adds to `new`, in place, what `old` has and this client's messages have no field for, on every level.

    Protocol buffers keep such fields when a message is passed on, but not when one is made from JSON:
    https://protobuf.dev/programming-guides/proto3/#unknowns
    """
    if new.DESCRIPTOR is old.DESCRIPTOR:
        new.MergeFromString(_unknown(old))
    for field, value in new.ListFields():
        known = old.DESCRIPTOR.fields_by_name.get(field.name)
        if known is None or field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        if not field.is_repeated:
            keep_unknown(value, getattr(old, field.name))
            continue
        former = _by_key(getattr(old, field.name))
        for key, entry in _by_key(value).items():
            if key in former:
                keep_unknown(entry, former[key])


def _unknown(message: Any) -> bytes:
    rest = type(message)()
    rest.CopyFrom(message)
    for field, _ in message.ListFields():
        rest.ClearField(field.name)
    return bytes(rest.SerializeToString())


def _by_key(entries: Iterable[Any]) -> dict[object, Any]:
    return {_key(entry) or index: entry for index, entry in enumerate(entries)}


def _key(entry: Any) -> str:
    return next((str(getattr(entry, key)) for key in KEYS if key in entry.DESCRIPTOR.fields_by_name), "")
