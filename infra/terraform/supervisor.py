"""One run of terraform at a time in a folder: started under a guard, followed, taken over, ended.

What runs is known by locks that the kernel holds as long as the processes live, so that neither a number that another
process has by now nor a file that somebody left can deceive.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.terraform import guard

POLL_S = 0.2
DYING_S = 10.0  # in which what is killed is gone, also by a guard that does it a moment later
OWN_LOCK, GROUP_LOCK = "guard.lock", "group.lock"
LOG, COMMAND = "log", "command"


class StillRunning(Exception):
    """Something of an earlier run lives on in the folder."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run of terraform ended."""

    code: int | None  # None: whoever watched it was killed, so nobody knows
    reason: str = ""  # asked, deadline or lost; '' if it has ended by itself

    @property
    def ok(self) -> bool:
        return self.code == 0


@dataclass(frozen=True, slots=True)
class Order:
    """What to run, and for how long."""

    name: str  # apply, plan, …
    command: Sequence[str]
    log: Path
    deadline_s: float
    grace_s: float
    began_s: float = 0.0  # since the epoch; known of what has been started
    spent: Sequence[str] = ()  # files that are deleted when it has ended


OnLine = Callable[[str], None]


async def run(folder: Path, order: Order, env: Mapping[str, str], on_line: OnLine) -> Ended:
    """Runs it to its end, and tells each line. Raises StillRunning.

    Who is cancelled meanwhile has it ended, and waits for that; who is killed leaves it to go on alone.
    """
    starting = asyncio.ensure_future(_start(folder, order, env))
    try:
        await asyncio.shield(starting)
        return await follow(folder, order.log, on_line)
    except asyncio.CancelledError:
        await _whatever_comes(_end_what_starts(folder, order.grace_s, starting))
        raise


async def _whatever_comes(work: Coroutine[Any, Any, None]) -> None:
    """To its end, also when it is cancelled once more: it is over soon, and until then the folder is in use."""
    running = asyncio.ensure_future(work)
    while not running.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([running])
    running.result()


async def _end_what_starts(folder: Path, grace_s: float, starting: asyncio.Future[None]) -> None:
    with contextlib.suppress(StillRunning):  # what is at work there is another's
        await starting
        await end(folder, grace_s)


async def _start(folder: Path, order: Order, env: Mapping[str, str]) -> None:
    with contextlib.ExitStack() as held:
        locks = []
        for name in (OWN_LOCK, GROUP_LOCK):
            lock = guard.taken(folder / name)
            if lock is None:
                raise StillRunning(str(folder))
            held.callback(os.close, lock)
            locks.append(lock)
        _leave_word(folder, order)
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            guard.__file__,
            str(folder),
            *map(str, locks),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=dict(env),
            start_new_session=True,
            pass_fds=locks,
        )


def _leave_word(folder: Path, order: Order) -> None:
    """What the guard is to do, and whoever comes after a death is to know."""
    for name in (guard.STARTED, guard.ENDED, guard.ASKED):
        (folder / name).unlink(missing_ok=True)
    order.log.touch(mode=0o600)
    said = {
        "name": order.name,
        "command": list(order.command),
        "log": str(order.log),
        "deadline_s": order.deadline_s,
        "grace_s": order.grace_s,
        "began_s": time.time(),
        "spent": list(order.spent),
    }
    guard.write(folder / guard.ORDER, said)


async def follow(folder: Path, log: Path, on_line: OnLine) -> Ended:
    """Tells each line until nothing of the run is alive any more; also of one that somebody else has started."""
    async for line in _lines(folder, log):
        on_line(line)
    return ended(folder)


def ended(folder: Path) -> Ended:
    """Of the last run; only once nothing of it is alive."""
    try:
        found = json.loads((folder / guard.ENDED).read_text())
    except FileNotFoundError:
        return Ended(None, "lost")
    return Ended(found["code"], found["reason"])


def last_order(folder: Path) -> Order | None:
    """What was run last in the folder; None if nothing was."""
    try:
        found = json.loads((folder / guard.ORDER).read_text())
    except FileNotFoundError:
        return None
    return Order(**found | {"log": Path(found["log"])})


def is_alive(folder: Path) -> bool:
    """Whether anything of the last run is; what is left of one whose terraform is gone is killed."""
    if _is_held(folder / OWN_LOCK):
        return True
    if not _is_held(folder / GROUP_LOCK):
        return False
    leader = _leader(folder)
    if leader is not None and _runs(leader):
        return True
    if leader is not None:
        guard.kill_group(leader)  # a provider whose terraform was killed would wait for ever
    return _is_held(folder / GROUP_LOCK)


def ask_to_end(folder: Path) -> None:
    """Terraform saves what it has and ends within its grace, also when its guard is gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        if _is_held(folder / OWN_LOCK):
            (folder / guard.ASKED).touch(mode=0o600)  # heard by a guard that is only starting, too
        elif _is_held(folder / GROUP_LOCK) and (leader := _leader(folder)) is not None:
            os.kill(leader, signal.SIGINT)


async def end(folder: Path, grace_s: float, last_grace_s: float = guard.LAST_GRACE_S) -> None:
    """As its guard ends it, also when that is gone: asked twice, and then it is killed."""
    for patience_s in (grace_s, last_grace_s):
        ask_to_end(folder)
        if await _is_over(folder, patience_s):
            return
    if _is_held(folder / OWN_LOCK) and await _is_over(folder, DYING_S):
        return
    if (leader := _leader(folder)) is not None:
        guard.kill_group(leader)
        await _is_over(folder, DYING_S)


async def _is_over(folder: Path, patience_s: float) -> bool:
    until = time.monotonic() + patience_s
    while is_alive(folder):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(POLL_S)
    return True


async def _lines(folder: Path, log: Path) -> AsyncIterator[str]:
    with log.open(errors="replace") as file:
        rest = ""
        while True:
            over = not is_alive(folder)
            rest += file.read()
            *whole, rest = rest.split("\n")
            for line in filter(None, whole):
                yield line
            if over:
                return  # a last line without an end is half of one
            await asyncio.sleep(POLL_S)


def _is_held(path: Path) -> bool:
    lock = guard.taken(path, to_look=True)
    if lock is None:
        return True
    os.close(lock)
    return False


def _started(folder: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((folder / guard.STARTED).read_text())
    return found


def _leader(folder: Path) -> int | None:
    """Terraform's process, which is its group's leader; None where its guard died before it could say."""
    try:
        return _started(folder)["pid"]
    except FileNotFoundError:
        return None


def _runs(leader: int) -> bool:
    """Whether the leader of the group is alive; one that has ended and is not waited for is not."""
    try:
        if os.getpgid(leader) != leader:
            return False
        state = Path(f"/proc/{leader}/stat")
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
