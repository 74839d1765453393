"""Cloud Logging's entries: kept per log, the newest `KEEP` of each, through restarts."""

from __future__ import annotations

import itertools
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from google.cloud.logging_v2.types import LogEntry
from google.logging.type import log_severity_pb2
from google.protobuf import struct_pb2

from infra.emulator.kernel.store import Store

KEEP = 5_000  # entries per log; the oldest go first
SLACK = 500  # trimmed in batches of so many
Entry: Any = LogEntry.pb()


class Logs:
    def __init__(self, store: Store) -> None:
        # projects/p/logs/run.googleapis.com%2Fstderr/<sequence>; names in order are entries in order
        self._table = store.messages("log-entries", Entry)
        self._sizes: Counter[str] = Counter()
        self._sequence = itertools.count(time.time_ns())

    def write(
        self,
        project_id: str,
        log_id: str,
        resource_type: str,
        resource_labels: dict[str, str],
        text: str | dict[str, object],
        severity: str = "DEFAULT",
        labels: dict[str, str] | None = None,
    ) -> None:
        """Adds an entry now; a dict becomes its JSON payload. `log_id` is unescaped: run.googleapis.com/stderr."""
        entry = Entry(log_name=log_name(project_id, log_id), severity=log_severity_pb2.LogSeverity.Value(severity))
        entry.resource.type = resource_type
        entry.resource.labels.update({"project_id": project_id} | resource_labels)
        entry.labels.update(labels or {})
        if isinstance(text, str):
            entry.text_payload = text
        else:
            entry.json_payload.CopyFrom(struct_pb2.Struct())
            entry.json_payload.update(text)
        self.add(entry)

    def add(self, entry: Entry) -> None:
        """Adds an entry that already names its log; fills in what the caller left open."""
        entry.receive_timestamp.GetCurrentTime()
        if not entry.HasField("timestamp"):
            entry.timestamp.CopyFrom(entry.receive_timestamp)
        entry.insert_id = entry.insert_id or uuid.uuid4().hex[:20]
        self._table.put(f"{entry.log_name}/{next(self._sequence):020}", entry)
        self._sizes[entry.log_name] += 1
        if self._sizes[entry.log_name] % SLACK == 0:
            self._trim(entry.log_name)

    def _trim(self, log: str) -> None:
        for name in self._table.names(f"{log}/")[:-KEEP]:
            self._table.delete(name)

    def entries(self, project_id: str) -> Iterator[Entry]:
        """All of a project, log by log, each from old to new.

        Of several with one insertId and one timestamp the first: "considers other log entries in the same project, with
        the same timestamp, and with the same insertId to be duplicates which are removed in a single query result"
        (https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry).
        """
        seen = set[tuple[int, str]]()
        for entry in self._table.list(f"projects/{project_id}/logs/"):
            key = entry.timestamp.ToNanoseconds(), entry.insert_id
            if key not in seen:
                seen.add(key)
                yield entry

    def names(self, project_id: str) -> list[str]:
        """The full names of a project's logs."""
        return sorted({name.rsplit("/", 1)[0] for name in self._table.names(f"projects/{project_id}/logs/")})

    def delete(self, log: str) -> None:
        """Forgets a whole log, given its full name."""
        for name in self._table.names(f"{log}/"):
            self._table.delete(name)


def log_name(project_id: str, log_id: str) -> str:
    return f"projects/{project_id}/logs/{quote(log_id, safe='')}"
