"""multipart/related uploads: metadata, then media that is passed on while it arrives.

Not aiohttp's own reader: gcloud separates lines with bare LF and quotes the boundary with apostrophes.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from email.parser import BytesParser

from aiohttp import StreamReader

from infra.emulator.storage.errors import StorageError, bad_request
from infra.emulator.storage.staging import CHUNK


class Related:
    """First `metadata()`, then `media_type()`, then `media()`."""

    def __init__(self, content_type: str, stream: StreamReader) -> None:
        boundary = re.search(r"boundary=(?:\"([^\"]+)\"|'([^']+)'|([^;\s]+))", content_type)
        if boundary is None:
            raise _malformed()
        self._delimiter = b"--" + next(filter(None, boundary.groups())).encode()
        self._stream = stream
        self._newline = b"\r\n"

    async def metadata(self) -> bytes:
        """The text of the first part."""
        first = await self._stream.readline()
        if first.strip() != self._delimiter:
            raise _malformed()
        self._newline = b"\r\n" if first.endswith(b"\r\n") else b"\n"
        await self._headers()
        text = b""
        while (line := await self._stream.readline()).strip() != self._delimiter:
            if not line:
                raise _malformed()
            text += line
        return text

    async def media_type(self) -> str:
        """The second part's Content-Type, '' if it has none."""
        return await self._headers()

    async def _headers(self) -> str:
        head = b""
        while (line := await self._stream.readline()).strip():
            head += line
        return str(BytesParser().parsebytes(head + b"\n").get("Content-Type") or "")

    async def media(self) -> AsyncIterator[bytes]:
        """The second part's bytes; the end of the body is the only place where its closing delimiter can be."""
        closing = self._newline + self._delimiter + b"--"
        held = b""
        async for chunk in self._stream.iter_chunked(CHUNK):
            held += chunk
            keep = len(closing) + 2 * len(self._newline)
            yield held[:-keep]
            held = held[-keep:]
        rest, found, _ = held.rpartition(closing)
        if not found:
            raise _malformed()
        yield rest


def _malformed() -> StorageError:
    return bad_request("Malformed multipart body.", "badContent")
