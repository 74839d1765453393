"""From the WorkerPool objects of API v1 to the messages of API v2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.emulator.run.knative import fieldmap, incoming
from infra.emulator.run.names import short
from infra.emulator.run.state import PoolPb

Json = Mapping[str, Any]


def pool(body: Json) -> Any:
    """The v2 pool that a v1 WorkerPool asks for. Raises INVALID_ARGUMENT for what v2 has no place for.

    https://cloud.google.com/run/docs/reference/rest/v1/namespaces.workerpools
    """
    metadata, spec = body.get("metadata") or {}, body.get("spec") or {}
    notes = metadata.get("annotations") or {}
    fields: dict[str, Any] = {
        **incoming.marks(metadata),
        "template": _template(spec.get("template") or {}),
        "instanceSplits": [_split(split) for split in spec.get("instanceSplits") or []],
    }
    fieldmap.into_fields(notes, fieldmap.POOL, fields)
    if wanted := incoming.binary_authorization(notes):
        fields["binaryAuthorization"] = wanted
    return incoming.parsed(fields, PoolPb())


def _template(template: Json) -> dict[str, Any]:
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    notes = metadata.get("annotations") or {}
    fields = {
        "revision": metadata.get("name") or "",
        **incoming.marks(metadata),
        **incoming.unrequested(spec),
    }
    incoming.annotate(fields, notes, fieldmap.POOL_TEMPLATE)
    return fields


def _split(split: Json) -> dict[str, Any]:
    fields: dict[str, Any] = {"percent": split.get("percent") or 0}
    if split.get("latestRevision") or not split.get("revisionName"):
        return fields | {"type": "INSTANCE_SPLIT_ALLOCATION_TYPE_LATEST"}
    return fields | {"type": "INSTANCE_SPLIT_ALLOCATION_TYPE_REVISION", "revision": short(split["revisionName"])}
