"""Where instances run: under podman, or as plain processes from the image's files."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from infra.emulator.run.listeners import SHARED
from infra.emulator.run.networks import WARDEN, Factory, Network, Networks, in_a_network
from infra.emulator.run.ports import free_port
from infra.emulator.run.remains import Remains
from infra.emulator.run.workload import Workload

GRACE_S = 10.0  # between SIGTERM and SIGKILL, as Cloud Run gives
LAST_WORDS_S = 5.0  # for what is written and not read yet when an instance has ended
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
        """What to run so that the workload listens on `port`, if that is not 0; `folder` is the instance's own."""
        ...


def port_variable(port: int) -> dict[str, str]:
    """Only what takes requests is told a port: https://cloud.google.com/run/docs/container-contract#env-vars"""
    return {"PORT": str(port)} if port else {}


class Instance:
    """One running container or process; `network` is its own, None where it shares this machine's."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        remains: Remains,
        network: Network | None,
        port: int,
        sink: Sink,
    ) -> None:
        self._process, self._remains, self.network, self.port = process, remains, network, port
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
        """Waits for the end; all output has reached the sink by then. Answers the exit status.

        Nothing of it runs on, also where somebody killed the warden: that would hold the output open for ever.
        """
        await self._remains.end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await asyncio.gather(self._process.wait(), *self._pumps)
        code = self._process.returncode
        return 128 + signal.SIGKILL if code is None or code < 0 else code

    async def stop(self, *, hurry: bool = False) -> None:
        """Asks it to end, and makes it end after the grace period; returns when it has."""
        assert self._process.stdin is not None
        if hurry:
            with contextlib.suppress(ConnectionError):
                self._process.stdin.write(b"!")
        self._process.stdin.close()
        await asyncio.shield(self.ended)


def within(workload: Workload, network: Network | None) -> Workload:
    """As it is told where the metadata server is, which it has in a network of its own alone."""
    return replace(workload, env={**in_a_network(workload.port), **workload.env}) if network else workload


async def begin(
    runtime: Runtime, workload: Workload, folder: Path, sink: Sink, networks: Networks, metadata: Factory | None
) -> Instance:
    """In a network of its own where the runtime isolates. Raises OSError, and what the runtime's `prepare` does."""
    network = await networks.open() if runtime.isolates else None
    port = workload.port if network or not workload.port else free_port()
    try:
        order = await runtime.prepare(within(workload, network), port, folder)
        return await launch(order, port, sink, networks, network, metadata)
    except BaseException:
        if network:
            networks.close(network)
        raise


async def launch(
    order: Order, port: int, sink: Sink, networks: Networks, network: Network | None, metadata: Factory | None
) -> Instance:
    """Starts it, in its network if it has one: that is furnished first, with a metadata server. Raises OSError."""
    told, teller = os.pipe()
    try:
        process = await _enter(network, teller)
    except BaseException:
        os.close(told)
        raise
    finally:
        os.close(teller)
    try:
        if network:
            await networks.furnish(network, order.env)
            if metadata:
                await network.tell(metadata, port)
    except BaseException:
        process.kill()
        os.close(told)
        raise
    remains = Remains(told, process.pid if network else None, order.cleanup, order.env)
    assert process.stdin is not None
    process.stdin.write(json.dumps(_words(order, teller)).encode() + b"\n")
    return Instance(process, remains, network, port, sink)


def _words(order: Order, teller: int) -> dict[str, Any]:
    """The order as the warden reads it."""
    return {
        "tell": teller,
        "command": list(order.command),
        "env": dict(order.env),
        "cwd": order.cwd,
        "stop": list(order.stop),
        "cleanup": list(order.cleanup),
        "grace_s": order.grace_s,
    }


async def _enter(network: Network | None, teller: int) -> asyncio.subprocess.Process:
    """The warden, in the network if there is one."""
    if network is None:
        return await _start([sys.executable, "-I", "-S", str(WARDEN)], teller)
    with network.entrance() as (command, number):
        return await _start(command, number, teller)


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
