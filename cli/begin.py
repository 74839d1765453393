"""Where the `slipway` command begins: beside a local stack in a process that has loaded everything, else in this one.

Standard library only: for most commands, loading Prefect takes longer than all that they do.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from cli.local import local_stack_variables
from deployments.warm.start import SOCKET, leave, run

# Those that load Prefect. The others are sooner done than another process is asked.
HEAVY = frozenset({
    "cleanup", "deploy", "doctor", "drift", "figures", "history", "logs", "promote", "register", "rollback", "ship",
    "status", "unregister",
})  # fmt: skip


def main() -> None:
    """Exits as the command does."""
    if sys.argv[1:2] and sys.argv[1] in HEAVY and (place := zygote_beside()):
        status = run(place, "cli.main", sys.argv[1:])
        if status is not None:
            leave(status)
    from cli.main import main as here

    here()


def zygote_beside() -> str | None:
    """The socket of the stack that this environment or this folder is about."""
    if place := os.environ.get(SOCKET):
        return place
    with suppress(OSError, ValueError, KeyError):
        return local_stack_variables()[SOCKET]
    return None


if __name__ == "__main__":
    main()
