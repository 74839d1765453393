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

from infra.emulator.run.listeners import SHARED
from infra.emulator.run.networks import WARDEN, Network, Networks
from infra.emulator.run.workload import Workload

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

    @property
    def isolates(self) -> bool:
        """Whether its instances can live in a network of their own."""
        ...

    async def prepare(self, workload: Workload, port: int, folder: Path) -> Order:
        """What to run so that the workload listens on `port`; `folder` is the instance's own."""
        ...


class Instance:
    """One running container or process; `network` is its own, None where it shares this machine's."""

    def __init__(self, process: asyncio.subprocess.Process, network: Network | None, port: int, sink: Sink) -> None:
        self._process, self.network, self.port = process, network, port
        self.host = network.address if network else SHARED
        self._pumps = [
            asyncio.create_task(_pump(stream, name, sink))
            for name, stream in (("stdout", process.stdout), ("stderr", process.stderr))
            if stream is not None
        ]
        self.ended = asyncio.create_task(self._end())

    @property
    def place(self) -> str:
        """host:port, which no other instance ever has."""
        return f"{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

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


async def launch(order: Order, port: int, sink: Sink, networks: Networks, network: Network | None) -> Instance:
    """Starts it, in its network if it has one: that is furnished first. Raises OSError."""
    if network is None:
        process = await _start([sys.executable, "-I", "-S", str(WARDEN)])
    else:
        with network.entrance() as (command, number):
            process = await _start(command, number)
    try:
        if network:
            await networks.furnish(network)
    except BaseException:
        process.kill()
        raise
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
    return Instance(process, network, port, sink)


async def _start(command: Sequence[str], *inherited: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_LIMIT,
        env={},
        pass_fds=inherited,
        start_new_session=True,
    )


async def _pump(stream: asyncio.StreamReader, name: str, sink: Sink) -> None:
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # longer than the limit; asyncio has dropped it
            continue
        if not line:
            return
        sink(name, line.decode(errors="replace").rstrip("\r\n"))
