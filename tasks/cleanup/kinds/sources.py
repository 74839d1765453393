"""Build sources: the archives that images were built from."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.cleanup.engine.model import Kind
from tasks.cleanup.kinds.adapter import Found, Look
from tasks.cleanup.kinds.stored_files import StoredFiles
from tasks.model import Request

SOURCE = Kind("build source")


class Sources(StoredFiles):
    kind = SOURCE

    async def within(self, requests: Sequence[Request], look: Look) -> Found:
        """The newest of each service stay, as a build may ask for them any time."""
        prefix, bucket = f"sources/{look.app}/", requests[0].settings.bucket
        return await self.files(look, bucket, prefix, lambda name: name.removeprefix(prefix).partition("/")[0])
