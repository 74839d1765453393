"""Content-addressed files: layers, configurations and manifests, shared by all repositories."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import Container
from pathlib import Path

GRACE_S = 3600.0  # a blob that nothing refers to yet may belong to a push that is under way
CHUNK_BYTES = 1 << 20


class Blobs:
    """Files in `folder`/sha256/<hex>, complete as soon as they have their name. Usable from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "sha256"
        self._uploads = folder / "uploads"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._uploads.mkdir(exist_ok=True)

    def path(self, digest: str) -> Path:
        """Where the blob of 'sha256:<hex>' is, or would be."""
        return self._folder / digest.removeprefix("sha256:")

    def __contains__(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def size(self, digest: str) -> int:
        """In bytes. Raises FileNotFoundError."""
        return self.path(digest).stat().st_size

    def read(self, digest: str) -> bytes:
        """Raises FileNotFoundError."""
        return self.path(digest).read_bytes()

    def touch(self, digest: str) -> None:
        """Protects a blob that a push counts on from the next sweep."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.path(digest))

    def add(self, data: bytes) -> str:
        """Stores `data` and answers its digest."""
        digest = digest_of(data)
        if digest in self:
            self.touch(digest)
            return digest
        draft = self._uploads / str(uuid.uuid4())
        draft.write_bytes(data)
        draft.replace(self.path(digest))
        return digest

    def adopt(self, file: Path, digest: str) -> None:
        """Takes over a file whose digest the caller has computed."""
        file.replace(self.path(digest))

    def discard(self, file: Path) -> None:
        """Forgets an upload."""
        file.unlink(missing_ok=True)

    def upload(self, upload_id: str) -> Path:
        """The file in which an upload gathers its chunks."""
        return self._uploads / upload_id

    def sweep(self, referenced: Container[str]) -> int:
        """Removes blobs, by hex digest, that nothing refers to, and abandoned uploads; answers how many."""
        horizon = time.time() - GRACE_S
        removed = 0
        for file in [*self._folder.iterdir(), *self._uploads.iterdir()]:
            with contextlib.suppress(FileNotFoundError):
                if file.name not in referenced and file.stat().st_mtime < horizon:
                    file.unlink()
                    removed += 1
        return removed


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest_of_file(file: Path) -> str:
    with file.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
