"""Cloud Logging's configuration: the buckets that logs are kept in, and the sinks that lead them there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.cloud.logging_v2.services.config_service_v2 import ConfigServiceV2AsyncClient
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2AsyncClient
from google.cloud.logging_v2.types import LifecycleState, LogSink

from infra.gcp.calls.clients import READ, call, client, read, unless_gone
from infra.gcp.calls.paging import each


@dataclass(frozen=True, slots=True)
class LogBucket:
    """`name` is projects/{project}/locations/{location}/buckets/{id}."""

    name: str
    created: datetime | None  # None for those that a project has from the beginning
    changed: datetime | None
    locked: bool
    days: int  # that it keeps what it has
    linked: bool  # BigQuery reads it: Log Analytics is on
    active: bool  # not about to be deleted


@dataclass(frozen=True, slots=True)
class Sink:
    """`name` is projects/{project}/sinks/{id}."""

    name: str
    destination: str  # storage.googleapis.com/BUCKET, logging.googleapis.com/projects/P/locations/L/buckets/B …
    created: datetime | None
    changed: datetime | None
    disabled: bool


async def list_buckets(project: str) -> list[LogBucket]:
    """In all locations. Raises GoogleError, as all here."""
    method = client(ConfigServiceV2AsyncClient).list_buckets
    found = each("logging.buckets.list", method, {"parent": f"projects/{project}/locations/-"}, "buckets")
    return [_bucket(project, bucket) async for bucket in found]


async def get_bucket(name: str) -> LogBucket | None:
    found = await read("logging.buckets.get", client(ConfigServiceV2AsyncClient).get_bucket, {"name": name})
    return None if found is None else _bucket(name.split("/")[1], found)


async def has_entries(bucket: str, since: datetime) -> bool:
    """Whether anything that was logged since then is in the bucket, whichever project it is from."""
    request = {
        "resource_names": [f"{bucket}/views/_AllLogs"],
        "filter": f'timestamp>="{since.isoformat()}"',
        "page_size": 1,
    }
    method = client(LoggingServiceV2AsyncClient).list_log_entries
    pager = await call("logging.entries.list", method, request, retry=READ)
    return bool(pager.entries)


async def delete_bucket(name: str) -> bool:
    """It can be undeleted for 7 days. False if it is gone."""
    method = client(ConfigServiceV2AsyncClient).delete_bucket
    return await unless_gone(call("logging.buckets.delete", method, {"name": name}))


async def list_sinks(project: str) -> list[Sink]:
    method = client(ConfigServiceV2AsyncClient).list_sinks
    found = each("logging.sinks.list", method, {"parent": f"projects/{project}"}, "sinks")
    return [_sink(project, sink) async for sink in found]


async def get_sink(name: str) -> Sink | None:
    found = await read("logging.sinks.get", client(ConfigServiceV2AsyncClient).get_sink, {"sink_name": name})
    return None if found is None else _sink(name.split("/")[1], found)


async def disable_sink(name: str) -> bool:
    """Nothing goes that way until it is enabled again. False if it is gone."""
    request = {"sink_name": name, "sink": LogSink(disabled=True), "update_mask": {"paths": ["disabled"]}}
    method = client(ConfigServiceV2AsyncClient).update_sink
    return await unless_gone(call("logging.sinks.update", method, request, retry=READ))


async def delete_sink(name: str) -> bool:
    method = client(ConfigServiceV2AsyncClient).delete_sink
    return await unless_gone(call("logging.sinks.delete", method, {"sink_name": name}))


def _bucket(project: str, found: Any) -> LogBucket:
    message = found if hasattr(found, "HasField") else type(found).pb(found)
    return LogBucket(
        f"projects/{project}/{message.name.split('/', 2)[2]}",
        _time(message, "create_time"),
        _time(message, "update_time"),
        message.locked,
        message.retention_days,
        message.analytics_enabled,
        message.lifecycle_state == LifecycleState.ACTIVE,
    )


def _sink(project: str, found: Any) -> Sink:
    message = found if hasattr(found, "HasField") else type(found).pb(found)
    return Sink(
        f"projects/{project}/sinks/{message.name}",
        message.destination,
        _time(message, "create_time"),
        _time(message, "update_time"),
        message.disabled,
    )


def _time(message: Any, field: str) -> datetime | None:
    return getattr(message, field).ToDatetime(tzinfo=UTC) if message.HasField(field) else None
