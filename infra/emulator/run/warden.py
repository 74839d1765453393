"""Runs one command for the emulator and ends it, children and all, when its own standard input closes.

The pipe closes when the emulator lets the command go, and also when the emulator is killed: nothing is left behind.
Started with `python -I -S`; the first line of standard input is the order (JSON): `command`, `env`, `cwd`, `stop` (a
command that asks it to end, or empty for SIGTERM), `grace_s` (from there to SIGKILL), `cleanup` (a command for the
very end, or empty) and `tell` (a file descriptor: over it goes the command's process group, for one who must end it
when the warden cannot, and when all is done "ended"). Anything more before the pipe closes means: in a hurry. Exits as
the command did.

In a network of its own it is given two arguments: the file descriptor of a socket over which it lends sockets of that
network for as long as somebody takes them, and the address to be reached by. `try` ADDRESS only sees whether it works.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from typing import Any

SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C  # netdevice(7)
UP = 0x1
METADATA = "169.254.169.254"
HURRY_S = 1.0  # from SIGTERM to SIGKILL when there is no time for grace


def main() -> None:
    if len(sys.argv) == 3:
        _settle(sys.argv[2])
        if sys.argv[1] == "try":
            return
        channel = socket.socket(fileno=int(sys.argv[1]))
        threading.Thread(target=_lend, args=(channel,), daemon=True).start()
    line = sys.stdin.readline()
    if not line:  # the emulator has ended meanwhile
        return
    order: dict[str, Any] = json.loads(line)
    try:
        process = subprocess.Popen(
            order["command"], env=order["env"], cwd=order["cwd"], stdin=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        print(f"{order['command'][0]}: {error.strerror}", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(127)
    os.write(order["tell"], b"%d" % process.pid)
    threading.Thread(target=_end_with_owner, args=(process, order), daemon=True).start()
    code = process.wait()
    _signal(process, signal.SIGKILL)  # what the command itself started and left
    if order["cleanup"]:
        _run(order["cleanup"], order)
    os.write(order["tell"], b" ended")
    os._exit(code if code >= 0 else 128 - code)


def _settle(address: str) -> None:
    """Sets the network up: loopback, beside it an address that is not loopback's, and that of the metadata server."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", UP))
        for name, own in ((b"lo:1", address), (b"lo:2", METADATA)):
            for request, value in ((SIOCSIFADDR, own), (SIOCSIFNETMASK, "255.255.255.255")):
                place = struct.pack("16sH2x4s8x", name, socket.AF_INET, socket.inet_aton(value))
                fcntl.ioctl(control, request, place)


def _lend(channel: socket.socket) -> None:
    """A few are always on their way, so that the taker need not wait."""
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    with channel, contextlib.suppress(OSError):  # closed when it ends, so that nobody waits for it
        while True:
            with socket.socket() as lent:
                socket.send_fds(channel, [b"."], [lent.fileno()])


def _end_with_owner(process: subprocess.Popen[bytes], order: dict[str, Any]) -> None:
    hurry = bool(sys.stdin.read())
    if order["stop"] and not hurry:
        _run(order["stop"], order)
    else:
        _signal(process, signal.SIGTERM)
    try:
        process.wait(HURRY_S if hurry else order["grace_s"])
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)


def _run(command: list[str], order: dict[str, Any]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, env=order["env"], capture_output=True, timeout=60, check=False)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


if __name__ == "__main__":
    main()
