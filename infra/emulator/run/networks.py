"""A network of its own for each instance, as containers have on Cloud Run.

Two instances may listen on the same port, the machine's other programs reach neither, and a program that listens on
127.0.0.1 alone is reached by nobody: https://cloud.google.com/run/docs/container-contract#port

The instance's warden lives in the network and lends the emulator sockets that belong to it: the emulator connects to
the instance with such a socket, and listens with one where the instance looks for Google and for other services.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path
from typing import Any

from infra.emulator.run.warden import METADATA

WARDEN = Path(__file__).with_name("warden.py")
FIRST = IPv4Address("10.128.0.1")  # of the addresses by which instances are reached; none is used twice
TIMEOUT_S = 30.0
# Of the addresses that instances find on their own loopback: a listener each, in each instance. What an instance's
# variables name it always finds; of the others, those that came last.
MOST_OFFERED = 48
NEW_NETWORK = ("unshare", "--net")
AS_USER = ("unshare", "--user", "--map-root-user", "--net")  # where one is not root
METADATA_PORT, OTHER_METADATA_PORT = 80, 988
LOCAL = re.compile(r"(?:127\.0\.0\.1|localhost):(\d{1,5})")
Factory = Callable[[], asyncio.BaseProtocol]


def metadata_port(port: int) -> int:
    """What listens on a port at all its addresses, as nginx does on 80, leaves it to nobody else there."""
    return OTHER_METADATA_PORT if port == METADATA_PORT else METADATA_PORT


def in_a_network(port: int) -> dict[str, str]:
    """Where clients ask first: none of them goes by the name, which means something else on other machines."""
    at = metadata_port(port)
    return {"GCE_METADATA_HOST": METADATA if at == METADATA_PORT else f"{METADATA}:{at}"}


class Network:
    """One instance's network; it ends with the instance once `close` has let go of it."""

    def __init__(self, address: str, command: tuple[str, ...]) -> None:
        self.address, self._command = address, command
        self._channel, self._wardens = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(TIMEOUT_S)
        self._servers: dict[int, asyncio.Server] = {}
        self._metadata: asyncio.Server | None = None
        self.needed: set[int] = set()  # ports that stay, however many others come

    @contextlib.contextmanager
    def entrance(self) -> Iterator[tuple[list[str], int]]:
        """The command that starts the warden inside, and the file descriptor that it needs."""
        number = self._wardens.fileno()
        with self._wardens:
            yield [*self._command, sys.executable, "-I", "-S", str(WARDEN), str(number), self.address], number

    def take(self) -> socket.socket:
        """An unconnected TCP socket inside. Raises OSError when the network has ended."""
        _, numbers, _, _ = socket.recv_fds(self._channel, 1, 1)
        if not numbers:
            raise ConnectionError("the instance has ended")
        return socket.socket(fileno=numbers[0])

    async def serve(self, port: int, factory: Factory) -> None:
        """Listens on the instance's own loopback, unless the instance does so itself."""
        listener = await asyncio.to_thread(self.take)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            self._servers[port] = await asyncio.get_running_loop().create_server(factory, sock=listener)
        except OSError:
            listener.close()
        spare = [each for each in self._servers if each not in self.needed]
        for each in spare[: max(len(spare) - MOST_OFFERED, 0)]:
            self._servers.pop(each).close()

    async def tell(self, factory: Factory, port: int) -> None:
        """Has the metadata server where programs look for it; port: that of the instance itself."""
        listener = await asyncio.to_thread(self.take)
        try:
            listener.bind((METADATA, metadata_port(port)))
            self._metadata = await asyncio.get_running_loop().create_server(factory, sock=listener)
        except OSError:
            listener.close()

    def close(self) -> None:
        for server in (*self._servers.values(), *([self._metadata] if self._metadata else [])):
            server.close()
        self._channel.close()


class Networks:
    """All networks, and what instances reach in each of them."""

    def __init__(self) -> None:
        self._by_address: dict[str, Network] = {}
        self._offered: dict[int, Factory] = {}  # by port, the newest last
        self._always: set[int] = set()
        self._numbers = count()
        self._command: tuple[str, ...] | None = None
        self._checking = asyncio.Lock()

    async def open(self) -> Network | None:
        """A new one; None where this machine lets nobody make one. Its warden is to be started next."""
        async with self._checking:
            if self._command is None:
                self._command = await _command()
        if not self._command:
            return None
        return Network(str(FIRST + next(self._numbers)), self._command)

    async def furnish(self, network: Network, env: Mapping[str, str]) -> None:
        """Brings in what is offered and may be asked for. Raises OSError when the warden has not come up.

        Only from here on it gets what is offered to all: before there is a warden, each offer would wait for one.
        """
        self._by_address[network.address] = network
        named = {int(port) for value in env.values() for port in LOCAL.findall(value)}
        network.needed = (self._always | named) & self._offered.keys()
        for port in dict.fromkeys([*network.needed, *list(self._offered)[-MOST_OFFERED:]]):
            await network.serve(port, self._offered[port])

    async def offer(self, port: int, factory: Factory, *, always: bool = False) -> None:
        """Serves `port` of every instance's own loopback from now on; `always`, or as one of the last that came."""
        self._offered[port] = factory
        self._always |= {port} if always else set()
        for network in list(self._by_address.values()):
            with contextlib.suppress(OSError):  # it is just ending
                await network.serve(port, factory)

    def withdraw(self, port: int) -> None:
        self._offered.pop(port, None)

    def close(self, network: Network) -> None:
        self._by_address.pop(network.address, None)
        network.close()

    def take(self, info: Any) -> socket.socket:
        """A socket by which to reach an address (one of getaddrinfo's answers); raises OSError."""
        family, kind, protocol, _, address = info
        network = self._by_address.get(address[0])
        return network.take() if network else socket.socket(family, kind, protocol)

    def take_for(self, host: str) -> socket.socket:
        return self.take((socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, 0)))


async def _command() -> tuple[str, ...]:
    """What makes a network here; empty if nothing does. Tries it for real."""
    for command in (NEW_NETWORK, AS_USER):
        if command is NEW_NETWORK and os.geteuid() != 0:
            continue
        with contextlib.suppress(OSError):
            process = await asyncio.create_subprocess_exec(
                *command,
                *(sys.executable, "-I", "-S", str(WARDEN), "try", str(FIRST)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            if await process.wait() == 0:
                return command
    return ()
