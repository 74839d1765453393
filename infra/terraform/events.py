"""What `terraform … -json` says, line by line, as values. Pure.

https://developer.hashicorp.com/terraform/internals/machine-readable-ui
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    STARTED = "apply_start"
    GOES_ON = "apply_progress"  # each 10 s
    DONE = "apply_complete"
    FAILED = "apply_errored"
    PLANNED = "planned_change"
    DRIFTED = "resource_drift"
    DIAGNOSTIC = "diagnostic"
    SUMMARY = "change_summary"
    TEXT = "text"  # a line that is none of these


@dataclass(frozen=True, slots=True)
class Event:
    """One line. `action` is create, update, delete, replace, import, read or noop."""

    kind: Kind
    message: str
    address: str = ""
    action: str = ""
    seconds: float = 0.0
    id: str = ""
    severity: str = ""  # error or warning, of a diagnostic
    detail: str = ""

    @property
    def is_error(self) -> bool:
        return self.severity == "error"


def parse(line: str) -> Event:
    """Never fails: init prints lines of plain text, and a killed process leaves half a line."""
    try:
        found = json.loads(line)
        kind = Kind(found["type"])
    except (ValueError, KeyError, TypeError):
        return Event(Kind.TEXT, _said(line))
    return _event(kind, str(found.get("@message", "")), found)


def _event(kind: Kind, message: str, found: Mapping[str, Any]) -> Event:
    if kind is Kind.DIAGNOSTIC:
        said = found.get("diagnostic", {})
        return Event(
            kind,
            said.get("summary", message),
            address=said.get("address", ""),
            severity=said.get("severity", "error"),
            detail=said.get("detail", ""),
        )
    about = found.get("hook") or found.get("change") or {}
    return Event(
        kind,
        message,
        address=about.get("resource", {}).get("addr", ""),
        action=about.get("action", ""),
        seconds=float(about.get("elapsed_seconds", 0)),
        id=str(about.get("id_value", "")),
    )


def _said(line: str) -> str:
    """The words of a line that is JSON of a kind that does not matter here, or the line itself."""
    try:
        found = json.loads(line)
    except ValueError:
        return line
    return str(found.get("@message", line)) if isinstance(found, dict) else line
