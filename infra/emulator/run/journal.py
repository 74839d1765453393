"""What Cloud Run writes into Cloud Logging: each line of a container's output, and its own remarks."""

from __future__ import annotations

import json
from typing import Any

from google.logging.type import log_severity_pb2

from infra.emulator.logs.entries import Logs
from infra.emulator.run.conditions import log_resource
from infra.emulator.run.names import PoolName, owner_of, short
from infra.emulator.run.runtime import Sink

SEVERITIES = set(log_severity_pb2.LogSeverity.keys())


class Journal:
    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    def sink(self, revision: str) -> Sink:
        """Takes the lines of one instance."""

        def write(stream: str, line: str) -> None:
            if line:
                text, severity = structured(line)
                self._write(revision, f"run.googleapis.com/{stream}", text, severity)

        return write

    def system(self, revision: str, text: str, severity: str = "INFO") -> None:
        """Run's own remark about an instance."""
        self._write(revision, "run.googleapis.com/varlog/system", text, severity)

    def _write(self, revision: str, log_id: str, text: str | dict[str, Any], severity: str) -> None:
        name = owner_of(revision)
        kind, label = log_resource(name)
        labels = {label: name.id, "revision_name": short(revision), "location": name.location}
        if name.kind != PoolName.kind:
            labels["configuration_name"] = name.id
        self._logs.write(name.project, log_id, kind, labels, text, severity)


def structured(line: str) -> tuple[str | dict[str, Any], str]:
    """A line that is a JSON object becomes a structured entry, and may set its severity; else it is text."""
    if not line.startswith("{"):
        return line, "DEFAULT"
    try:
        fields = json.loads(line)
    except ValueError:
        return line, "DEFAULT"
    severity = str(fields.pop("severity", "DEFAULT")).upper()
    known = severity if severity in SEVERITIES else "DEFAULT"
    if set(fields) == {"message"}:
        return str(fields["message"]), known
    return fields, known
