"""Makes things older than they are: tests of what is kept for months cannot wait for months."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import BaseModel, ConfigDict

from infra.emulator.kernel.cloud import Cloud

FIELDS = ("create_time", "update_time", "delete_time", "upload_time", "build_time")
JSON_FIELDS = (
    "timeCreated",
    "updated",
    "effectiveTime",
    "createTime",
    "enqueuedTime",
    "startTime",
    "endTime",
    "creationTimestamp",
)


class Ageing(BaseModel):
    """Everything of a kind whose name starts with `prefix` becomes so many days older."""

    model_config = ConfigDict(extra="forbid")

    kind: str  # one of `Cloud.ageable`: images, revisions, services, objects, buckets, keys, kubernetes
    prefix: str  # projects/p/locations/l/repositories/r/, projects/p/locations/l/services/s/, bucket/name, bucket
    days: float


def age(cloud: Cloud, asked: Ageing) -> int:
    """Answers how many there were. Raises ValueError for a kind that does not age."""
    if asked.kind not in cloud.ageable:
        raise ValueError(f"{asked.kind} do not age; what does: {', '.join(cloud.ageable)}")
    by, table = timedelta(days=asked.days), cloud.ageable[asked.kind]
    names = table.names(asked.prefix)
    with cloud.store.transaction():
        for name in names:
            thing = table.get(name)
            table.put(name, _older_value(thing, by) if isinstance(thing, dict) else _older_message(thing, by))
    return len(names)


def _older_message(message: Any, by: timedelta) -> Any:
    for field in FIELDS:
        if field in message.DESCRIPTOR.fields_by_name and message.HasField(field):
            moment: Timestamp = getattr(message, field)
            moment.FromDatetime(moment.ToDatetime() - by)
    return message


def _older_value(value: dict[str, Any], by: timedelta) -> dict[str, Any]:
    """An object's resource, or a bucket's row with its resource in it."""
    older = {key: _earlier(value[key], by) for key in JSON_FIELDS if key in value}
    inner = {key: _older_value(value[key], by) for key in ("resource", "softDeletePolicy", "metadata") if key in value}
    return value | older | inner


def _earlier(text: str, by: timedelta) -> str:
    return (datetime.fromisoformat(text) - by).isoformat(timespec="milliseconds").replace("+00:00", "Z")
