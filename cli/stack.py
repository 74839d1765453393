"""The local stack: the emulated Google Cloud, a Prefect server and a worker, as processes that end with their owner."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from filelock import FileLock, Timeout
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists

from tasks.failures.errors import Cause, StackFailed
from tasks.orchestration.gather import all_of

ROOT = Path(__file__).parent.parent  # where prefect.yaml is
POOL = "slipway"
START_TIMEOUT_S = 120.0  # a first start of Prefect makes its database; 14 s on two cores
STOP_TIMEOUT_S = 20.0
RUNS_AT_ONCE = 8  # of twenty that start together, Prefect's SQLite database turns so many requests away that some crash
LEASES = "prefect.server.concurrency.lease_storage.filesystem"


@dataclass(frozen=True, slots=True)
class Stack:
    """A running local stack; `environment` is what a process needs to use it."""

    folder: Path
    api_url: str
    ui_url: str
    environment: Mapping[str, str]


@asynccontextmanager
async def local_stack(folder: Path, projects: Sequence[str]) -> AsyncIterator[Stack]:
    """Starts everything, and ends it all when left: nothing stays behind but the state in `folder`."""
    async with AsyncExitStack() as stack:
        stack.enter_context(_alone(folder))
        starting = [_cloud(stack, folder, projects), start_server(stack, folder)]
        cloud, server = await all_of(starting, stop_on_failure=True)
        environment = {**os.environ, **cloud, **server}
        await start_worker(stack, folder, environment)
        ui_url = server["PREFECT_API_URL"].removesuffix("/api")
        running = Stack(folder, server["PREFECT_API_URL"], ui_url, environment)
        _announce(running, cloud | server)
        stack.callback((folder / "up.json").unlink, missing_ok=True)
        yield running


def _alone(folder: Path) -> AbstractContextManager[object]:
    """Held while the stack runs: one per folder."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return FileLock(folder / "lock").acquire(blocking=False)
    except Timeout:
        raise StackFailed(
            f"A local stack is running on {folder} already.",
            "stop it with Ctrl-C where it was started, or choose another folder with --data.",
            Cause.STATE_LOCK,
        ) from None


def _announce(stack: Stack, variables: Mapping[str, str]) -> None:
    """Leaves word of the running stack, so that `slipway deploy` in another terminal finds it."""
    new = stack.folder / "up.json.new"
    new.write_text(json.dumps({"environment": dict(variables)}, indent=2))
    new.replace(stack.folder / "up.json")  # whole or not at all


async def _cloud(stack: AsyncExitStack, folder: Path, projects: Sequence[str]) -> dict[str, str]:
    data = folder / "cloud"
    arguments = ["-m", "infra.emulator", "run", "--data", str(data)]
    for project in projects:
        arguments += ["--project", project]
    (data / "emulator.json").unlink(missing_ok=True)
    process = await _start(stack, folder, "cloud", arguments, os.environ)
    word = data / "emulator.json"
    await _until(word.is_file, process, "the local Google Cloud", folder / "logs" / "cloud.log")
    return dict(json.loads(word.read_text())["environment"])


async def start_server(stack: AsyncExitStack, folder: Path, port: int | None = None) -> dict[str, str]:
    """A Prefect server that ends with `stack`, on a free port if none is given; answers what leads to it.

    Its leases are files, so that a release keeps its lock while the server is started again. In memory, as is Prefect's
    default, they would be forgotten, and the lock would never be free.
    """
    port = port or free_port()
    variables = {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES,
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.5",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    arguments = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    process = await _start(stack, folder, "prefect-server", arguments, {**os.environ, **variables})
    url = f"{variables['PREFECT_API_URL']}/health"
    await _until(lambda: _answers(url), process, "the Prefect server", folder / "logs" / "prefect-server.log")
    return variables


async def start_worker(stack: AsyncExitStack, folder: Path, environment: Mapping[str, str]) -> None:
    """A worker that ends with `stack`, with all that it may be asked to run registered."""
    async with PrefectClient(environment["PREFECT_API_URL"]) as client:
        with contextlib.suppress(ObjectAlreadyExists):
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    await all_of([_worker(stack, folder, environment), _register(folder, environment)], stop_on_failure=True)


async def _worker(stack: AsyncExitStack, folder: Path, environment: Mapping[str, str]) -> None:
    arguments = ["-m", "prefect", "worker", "start", "--pool", POOL, "--name", "local", "--type", "process"]
    arguments += ["--limit", str(RUNS_AT_ONCE)]
    await _start(stack, folder, "worker", arguments, environment)


async def _register(folder: Path, environment: Mapping[str, str]) -> None:
    """Creates or updates every deployment of prefect.yaml, and the automations, which start one of them."""
    steps = {"deployments": ("prefect", "--no-prompt", "deploy", "--all"), "automations": ("deployments.automations",)}
    for name, arguments in steps.items():
        async with AsyncExitStack() as stack:
            process = await _start(stack, folder, name, ["-m", *arguments], environment)
            if await process.wait() != 0:
                raise _broken(f"registering the {name}", folder / "logs" / f"{name}.log")


async def _start(
    stack: AsyncExitStack, folder: Path, name: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> asyncio.subprocess.Process:
    """A Python process in a session of its own: Ctrl-C reaches us alone, and we end it in order."""
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / f"{name}.log").open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *arguments),
            cwd=ROOT,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    stack.push_async_callback(_stop, process)
    return process


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Asks the process, and after a while makes sure of its whole group."""
    try:
        if process.returncode is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def _until(ready: object, process: asyncio.subprocess.Process, what: str, log: Path) -> None:
    assert callable(ready)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await asyncio.to_thread(ready):
                if process.returncode is not None:
                    raise _broken(f"starting {what}", log)
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise _broken(f"starting {what} within {START_TIMEOUT_S:g} s", log) from None


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, trust_env=False, timeout=2).is_success
    return False


def _broken(doing: str, log: Path) -> StackFailed:
    lines = log.read_text(errors="replace").strip().splitlines()[-15:]
    return StackFailed(
        f"The local stack failed while {doing}:\n" + "\n".join(f"  {line}" for line in lines),
        f"read {log}, then start again.",
        Cause.OTHER,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
