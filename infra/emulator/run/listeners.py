"""Who listens where, as Linux tells it: https://docs.kernel.org/networking/proc_net_tcp.html"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

SHARED = "127.0.0.1"  # the address of instances that have no network of their own
LOOK_S, LOOKS = 0.25, 8  # so often in a row it must be seen that a container listens where nobody reaches it
LISTEN = "0A"
LOOPBACK_6 = "00000000000000000000000001000000"  # ::1, each four bytes in the machine's order
MAPPED = "0000000000000000FFFF0000"  # before an IPv4 address


class Placed(Protocol):
    """What is asked of an instance here."""

    host: str
    port: int

    @property
    def pid(self) -> int: ...


async def listens_elsewhere(instance: Placed, declared: int) -> str:
    """Waits until the container surely listens where nobody reaches it, and says where.

    `declared` is the port that the revision names. Google waits for the whole start-up time in these cases; the outcome
    is the same.
    """
    before, seen = listening("self"), 0
    while True:
        await asyncio.sleep(LOOK_S)
        found = listening(instance.pid)
        fixed = instance.host == SHARED and instance.port != declared and _new(found - before, declared)
        seen = seen + 1 if fixed or loopback_only(found, instance.port) else 0
        if seen >= LOOKS and fixed:
            return (
                f"The container listens on port {declared} whatever $PORT says. Cloud Run would reach it there; the "
                f"local Google Cloud can make no network namespaces on this machine, so each instance must listen on "
                f"$PORT, here {instance.port}."
            )
        if seen >= LOOKS:
            return (
                f"The container listens on 127.0.0.1:{instance.port} alone, which nobody outside of it can reach. "
                f"It must listen on 0.0.0.0: https://cloud.google.com/run/docs/troubleshooting#port"
            )


def _new(found: Iterable[tuple[str, int]], port: int) -> bool:
    return any(number == port for _, number in found)


def listening(process: int | str) -> frozenset[tuple[str, int]]:
    """(address in hexadecimal, port) of every TCP listener in the process's network; none where Linux is not."""
    found: set[tuple[str, int]] = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            found |= set(parse(Path(f"/proc/{process}/net/{name}").read_text().splitlines()))
    return frozenset(found)


def parse(lines: Iterable[str]) -> Iterator[tuple[str, int]]:
    for line in lines:
        fields = line.split()
        if len(fields) > 3 and fields[3] == LISTEN:
            address, port = fields[1].split(":")
            yield address, int(port, 16)


def loopback_only(found: Iterable[tuple[str, int]], port: int) -> bool:
    """Whether somebody listens on the port, but at loopback addresses alone."""
    addresses = [address for address, number in found if number == port]
    return bool(addresses) and all(map(is_loopback, addresses))


def is_loopback(address: str) -> bool:
    return address == LOOPBACK_6 or (len(address.removeprefix(MAPPED)) == 8 and address.endswith("7F"))
