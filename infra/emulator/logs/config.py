"""Cloud Logging's configuration: buckets and sinks. Entries themselves are in `entries.py`.

https://cloud.google.com/logging/docs/reference/v2/rest/v2/projects.locations.buckets and .../projects.sinks
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud.logging_v2 import types
from google.protobuf import empty_pb2

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import already_exists, failed_precondition, invalid, not_found
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.kernel.store import Store

API = "google.logging.v2.ConfigServiceV2"
BUCKET, SINK = "/v2/{name=projects/*/locations/*/buckets/*}", "/v2/{sink_name=projects/*/sinks/*}"
# https://cloud.google.com/logging/docs/buckets#create_bucket
BUCKET_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,99}")
SINK_ID = re.compile(r"[\w.-]{1,100}")
KEPT = timedelta(days=7)  # .../docs/buckets#delete-bucket: what is deleted is pending for so long, and can be had back
MOST_DAYS = 3650
REQUIRED, DEFAULT = "_Required", "_Default"
DESTINATION = re.compile(
    r"storage\.googleapis\.com/[a-z0-9._-]+|bigquery\.googleapis\.com/projects/[^/]+/datasets/\w+"
    r"|pubsub\.googleapis\.com/projects/[^/]+/topics/[^/]+|logging\.googleapis\.com/projects/[^/]+(/locations/[^/]+/buckets/[^/]+)?"
)
BucketPb: Any = types.LogBucket.pb()
SinkPb: Any = types.LogSink.pb()
ListBucketsPb: Any = types.ListBucketsResponse.pb()
ListSinksPb: Any = types.ListSinksResponse.pb()
Life = types.LifecycleState


class LogConfig:
    """Buckets by full name, sinks by projects/{id}/sinks/{name}; each project has two of both from the beginning."""

    def __init__(self, store: Store) -> None:
        self.buckets = store.messages("log-buckets", BucketPb)
        self.sinks = store.messages("log-sinks", SinkPb)

    def seed(self, project: str) -> None:
        for name, days in ((REQUIRED, 400), (DEFAULT, 30)):
            full = f"projects/{project}/locations/global/buckets/{name}"
            if full not in self.buckets:
                made = BucketPb(name=full, retention_days=days, lifecycle_state=Life.ACTIVE, locked=name == REQUIRED)
                self.buckets.put(full, made)
            sink = f"projects/{project}/sinks/{name}"
            if sink not in self.sinks:
                self.sinks.put(sink, SinkPb(name=name, destination=f"logging.googleapis.com/{full}"))

    def bucket(self, name: str) -> Any:
        self.seed(name.split("/")[1])
        found = self.buckets.get(name)
        if found is None or _purged(found):
            raise not_found(f"Bucket {name.rpartition('/')[2]} not found")
        return found

    def sink(self, name: str) -> Any:
        self.seed(name.split("/")[1])
        found = self.sinks.get(name)
        if found is None:
            raise not_found(f"Sink {name.rpartition('/')[2]} does not exist")
        return found

    def buckets_of(self, project: str) -> list[Any]:
        self.seed(project)
        return [each for each in self.buckets.list(f"projects/{project}/locations/") if not _purged(each)]

    def sinks_of(self, project: str) -> list[Any]:
        self.seed(project)
        return list(self.sinks.list(f"projects/{project}/sinks/"))


class LogBuckets:
    def __init__(self, cloud: Cloud) -> None:
        self._config = cloud.get(LogConfig)

    @rpc(
        f"{API}/ListBuckets", permission="logging.buckets.list", resource="parent",
        rest=(("GET", "/v2/{parent=projects/*/locations/*}/buckets", ""),),
    )  # fmt: skip
    async def list(self, request: Any, _: Call) -> Any:
        """Also those that are about to be deleted: their lifecycle_state tells."""
        _, project, _, location = request.parent.split("/")
        found = [each for each in self._config.buckets_of(project) if location in ("-", each.name.split("/")[3])]
        page, token = _page(found, request, lambda each: str(each.name))
        return ListBucketsPb(buckets=page, next_page_token=token)

    @rpc(f"{API}/GetBucket", permission="logging.buckets.get", rest=(("GET", BUCKET, ""),))
    async def get(self, request: Any, _: Call) -> Any:
        return self._config.bucket(request.name)

    @rpc(
        f"{API}/CreateBucket", permission="logging.buckets.create", resource="parent",
        rest=(("POST", "/v2/{parent=projects/*/locations/*}/buckets", "bucket"),),
    )  # fmt: skip
    async def create(self, request: Any, _: Call) -> Any:
        if not BUCKET_ID.fullmatch(request.bucket_id):
            raise invalid(f"Invalid bucket id: {request.bucket_id}", "bucket_id")
        name = f"{request.parent}/buckets/{request.bucket_id}"
        if name in self._config.buckets and not _purged(self._config.buckets.get(name)):
            raise already_exists(f"Bucket {request.bucket_id} already exists")  # a deleted one keeps its id for a week
        made = BucketPb()
        made.CopyFrom(request.bucket)
        made.name, made.lifecycle_state = name, Life.ACTIVE
        made.retention_days = _days(made.retention_days or 30)
        made.create_time.GetCurrentTime()
        made.update_time.GetCurrentTime()
        self._config.buckets.put(name, made)
        return made

    @rpc(f"{API}/UpdateBucket", permission="logging.buckets.update", rest=(("PATCH", BUCKET, "bucket"),))
    async def update(self, request: Any, _: Call) -> Any:
        found = self._living(request.name)
        if found.name.endswith(f"/{REQUIRED}") or found.locked:
            raise failed_precondition(f"Bucket {found.name.rpartition('/')[2]} is locked and cannot be modified.")
        if not request.update_mask.paths:
            raise invalid("The update_mask must be set.", "update_mask")
        request.update_mask.MergeMessage(request.bucket, found, True, True)
        found.retention_days = _days(found.retention_days)
        found.update_time.GetCurrentTime()
        self._config.buckets.put(found.name, found)
        return found

    @rpc(f"{API}/DeleteBucket", permission="logging.buckets.delete", rest=(("DELETE", BUCKET, ""),))
    async def delete(self, request: Any, _: Call) -> empty_pb2.Empty:
        found = self._living(request.name)
        short = found.name.rpartition("/")[2]
        if short in (REQUIRED, DEFAULT):
            raise failed_precondition(f"Bucket {short} cannot be deleted.")
        if found.locked:
            raise failed_precondition(f"Bucket {short} is locked and cannot be deleted.")
        found.lifecycle_state = Life.DELETE_REQUESTED
        found.update_time.GetCurrentTime()
        self._config.buckets.put(found.name, found)
        return empty_pb2.Empty()

    @rpc(f"{API}/UndeleteBucket", permission="logging.buckets.undelete", rest=(("POST", f"{BUCKET}:undelete", "*"),))
    async def undelete(self, request: Any, _: Call) -> empty_pb2.Empty:
        found = self._config.bucket(request.name)
        if found.lifecycle_state != Life.DELETE_REQUESTED:
            raise failed_precondition(f"Bucket {found.name.rpartition('/')[2]} is not in the DELETE_REQUESTED state.")
        found.lifecycle_state = Life.ACTIVE
        self._config.buckets.put(found.name, found)
        return empty_pb2.Empty()

    def _living(self, name: str) -> Any:
        found = self._config.bucket(name)
        if found.lifecycle_state == Life.DELETE_REQUESTED:
            raise failed_precondition(f"Bucket {name.rpartition('/')[2]} is in the DELETE_REQUESTED state.")
        return found


class LogSinks:
    def __init__(self, cloud: Cloud) -> None:
        self._config = cloud.get(LogConfig)

    @rpc(
        f"{API}/ListSinks", permission="logging.sinks.list", resource="parent",
        rest=(("GET", "/v2/{parent=projects/*}/sinks", ""),),
    )  # fmt: skip
    async def list(self, request: Any, _: Call) -> Any:
        found = self._config.sinks_of(request.parent.split("/")[1])
        page, token = _page(found, request, lambda each: str(each.name))
        return ListSinksPb(sinks=page, next_page_token=token)

    @rpc(f"{API}/GetSink", permission="logging.sinks.get", resource="sink_name", rest=(("GET", SINK, ""),))
    async def get(self, request: Any, _: Call) -> Any:
        return self._config.sink(request.sink_name)

    @rpc(
        f"{API}/CreateSink", permission="logging.sinks.create", resource="parent",
        rest=(("POST", "/v2/{parent=projects/*}/sinks", "sink"),),
    )  # fmt: skip
    async def create(self, request: Any, _: Call) -> Any:
        made = SinkPb()
        made.CopyFrom(request.sink)
        name = f"{request.parent}/sinks/{made.name}"
        if not SINK_ID.fullmatch(made.name):
            raise invalid(f"Invalid sink name: {made.name}", "sink.name")
        if not DESTINATION.fullmatch(made.destination):
            raise invalid(f"Invalid destination: {made.destination}", "sink.destination")
        if name in self._config.sinks:
            raise already_exists(f"Sink {made.name} already exists")
        made.create_time.GetCurrentTime()
        made.update_time.GetCurrentTime()
        self._config.sinks.put(name, made)
        return made

    @rpc(
        f"{API}/UpdateSink", permission="logging.sinks.update", resource="sink_name",
        rest=(("PATCH", SINK, "sink"), ("PUT", SINK, "sink")),
    )  # fmt: skip
    async def update(self, request: Any, _: Call) -> Any:
        """Without a mask destination, filter and include_children, as it was before there were masks."""
        found = self._config.sink(request.sink_name)
        if found.name == REQUIRED:
            raise failed_precondition("The _Required sink cannot be modified.")
        if not request.update_mask.paths:
            request.update_mask.paths[:] = ["destination", "filter", "include_children"]
        request.update_mask.MergeMessage(request.sink, found, True, True)
        found.update_time.GetCurrentTime()
        self._config.sinks.put(request.sink_name, found)
        return found

    @rpc(f"{API}/DeleteSink", permission="logging.sinks.delete", resource="sink_name", rest=(("DELETE", SINK, ""),))
    async def delete(self, request: Any, _: Call) -> empty_pb2.Empty:
        found = self._config.sink(request.sink_name)
        if found.name in (REQUIRED, DEFAULT):
            raise failed_precondition(f"The {found.name} sink cannot be deleted.")
        self._config.sinks.delete(request.sink_name)
        return empty_pb2.Empty()


def _purged(bucket: Any) -> bool:
    asked = bucket.update_time.ToDatetime(tzinfo=UTC)
    return bool(bucket.lifecycle_state == Life.DELETE_REQUESTED and asked + KEPT < datetime.now(UTC))


def _days(days: int) -> int:
    if not 1 <= days <= MOST_DAYS:
        raise invalid(f"Retention days must be between 1 and {MOST_DAYS}.", "bucket.retention_days")
    return days


def _page(found: list[Any], request: Any, key: Any) -> tuple[list[Any], str]:
    left = [each for each in found if key(each) > request.page_token]
    size = request.page_size or 100
    return left[:size], key(left[size - 1]) if len(left) > size else ""
