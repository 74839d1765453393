"""Host processes of build steps: each in a process group of its own, none of which outlives its step."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from infra.emulator.kernel.store import Store

CHUNK = 1 << 16
GRACE_S = 2.0  # for output that is still in the pipe when the process has ended
Output = Callable[[str], None]


class Processes:
    """Remembers the groups that run, so that those which a killed emulator left behind can be ended."""

    def __init__(self, store: Store) -> None:
        self._groups = store.values("build-processes")  # process group -> when its leader started, in clock ticks

    async def run(self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], output: Output) -> int:
        """Runs a program to its end and answers its exit code; lines of both streams go to `output`.

        127 if there is no such program, as a shell would say. Cancelled, it kills the whole group at once.
        """
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                cwd=cwd,
                env=env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=True,
            )
        except OSError as error:
            os.close(reading)
            output(f"{argv[0]}: {error.strerror}")
            return 127
        finally:
            os.close(writing)
        group = str(process.pid)
        self._groups.put(group, started(process.pid))
        reader = asyncio.create_task(_copy(reading, output))
        try:
            return await process.wait()
        finally:
            kill(process.pid)
            self._groups.delete(group)
            await asyncio.wait([reader], timeout=GRACE_S)
            reader.cancel()

    def end_leftovers(self) -> None:
        """Kills groups of an earlier emulator that was killed itself; a reused process id is recognised."""
        for group in self._groups.names():
            if started(int(group)) == self._groups.get(group):
                kill(int(group))
            self._groups.delete(group)


def kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def started(pid: int) -> str:
    """The start time that tells a process from a later one with the same id; '' if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except OSError:
        return ""


async def _copy(descriptor: int, output: Output) -> None:
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        async for line in _lines(pipe):
            output(line)


async def _lines(pipe: object) -> AsyncIterator[str]:
    """Lines of any length; a carriage return ends one too, so that progress bars stay readable."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    rest = ""
    try:
        while chunk := await reader.read(CHUNK):
            *lines, rest = (rest + chunk.decode(errors="replace")).replace("\r\n", "\n").replace("\r", "\n").split("\n")
            for line in lines:
                yield line
        if rest:
            yield rest
    finally:
        transport.close()
