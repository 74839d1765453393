"""Contents on their way in."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import google_crc32c

CHUNK = 1 << 20


class Staged:
    """Contents on their way in: a temporary file whose size and hashes grow with each chunk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._file = path.open("wb")
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc32c: Any = google_crc32c.Checksum()  # type: ignore[no-untyped-call]

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._md5.update(data)
        self._crc32c.update(data)
        self.size += len(data)

    def fill(self, source: Path) -> None:
        """Adds all of a file; run it in a thread when the file may be large."""
        with source.open("rb") as file:
            while chunk := file.read(CHUNK):
                self.write(chunk)

    def flush(self) -> None:
        self._file.flush()

    def hashes(self) -> dict[str, str]:
        return {
            "size": str(self.size),
            "md5Hash": base64.b64encode(self._md5.digest()).decode(),
            "crc32c": base64.b64encode(self._crc32c.digest()).decode(),
        }

    def discard(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def move_to(self, path: Path) -> None:
        self._file.close()
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path.replace(path)


async def receive(source: AsyncIterator[bytes], staged: Staged) -> None:
    """Takes in media chunk by chunk; a client that breaks off leaves nothing behind."""
    try:
        async for chunk in source:
            staged.write(chunk)
    except BaseException:
        staged.discard()
        raise
