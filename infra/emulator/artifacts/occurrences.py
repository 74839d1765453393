"""What is noted of images beside what the scanner finds: provenance, and where bills of materials are."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from infra.emulator.kernel.store import Store

JsonObject = dict[str, Any]


class Occurrences:
    """Occurrences by full name, projects/{id}/occurrences/{id}, and notes, projects/{id}/notes/{id}."""

    def __init__(self, store: Store) -> None:
        self._table, self.notes = store.values("occurrences"), store.values("analysis-notes")

    def add(self, project: str, occurrence: JsonObject) -> JsonObject:
        """One more. What Google fills in is filled in."""
        name, now = f"projects/{project}/occurrences/{uuid.uuid4()}", stamp()
        return self.put({**occurrence, "name": name, "createTime": now, "updateTime": now})

    def put(self, occurrence: JsonObject) -> JsonObject:
        self._table.put(occurrence["name"], occurrence)
        return occurrence

    def get(self, name: str) -> JsonObject | None:
        found = self._table.get(name)
        return None if found is None else dict(found)

    def delete(self, name: str) -> None:
        self._table.delete(name)

    def of(self, project: str) -> Iterator[JsonObject]:
        return self._table.list(f"projects/{project}/occurrences/")


def stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
