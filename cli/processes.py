"""Programs that the local stack is made of: started in sessions of their own, waited for, and ended in order."""

from __future__ import annotations

import asyncio
import contextlib
import http
import http.client
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

from tasks.failures.cause import Cause
from tasks.failures.errors import StackFailed
from tasks.orchestration.gather import to_its_end

ROOT = Path(__file__).parent.parent  # where prefect.yaml is
START_TIMEOUT_S = 300.0  # a first start of Prefect makes its database: 14 s on two idle cores, minutes on busy ones
STOP_TIMEOUT_S = 20.0
AGAIN_S = 1.0  # until one that has ended is started again
PRIVATE = 0o077  # what a process makes is for this user alone


def python(*arguments: str) -> list[str]:
    """The command of a Python process with what this one has installed."""
    return [sys.executable, *arguments]


async def start(
    stack: AsyncExitStack,
    folder: Path,
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    umask: int = PRIVATE,
    ends_by: signal.Signals = signal.SIGTERM,
    again: bool = False,
) -> asyncio.subprocess.Process:
    """A process that ends with `stack`, in a session of its own: Ctrl-C reaches us alone, and we end it in order.

    again: what it wrote before stays in its log.
    """
    with log_of(folder, name).open("ab" if again else "wb") as out:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            umask=umask,
        )
    stack.push_async_callback(_stop, process, ends_by)
    return process


async def keep(
    stack: AsyncExitStack, folder: Path, name: str, command: Sequence[str], environment: Mapping[str, str]
) -> None:
    """One that is started again whenever it ends by itself, as a worker does to which Prefect answers an error."""
    started = await stack.enter_async_context(AsyncExitStack())
    process = await start(started, folder, name, command, environment)

    async def goes_on() -> None:
        nonlocal process
        while True:
            code = await process.wait()
            told = f"{name} has ended with {code} and is started again; {log_of(folder, name)} says why"
            print(told, file=sys.stderr, flush=True)
            await asyncio.sleep(AGAIN_S)
            process = await to_its_end(start(started, folder, name, command, environment, again=True))

    work = asyncio.ensure_future(goes_on())

    async def no_longer() -> None:
        work.cancel()
        await asyncio.wait([work])

    stack.push_async_callback(no_longer)  # before what it has started is ended


async def run(folder: Path, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
    """One that ends by itself. StackFailed if it fails."""
    async with AsyncExitStack() as stack:
        process = await start(stack, folder, name, command, environment)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_TIMEOUT_S):
                await process.wait()
        if process.returncode:
            raise _broken(f"running {name}", log_of(folder, name))
        if process.returncode is None:
            raise _broken(f"running {name} within {START_TIMEOUT_S:g} s", log_of(folder, name))


def log_of(folder: Path, name: str) -> Path:
    """Where a process of the stack writes to."""
    logs = folder / "logs"
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    log.touch(mode=0o600)
    return log


async def until(ready: Callable[[], bool], process: asyncio.subprocess.Process, what: str, log: Path) -> None:
    """StackFailed, with the end of the log, if the process ends before it is ready or is not ready in time."""
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await asyncio.to_thread(ready):
                if process.returncode is not None:
                    raise _broken(f"starting {what}", log)
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise _broken(f"starting {what} within {START_TIMEOUT_S:g} s", log) from None


def answers(url: str) -> bool:
    """Asked ten times a second of a server that is busy starting: not with httpx, which would spend 30 ms on it."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=2)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", place.path)
        return connection.getresponse().status == http.HTTPStatus.OK
    return False


def listens(port: int) -> bool:
    """Whether anybody takes connections on that port of this machine."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _stop(process: asyncio.subprocess.Process, ends_by: signal.Signals) -> None:
    """Asks the process, and after a while makes sure of its whole group."""
    try:
        if process.returncode is None:
            process.send_signal(ends_by)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _broken(doing: str, log: Path) -> StackFailed:
    lines = log.read_text(errors="replace").strip().splitlines()[-15:]
    return StackFailed(
        f"The local stack failed while {doing}:\n" + "\n".join(f"  {line}" for line in lines),
        f"read {log}, then start again.",
        Cause.OTHER,
    )
