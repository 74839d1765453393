"""A build's log while it grows."""

from __future__ import annotations

from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage import objects


class LogCursor:
    """Reads what was appended to a build's log object since the last look, by whole lines.

    A log that cannot be read now is no reason to stop a build: its lines come with the next look, or not at all.
    """

    def __init__(self, bucket: str, name: str) -> None:
        self._bucket, self._name, self._offset, self._rest = bucket, name, 0, b""

    async def new_lines(self, *, last: bool = False) -> list[str]:
        try:
            data = await objects.read_from(self._bucket, self._name, self._offset)
        except GoogleError:
            return []
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if last and self._rest:
            lines, self._rest = [*lines, self._rest], b""
        return [line.decode(errors="replace").rstrip("\r") for line in lines]
