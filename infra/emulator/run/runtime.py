"""Where instances run: under podman, or as plain processes from the image's files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra.emulator.run.workload import Workload

WARDEN = Path(__file__).with_name("warden.py")
GRACE_S = 10.0  # between SIGTERM and SIGKILL, as Cloud Run gives
LINE_LIMIT = 256 << 10  # the longest log line Cloud Logging takes
Sink = Callable[[str, str], None]  # (stdout or stderr, one line)


@dataclass(frozen=True, slots=True)
class Order:
    """A command for the warden."""

    command: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    stop: Sequence[str] = ()  # how to ask it to end; without it, by SIGTERM
    cleanup: Sequence[str] = ()  # what to run when it has ended
    grace_s: float = GRACE_S


class Runtime(Protocol):
    name: str

    async def prepare(self, workload: Workload, port: int, folder: Path) -> Order:
        """What to run so that the workload listens on `port` of this machine; `folder` is the instance's own."""
        ...


class Instance:
    """One running container or process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, sink: Sink) -> None:
        self._process, self.port = process, port
        self._pumps = [
            asyncio.create_task(_pump(stream, name, sink))
            for name, stream in (("stdout", process.stdout), ("stderr", process.stderr))
            if stream is not None
        ]
        self.ended = asyncio.create_task(self._end())

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def _end(self) -> int:
        """Waits for the end; all output has reached the sink by then. Answers the exit status."""
        code = await self._process.wait()
        await asyncio.gather(*self._pumps)
        return code

    async def stop(self, *, hurry: bool = False) -> None:
        """Asks it to end, and makes it end after the grace period; returns when it has."""
        assert self._process.stdin is not None
        if hurry:
            with contextlib.suppress(ConnectionError):
                self._process.stdin.write(b"!")
        self._process.stdin.close()
        await asyncio.shield(self.ended)


async def launch(order: Order, port: int, sink: Sink) -> Instance:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        str(WARDEN),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_LIMIT,
        env={},
        start_new_session=True,
    )
    assert process.stdin is not None
    words = {
        "command": list(order.command),
        "env": dict(order.env),
        "cwd": order.cwd,
        "stop": list(order.stop),
        "cleanup": list(order.cleanup),
        "grace_s": order.grace_s,
    }
    process.stdin.write(json.dumps(words).encode() + b"\n")
    return Instance(process, port, sink)


async def _pump(stream: asyncio.StreamReader, name: str, sink: Sink) -> None:
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # longer than the limit; asyncio has dropped it
            continue
        if not line:
            return
        sink(name, line.decode(errors="replace").rstrip("\r\n"))
