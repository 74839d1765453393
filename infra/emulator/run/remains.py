"""What an instance can leave running: all of it where its warden was killed, and what has left the command's session.

Containers leave nothing: https://cloud.google.com/run/docs/container-contract#lifecycle
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

CLEANUP_S = 60.0


class Remains:
    """`told` is where the warden says its command's process group, and last of all that it has ended it."""

    def __init__(self, told: int, warden: int | None, cleanup: Sequence[str], env: Mapping[str, str]) -> None:
        self._told, self._cleanup, self._env = told, cleanup, env
        self._network = _network(warden) if warden else None  # it lives in the instance's own
        self._said = b""
        self._alone = asyncio.Event()
        asyncio.get_running_loop().add_reader(told, self._listen)

    def _listen(self) -> None:
        said = os.read(self._told, 64)
        self._said += said
        if not said:
            asyncio.get_running_loop().remove_reader(self._told)
            os.close(self._told)
            self._alone.set()

    async def end(self) -> None:
        """Waits for the warden's end, and ends what that has left.

        asyncio itself counts a process as ended when nobody holds its output any more, which those may do who remain.
        """
        await self._alone.wait()
        group, _, ended = self._said.partition(b" ")
        if group and not ended:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(int(group), signal.SIGKILL)
        if self._network:
            for each in _within(self._network):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(each, signal.SIGKILL)
        if self._cleanup and not ended:
            await self._run()

    async def _run(self) -> None:
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            *self._cleanup, env=dict(self._env), stdin=quiet, stdout=quiet, stderr=quiet
        )
        try:
            async with asyncio.timeout(CLEANUP_S):
                await process.wait()
        except TimeoutError:
            process.kill()


def _network(process: int | str) -> int | None:
    """The number of a process's network, where Linux tells: namespaces(7)."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/ns/net").stat().st_ino
    return None


def _within(network: int) -> Iterator[int]:
    if network == _network("self"):
        return
    for folder in Path("/proc").glob("[0-9]*"):
        if _network(folder.name) == network:
            yield int(folder.name)
