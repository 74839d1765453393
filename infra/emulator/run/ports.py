"""Ports on loopback for addresses and instances."""

from __future__ import annotations

import contextlib
import random
import socket

# Below the ports that Linux and macOS give to outgoing connections: between choosing a port for an instance and the
# instance's listening there, a connection could take one of those; and an address shall be free again after a restart.
FIRST, LAST = 15_000, 32_000
ATTEMPTS = 100


def bind(port: int = 0) -> socket.socket:
    """A socket bound to `port` if that is free, else to any free one."""
    others = (random.randint(FIRST, LAST) for _ in range(ATTEMPTS))  # noqa: S311 - not a secret
    for candidate in (*([port] if port else ()), *others):
        with contextlib.suppress(OSError):
            return _bound(candidate)
    return _bound(0)


def free_port() -> int:
    with bind() as probe:
        return int(probe.getsockname()[1])


def _bound(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.close()
        raise
    return listener
