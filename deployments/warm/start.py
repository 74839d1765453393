"""The command of a run's process: asks the zygote for one, and stands for it before Prefect's worker.

`cli.begin` asks for the process of a command in the same way.

Signals go on to the run, its exit code comes back, and it does not outlive this process. A zygote that is loading yet
is waited for: that is sooner done than to load all of it once more. Where none answers, the engine is started as
Prefect starts it. Standard library only: each import is time between a click and the first line.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence

SOCKET = "SLIPWAY_ZYGOTE"  # the environment variable that names the zygote's socket
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PID_BYTES, STATUS_BYTES = 8, 4
ENGINE = "prefect.engine"
PATIENCE_S = 60.0  # with a zygote that is loading


def main() -> None:
    path = os.environ.get(SOCKET, "")
    if path and (status := run(path, ENGINE)) is not None:
        leave(status)
    os.execv(sys.executable, [sys.executable, "-m", ENGINE])  # noqa: S606


def run(path: str, module: str, arguments: Sequence[str] = ()) -> int | None:
    """The wait status of what `python -m module arguments` would be; 9, as if killed, if the zygote ends before it.

    None if it was not begun, and is not going to be: there is no zygote at `path`, or it has ended while it loaded.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)  # until there is whom to send them to
    with socket.socket(socket.AF_UNIX) as zygote:
        zygote.settimeout(PATIENCE_S)
        try:
            zygote.connect(path)
            pid = begun(zygote, module, arguments)
        except OSError:
            pid = 0
        for number in FORWARDED if pid else ():
            signal.signal(number, lambda received, _: forward(pid, received))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        return ended(zygote, pid) if pid else None


def begun(zygote: socket.socket, module: str, arguments: Sequence[str]) -> int:
    """The pid, which the run tells itself; 0 if there is none."""
    words = [os.getcwdb(), str(len(arguments)).encode(), module.encode(), *map(os.fsencode, arguments)]  # noqa: PTH109 - pathlib takes 15 ms
    asked = b"\0".join([*words, *(name + b"=" + value for name, value in os.environb.items())])
    socket.send_fds(zygote, [len(asked).to_bytes(PID_BYTES, "big")], [0, 1, 2])
    zygote.sendall(asked)
    return int.from_bytes(zygote.recv(PID_BYTES, socket.MSG_WAITALL), "big")


def ended(zygote: socket.socket, pid: int) -> int:
    zygote.settimeout(None)
    status = zygote.recv(STATUS_BYTES, socket.MSG_WAITALL)
    if len(status) == STATUS_BYTES:
        return int.from_bytes(status, "big")
    forward(pid, signal.SIGKILL)  # nobody would hear of its end, and another run may take over from it
    return signal.SIGKILL


def forward(pid: int, received: int) -> None:
    try:
        os.kill(pid, received)
    except ProcessLookupError:
        return  # it has ended; its status is on the way


def leave(status: int) -> None:
    """As the run has ended: by the same signal, or with the same code."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
