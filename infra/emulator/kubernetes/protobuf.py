"""The few objects that kubectl sends in Kubernetes' protobuf encoding, when it makes them from its own arguments.

https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding; fields as in
https://github.com/kubernetes/api/blob/master/core/v1/generated.proto and apimachinery's meta/v1.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from infra.emulator.kubernetes.status import Refusal

PROTOBUF = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"
TEXT, FLAG, TEXTS, BYTES, META = "text", "flag", "map of texts", "map of bytes", "metadata"
Fields = dict[int, tuple[str, str]]
_META: Fields = {1: ("name", TEXT), 2: ("generateName", TEXT), 3: ("namespace", TEXT), 11: ("labels", TEXTS),
                 12: ("annotations", TEXTS)}  # fmt: skip
_KINDS: dict[str, Fields] = {
    "Namespace": {1: ("metadata", META)},
    "ConfigMap": {1: ("metadata", META), 2: ("data", TEXTS), 3: ("binaryData", BYTES), 4: ("immutable", FLAG)},
    "Secret": {1: ("metadata", META), 2: ("data", BYTES), 3: ("type", TEXT), 4: ("stringData", TEXTS),
               5: ("immutable", FLAG)},
    "ServiceAccount": {1: ("metadata", META)},
}  # fmt: skip


def decoded(raw: bytes) -> dict[str, Any]:
    """The object. Raises Refusal for other kinds than these, which clients can also send as JSON."""
    envelope = dict(_fields(raw.removeprefix(MAGIC)))
    said = dict(_fields(envelope[1]))
    version, kind = said[1].decode(), said[2].decode()
    if kind not in _KINDS:
        text = "the body of the request was in an unknown format - accepted media types include: application/json"
        raise Refusal(415, "UnsupportedMediaType", text, {})
    return {"apiVersion": version, "kind": kind, **_message(envelope[2], _KINDS[kind])}


def _message(raw: bytes, fields: Fields) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in _fields(raw):
        name, how = fields.get(number, ("", ""))
        if how == META:
            found[name] = _message(value, _META)
        elif how == TEXT and value:
            found[name] = value.decode()
        elif how == FLAG:
            found[name] = bool(value)
        elif how in (TEXTS, BYTES):
            entry = dict(_fields(value))
            inner = entry.get(2, b"")
            found.setdefault(name, {})[entry[1].decode()] = (
                inner.decode() if how == TEXTS else base64.b64encode(inner).decode()
            )
    return found


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values: bytes, or an integer. https://protobuf.dev/programming-guides/encoding/"""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        if tag & 7 == 0:
            value, at = _varint(raw, at)
            yield tag >> 3, value
        elif tag & 7 == 2:
            size, at = _varint(raw, at)
            yield tag >> 3, raw[at : at + size]
            at += size
        else:
            at += 8 if tag & 7 == 1 else 4


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (raw[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not raw[at - 1] & 0x80:
            return value, at
