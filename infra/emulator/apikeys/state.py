"""The keys of all projects, those that are deleted and can still be had back among them."""

from __future__ import annotations

import secrets
import string
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud import api_keys_v2

from infra.emulator.kernel.store import Store

KeyPb: Any = api_keys_v2.Key.pb()
# https://cloud.google.com/docs/authentication/api-keys#undelete-key
KEPT = timedelta(days=30)
ALPHABET = string.ascii_letters + string.digits + "-_"


class ApiKeys:
    """Keys by full name, under the project's id; the table holds each with its key string."""

    def __init__(self, store: Store) -> None:
        self.table = store.messages("api-keys", KeyPb)
        self._names = store.values("api-key-strings")  # key string -> {name, project}; stays when the key is purged

    def make(self, name: str, key: Any) -> Any:
        """Stores a new key; its string is made here, in the form of Google's: 39 characters."""
        key.name, key.uid = name, str(uuid.uuid4())
        key.key_string = "AIzaSy" + "".join(secrets.choice(ALPHABET) for _ in range(33))
        key.create_time.GetCurrentTime()
        self._names.put(key.key_string, {"name": name, "project": name.split("/")[1]})
        return self.put(key)

    def put(self, key: Any) -> Any:
        """Stores a key under a new etag."""
        key.update_time.GetCurrentTime()
        key.etag = f'W/"{secrets.token_urlsafe(16)}=="'
        self.table.put(key.name, key)
        return key

    def get(self, name: str) -> Any | None:
        """Also a deleted one, until it is purged."""
        key = self.table.get(name)
        if key is None or not _purged(key):
            return key
        self.table.delete(name)
        return None

    def of(self, parent: str) -> list[Any]:
        """All keys of projects/{id}/locations/global, deleted ones too, by name."""
        found = (self.get(name) for name in self.table.names(f"{parent}/keys/"))
        return [key for key in found if key is not None]

    def holder(self, key_string: str) -> tuple[str, Any | None]:
        """Whose key this is: the project's id ('' if nobody's), and the key, None once it is purged."""
        known = self._names.get(key_string)
        return (str(known["project"]), self.get(known["name"])) if known else ("", None)


def _purged(key: Any) -> bool:
    deleted = key.delete_time.ToDatetime(tzinfo=UTC) if key.HasField("delete_time") else None
    return deleted is not None and deleted + KEPT < datetime.now(UTC)
