"""Resumable uploads under way: a row in the store and a growing file each, so they outlive the emulator's process."""

from __future__ import annotations

import uuid
from pathlib import Path

from infra.emulator.kernel.store import Store
from infra.emulator.storage.errors import StorageError
from infra.emulator.storage.resources import Resource


class Sessions:
    def __init__(self, store: Store, folder: Path) -> None:
        self._table = store.values("uploads")
        self._folder = folder

    def open(self, session: Resource) -> str:
        """Begins an upload described by `session`; answers its id, which is also the right to go on with it."""
        upload_id = uuid.uuid4().hex
        self._folder.mkdir(parents=True, exist_ok=True)
        self.path(upload_id).touch()
        self._table.put(upload_id, session)
        return upload_id

    def get(self, upload_id: str) -> Resource:
        """Raises 404."""
        session = self._table.get(upload_id)
        if session is None:
            raise StorageError(404, "notFound", "Not Found", "NoSuchUpload")
        return dict(session)

    def path(self, upload_id: str) -> Path:
        return self._folder / upload_id

    def received(self, upload_id: str) -> int:
        """Bytes that have arrived."""
        return self.path(upload_id).stat().st_size

    def finish(self, upload_id: str, resource: Resource) -> None:
        """Remembers the object that came of it, for clients that ask again."""
        self._table.put(upload_id, {"done": resource})
        self.path(upload_id).unlink()

    def cancel(self, upload_id: str) -> None:
        self._table.delete(upload_id)
        self.path(upload_id).unlink(missing_ok=True)
