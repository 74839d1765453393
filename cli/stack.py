"""The local stack: the emulated Google Cloud, a Prefect server and a worker, as processes that end with their owner."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shlex
import socket
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import certifi
import prefect
from filelock import FileLock, Timeout
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import VariableCreate, VariableUpdate, WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker

from cli.local import FOLDER, announced, hide_from_git
from cli.processes import ROOT, answers, free_port, keep, log_of, python, start, until
from deployments.wanted import RECOVERY
from deployments.warm.start import SOCKET
from tasks.failures.cause import Cause
from tasks.failures.errors import StackFailed
from tasks.orchestration.gather import all_of

POOL = "slipway"
USUAL = range(20000, 30000)  # ports below what systems give away by themselves
RUNS_AT_ONCE = 8  # each is a process; more than this only wait for each other on a laptop
# SQLite turns away at once who has read and wants to write after somebody else did; Prefect's server answers 503 to
# that, and its client waits up to 62 s. To a database whose address says ":memory:" the server keeps a single
# connection, over which nothing can collide; SQLite itself ignores parameters that it does not know.
DATABASE = "sqlite+aiosqlite:///file:{}?uri=true&connections=:memory:"
REGISTERED = "slipway_registered"  # a variable of Prefect's: the code whose deployments are registered
CODE = ("deployments", "flows", "infra/gcp", "tasks")
COMMANDS = (
    "cli.main",
    "cli.check",
    "cli.runs",
    "cli.results",
    "cli.history",
    "cli.register",
)  # that begin warm beside the stack
WARM = ROOT / "deployments" / "warm" / "start.py"  # the command of a run's process
LEASES = "prefect.server.concurrency.lease_storage.filesystem"


@dataclass(frozen=True, slots=True)
class Stack:
    """A running local stack; `environment` is what a process needs to use it."""

    folder: Path
    api_url: str
    ui_url: str
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Size:
    """How many processes keep track of the runs, and do them. `start_servers` answers what leads to them."""

    start_servers: Callable[[AsyncExitStack, Path, int], Coroutine[Any, Any, dict[str, str]]]
    workers: Sequence[str] = ("local",)
    runs_at_once: int = RUNS_AT_ONCE  # of each worker, besides those that wait for a person or give back
    kept: bool = False  # whether a worker that ends by itself is started again


@asynccontextmanager
async def local_stack(
    folder: Path, projects: Sequence[str], size: Size | None = None, reach: Sequence[int] = ()
) -> AsyncIterator[Stack]:
    """Starts everything, and ends it all when left: nothing stays behind but the state in `folder`.

    The local cloud's containers reach Prefect's server, where workers and runs may be, and the ports `reach`.
    """
    size = size or Size(start_server, kept=True)
    async with AsyncExitStack() as stack:
        stack.enter_context(alone(folder))
        port = usual_port(folder)
        starting = [_warm_cloud(stack, folder, projects, [port, *reach]), size.start_servers(stack, folder, port)]
        cloud, server = await all_of(starting, stop_on_failure=True)
        environment = {**os.environ, **cloud, **server}
        await start_worker(stack, folder, environment, size)
        ui_url = server["PREFECT_API_URL"].removesuffix("/api")
        running = Stack(folder, server["PREFECT_API_URL"], ui_url, environment)
        for place in _where_asked(stack, folder):
            stack.enter_context(announced(place, folder, cloud | server))
        yield running


def _where_asked(stack: AsyncExitStack, folder: Path) -> Iterator[Path]:
    """The folders in which commands look for the stack: its own, and that of here unless another stack has it."""
    yield folder
    if (here := FOLDER.absolute()) != folder:
        with contextlib.suppress(StackFailed, OSError):
            stack.enter_context(alone(here))
            yield here


def alone(folder: Path) -> AbstractContextManager[object]:
    """Held while the stack runs: one per folder."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)  # keys, logs and Prefect's database are in it
    hide_from_git(folder)
    try:
        return FileLock(folder / "lock").acquire(blocking=False)
    except Timeout:
        raise StackFailed(
            f"A local stack is running on {folder} already.",
            "stop it with Ctrl-C where it was started, or choose another folder with --data.",
            Cause.STATE_LOCK,
        ) from None


async def _warm_cloud(
    stack: AsyncExitStack, folder: Path, projects: Sequence[str], reach: Sequence[int]
) -> dict[str, str]:
    """What leads to the cloud and to the zygote, which loads all that runs need while Prefect's server does."""
    cloud = await _cloud(stack, folder, projects, reach)
    return cloud | await start_zygote(stack, folder, {**os.environ, **cloud, "PREFECT_HOME": str(_home(folder))})


async def _cloud(stack: AsyncExitStack, folder: Path, projects: Sequence[str], reach: Sequence[int]) -> dict[str, str]:
    data = folder / "cloud"
    command = python("-m", "infra.emulator", "run", "--data", str(data))
    for project in projects:
        command += ["--project", project]
    for port in reach:
        command += ["--reach", str(port)]
    (data / "emulator.json").unlink(missing_ok=True)
    # The cloud builds images: their files have modes of their own.
    process = await start(stack, folder, "cloud", command, os.environ, umask=-1)
    word = data / "emulator.json"
    await until(word.is_file, process, "the local Google Cloud", log_of(folder, "cloud"))
    return dict(json.loads(word.read_text())["environment"])


async def start_server(stack: AsyncExitStack, folder: Path, port: int | None = None) -> dict[str, str]:
    """A Prefect server that ends with `stack`, on a free port if none is given; answers what leads to it.

    Its leases are files, so that a release keeps its lock while the server is started again. In memory, as is Prefect's
    default, they would be forgotten, and the lock would never be free.
    """
    port = port or free_port()
    variables = {
        **leading_to(folder, port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": DATABASE.format(
            quote(str((folder / "prefect" / "prefect.db").absolute()))
        ),
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES,
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    }
    command = python("-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
    process = await start(stack, folder, "prefect-server", command, {**os.environ, **variables})
    url = f"{variables['PREFECT_API_URL']}/health"
    await until(lambda: answers(url), process, "the Prefect server", log_of(folder, "prefect-server"))
    return variables


def leading_to(folder: Path, port: int) -> dict[str, str]:
    """What a client of a Prefect server on that port needs."""
    home = _home(folder)
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_API_SSL_CERT_FILE": str(_one_authority(home)),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.5",
        "PREFECT_WORKER_QUERY_SECONDS": "0.5",
    }


def _home(folder: Path) -> Path:
    home = (folder / "prefect").absolute()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home


def _one_authority(home: Path) -> Path:
    """Whom Prefect's clients trust, which nobody asks of a server on this machine: it speaks plain HTTP.

    Each client reads the whole file, 40 ms for the authorities of the web, and a run makes 20 of them.
    """
    end, path = "-----END CERTIFICATE-----\n", home / "authority.pem"
    path.write_text(Path(certifi.where()).read_text().partition(end)[0] + end)
    return path


async def start_worker(
    stack: AsyncExitStack, folder: Path, environment: Mapping[str, str], size: Size | None = None
) -> None:
    """A worker, or as many as are named, that end with `stack`, with all that they may be asked to run registered.

    Its runs begin warm where the environment leads to a zygote.
    """
    size = size or Size(start_server)
    await _make_pool(environment["PREFECT_API_URL"], size)
    workers = [_worker(stack, folder, environment, name, size, _limits(size)) for name in size.workers]
    if len(size.workers) > 1:  # the others may be busy, each of them to its limit
        workers.append(_worker(stack, folder, environment, "rescue", size, ["--work-queue", RECOVERY]))
    await all_of([*workers, _register(environment)], stop_on_failure=True)


async def _make_pool(api_url: str, size: Size) -> None:
    """Its runs begin by the command that asks for a warm process, and starts a cold one where there is none.

    Of one worker its ordinary queue has the limit, which counts no run that waits for a person.
    """
    template = ProcessWorker.get_default_base_job_template()
    template["variables"]["properties"]["command"]["default"] = shlex.join([sys.executable, "-IS", str(WARM)])
    async with PrefectClient(api_url) as client:
        try:
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
        except ObjectAlreadyExists:
            await client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=template))
        queue = await client.read_work_queue_by_name("default", POOL)
        limit = size.runs_at_once if len(size.workers) == 1 else None
        if queue.concurrency_limit != limit:
            await client.update_work_queue(queue.id, concurrency_limit=limit)


def _limits(size: Size) -> list[str]:
    return [] if len(size.workers) == 1 else ["--limit", str(size.runs_at_once)]


async def start_zygote(stack: AsyncExitStack, folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The process that runs and commands are forked from, which ends with `stack`; answers what leads to it.

    It is ready after some seconds, and who asks it earlier waits; nothing where there can be none.
    """
    if not hasattr(os, "pidfd_open"):  # Linux alone tells of the end of a process that way
        return {}
    place = Path(stack.enter_context(TemporaryDirectory(prefix="slipway-"))) / "zygote"  # the path of a socket is short
    await start(stack, folder, "zygote", python("-m", "deployments.warm.zygote", str(place), *COMMANDS), environment)
    return {SOCKET: str(place)}


async def _worker(
    stack: AsyncExitStack, folder: Path, environment: Mapping[str, str], name: str, size: Size, more: Sequence[str]
) -> None:
    command = python("-m", "prefect", "worker", "start", "--pool", POOL, "--name", name, "--type", "process")
    log = "worker" if name == "local" else name
    begin = keep if size.kept else start
    await begin(stack, folder, log, [*command, *more], environment)


async def _register(environment: Mapping[str, str]) -> None:
    """Creates or updates every deployment of prefect.yaml, and the automations, which start one of them.

    To load the flows takes seconds, so it is left out where the database says that it was done for this code.
    """
    code = await asyncio.to_thread(_digest_of_code)
    async with PrefectClient(environment["PREFECT_API_URL"]) as client:
        done = await client.read_variable_by_name(REGISTERED)
        if done and done.value == code:
            return
        from deployments.generic import generic_deployments, register_generic

        await register_generic(client, await asyncio.to_thread(generic_deployments))
        if done:
            await client.update_variable(VariableUpdate(name=REGISTERED, value=code))
        else:
            await client.create_variable(VariableCreate(name=REGISTERED, value=code))


def _digest_of_code() -> str:
    """Of all that decides what is registered: the deployments, the flows, and the types of their parameters."""
    digest = hashlib.sha256(f"{prefect.__version__} {sys.executable} {ROOT}".encode())
    for path in [ROOT / "prefect.yaml", *sorted(p for room in CODE for p in (ROOT / room).rglob("*.py"))]:
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


def usual_port(folder: Path) -> int:
    """The same at every start of a folder's stack, so that addresses of its UI stay good, unless somebody has it."""
    usual = USUAL[zlib.crc32(str(folder.absolute()).encode()) % len(USUAL)]
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what a server before has left is no hindrance
        probe.bind(("127.0.0.1", usual))
        return usual
    return free_port()
