"""Cloud Logging v2: reading and writing entries. The client package carries no REST bindings."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Sequence
from typing import Any

from google.cloud.logging_v2 import types
from google.protobuf import empty_pb2

from infra.emulator.iam.admission import Admission
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import invalid
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.logs.config import LogConfig
from infra.emulator.logs.entries import Entry, Logs
from infra.emulator.logs.filter import compile_filter
from infra.emulator.projects.projects import Projects

API = "google.logging.v2.LoggingServiceV2"
HOST = "logging.googleapis.com"
VIEW = re.compile(r"(projects/([^/]+)/(locations/[^/]+/buckets/[^/]+))/views/[^/]+")
YIELD_EVERY = 500  # entries looked at before others get their turn
ListPb: Any = types.ListLogEntriesResponse.pb()
ListLogsPb: Any = types.ListLogsResponse.pb()
WritePb: Any = types.WriteLogEntriesResponse.pb()
Position = tuple[int, str]  # nanoseconds since the epoch, insert id


class Logging:
    def __init__(self, cloud: Cloud) -> None:
        self._logs, self._projects, self._admission = cloud.get(Logs), cloud.get(Projects), cloud.get(Admission)
        self._config = cloud.get(LogConfig)

    @rpc(f"{API}/ListLogEntries", resource="", rest=(("POST", "/v2/entries:list", "*"),))
    async def list(self, request: Any, call: Call) -> Any:
        newest_first = _newest_first(request.order_by)
        matches = compile_filter(request.filter)
        entries: list[Entry] = []
        for name in request.resource_names:
            if view := VIEW.fullmatch(name):
                self._admission.require(call.principal, "logging.views.access", f"projects/{view[2]}", HOST)
                entries += self._routed(f"projects/{self._projects.find(view[2]).id}/{view[3]}")
                continue
            project = self._admitted(call, "logging.logEntries.list", name)
            entries += self._logs.entries(project)
        entries.sort(key=_position, reverse=newest_first)
        after, size = _decode(request.page_token), request.page_size or 50
        page: list[Entry] = []
        for count, entry in enumerate(entries):
            if count % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            position = _position(entry)
            passed = after is not None and (position >= after if newest_first else position <= after)
            if passed or not matches(entry):
                continue
            if len(page) == size:
                return ListPb(entries=page, next_page_token=_encode(_position(page[-1])))
            page.append(entry)
        return ListPb(entries=page)

    def _routed(self, bucket: str) -> Sequence[Entry]:
        """What sinks of whatever project lead to a bucket, as it was written: nothing is routed when it comes."""
        self._config.bucket(bucket)
        found: list[Entry] = []
        for name, sink in ((name, self._config.sinks.get(name)) for name in self._config.sinks.names()):
            if sink is not None and sink.destination == f"{HOST}/{bucket}":
                matches, until = compile_filter(sink.filter), sink.update_time.ToNanoseconds()
                found += [
                    each
                    for each in self._logs.entries(name.split("/")[1])
                    if matches(each) and not (sink.disabled and _position(each)[0] > until)
                ]
        return found

    def _admitted(self, call: Call, permission: str, name: str) -> str:
        """The id of the project that a resource name such as projects/p is in."""
        if not name.startswith("projects/"):
            raise invalid(f"Only projects can be read, not {name}.", "resource_names")
        project = self._projects.find(name)
        self._projects.require(project, HOST)
        self._admission.require(call.principal, permission, f"projects/{project.id}", HOST)
        return project.id

    @rpc(f"{API}/WriteLogEntries", resource="", rest=(("POST", "/v2/entries:write", "*"),))
    async def write(self, request: Any, call: Call) -> Any:
        for given in request.entries:
            entry = Entry()
            entry.CopyFrom(given)
            entry.log_name = entry.log_name or request.log_name
            if not entry.HasField("resource"):
                entry.resource.CopyFrom(request.resource)
            entry.labels.update({key: value for key, value in request.labels.items() if key not in entry.labels})
            project = self._admitted(call, "logging.logEntries.create", entry.log_name)
            entry.log_name = f"projects/{project}/logs/{entry.log_name.split('/', 3)[3]}"
            if "project_id" not in entry.resource.labels:
                entry.resource.labels["project_id"] = project
            if not request.dry_run:
                self._logs.add(entry)
        return WritePb()

    @rpc(f"{API}/ListLogs", resource="", rest=(("GET", "/v2/{parent=projects/*}/logs", ""),))
    async def list_logs(self, request: Any, call: Call) -> Any:
        parents = [request.parent, *request.resource_names]
        projects = [self._admitted(call, "logging.logs.list", parent) for parent in parents if parent]
        return ListLogsPb(log_names=[name for project in projects for name in self._logs.names(project)])

    @rpc(f"{API}/DeleteLog", resource="", rest=(("DELETE", "/v2/{log_name=projects/*/logs/*}", ""),))
    async def delete(self, request: Any, call: Call) -> empty_pb2.Empty:
        project = self._admitted(call, "logging.logs.delete", request.log_name)
        self._logs.delete(f"projects/{project}/logs/{request.log_name.split('/', 3)[3]}")
        return empty_pb2.Empty()


def _newest_first(order_by: str) -> bool:
    if order_by not in ("", "timestamp asc", "timestamp desc", "timestamp"):
        raise invalid(f"Invalid order_by: {order_by}", "order_by")
    return order_by == "timestamp desc"


def _position(entry: Any) -> Position:
    return int(entry.timestamp.ToNanoseconds()), str(entry.insert_id)


def _encode(position: Position) -> str:
    return base64.urlsafe_b64encode(f"{position[0]} {position[1]}".encode()).decode()


def _decode(token: str) -> Position | None:
    if not token:
        return None
    try:
        nanoseconds, _, insert_id = base64.urlsafe_b64decode(token).decode().partition(" ")
        return int(nanoseconds), insert_id
    except ValueError as error:
        raise invalid("The page token is invalid.", "page_token") from error
