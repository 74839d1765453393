"""Runs one command for the emulator and ends it, children and all, when its own standard input closes.

The pipe closes when the emulator lets the command go, and also when the emulator is killed: nothing is left behind.
Started with `python -I -S`; the first line of standard input is the order (JSON): `command`, `env`, `cwd`, `stop` (a
command that asks it to end, or empty for SIGTERM), `grace_s` (from there to SIGKILL) and `cleanup` (a command for the
very end, or empty). Anything more before the pipe closes means: in a hurry. Exits as the command did.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any

HURRY_S = 1.0  # from SIGTERM to SIGKILL when there is no time for grace


def main() -> None:
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    try:
        process = subprocess.Popen(
            order["command"], env=order["env"], cwd=order["cwd"], stdin=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        print(f"{order['command'][0]}: {error.strerror}", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(127)
    threading.Thread(target=_end_with_owner, args=(process, order), daemon=True).start()
    code = process.wait()
    _signal(process, signal.SIGKILL)  # what the command itself started and left
    if order["cleanup"]:
        _run(order["cleanup"], order)
    os._exit(code if code >= 0 else 128 - code)


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
