"""The process that watches one run of terraform, so that no death of its caller can lose what terraform has made.

It is started with its own session, writes terraform's output to a file and ends it when that is asked for or its time
is over: SIGINT, which saves the state at once and waits for what is under way; the grace; SIGINT, which lets go of
that; 15 s; then the whole group is killed, providers included. The caller reads the file. With a pipe a killed reader
would take terraform with it at its next line.

Run by its path with the folder and two open locks; knows nothing of this project: `python guard.py FOLDER 5 6`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ORDER, STARTED, ENDED = "order.json", "started.json", "ended.json"
ASKED = "asked"  # an empty file, which is there once somebody wants it to end; also before the guard is up
LAST_GRACE_S = 15.0  # after a second SIGINT terraform leaves within 2 s
POLL_S = 0.05


def main(folder: Path, own_lock: int, group_lock: int) -> None:
    """own_lock: held as long as this process lives. group_lock: as long as anything of terraform's lives."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.set_inheritable(own_lock, False)
    order = json.loads((folder / ORDER).read_text())
    with Path(order["log"]).open("ab") as log:
        process = subprocess.Popen(
            order["command"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(group_lock,),
            umask=0o077,  # plans and states hold keys in clear
        )
    write(folder / STARTED, {"pid": process.pid, "guard": os.getpid()})
    reason = watch(process, lambda: asked.is_set() or (folder / ASKED).exists(), order["deadline_s"], order["grace_s"])
    for path in order["spent"]:
        Path(path).unlink(missing_ok=True)
    write(folder / ENDED, {"code": process.returncode, "reason": reason})


def watch(process: subprocess.Popen[bytes], asked: Callable[[], bool], deadline_s: float, grace_s: float) -> str:
    """Why it was ended: '' if it has ended by itself."""
    until, reason = time.monotonic() + deadline_s, ""
    while not reason and process.poll() is None:
        time.sleep(POLL_S)
        reason = "asked" if asked() else "deadline" if time.monotonic() > until else ""
    for patience_s in (grace_s, LAST_GRACE_S):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
    kill_group(process.pid)
    process.wait()
    return reason


def kill_group(leader: int) -> None:
    """Also what a provider has left behind."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def write(path: Path, value: dict[str, Any]) -> None:
    """As a whole or not at all, and for nobody else to read."""
    part = path.with_suffix(".part")
    part.touch(mode=0o600)
    part.write_text(json.dumps(value))
    part.replace(path)


def taken(path: Path, *, to_look: bool = False) -> int | None:
    """The open lock, None while somebody else has it. It ends with the last process that has it open."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, (fcntl.LOCK_SH if to_look else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
