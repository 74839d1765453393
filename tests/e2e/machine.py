"""A machine with a Prefect server and a worker, whose processes can be killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.objects import State

from cli.stack import start_server, start_worker, start_zygote
from tests.conftest import LocalCloud
from tests.e2e.conftest import App
from tests.servers import prefect_server_in, used_by_prefect


@dataclass
class Machine:
    """A whole Prefect server, since only that takes the lock from the dead, and a worker."""

    stack: AsyncExitStack
    folder: Path
    environment: dict[str, str]

    @classmethod
    async def start(cls, stack: AsyncExitStack, folder: Path, cloud: LocalCloud, database: Path) -> Machine:
        machine = cls(stack, folder, {**cloud.env, **await prefect_server_in(stack, folder, database)})
        machine.environment |= await start_zygote(stack, folder, machine.environment)
        await machine.start_worker()
        return machine

    @property
    def api_url(self) -> str:
        return self.environment["PREFECT_API_URL"]

    async def start_server(self) -> None:
        """Where the one was that has been killed."""
        await start_server(self.stack, self.folder, urlsplit(self.api_url).port)

    async def start_worker(self) -> None:
        await start_worker(self.stack, self.folder, self.environment)

    def kill(self, command: str) -> None:
        """-9, to the server or the worker and nothing that it has started."""
        home = f"PREFECT_HOME={self.environment['PREFECT_HOME']}".encode()
        ended = kill_where(lambda words, variables: home in variables and words[1:5] == command.encode().split())
        assert ended == 1


def kill_where(fits: Callable[[list[bytes], list[bytes]], bool]) -> int:
    """Kills every process whose command line and environment fit; answers how many."""
    count = 0
    for entry in Path("/proc").iterdir():
        with suppress(FileNotFoundError, PermissionError, ProcessLookupError):
            if not entry.name.isdecimal():
                continue
            words, variables = ((entry / name).read_bytes().split(b"\0") for name in ("cmdline", "environ"))
            if fits(words, variables):
                os.kill(int(entry.name), signal.SIGKILL)
                count += 1
    return count


@asynccontextmanager
async def running_machine(cloud: LocalCloud, folder: Path, database: Path) -> AsyncIterator[Machine]:
    """Runs are started on it, and seen by it."""
    async with AsyncExitStack() as stack:
        started = await Machine.start(stack, folder, cloud, database)
        with used_by_prefect(started.environment):
            yield started


async def start_deploy(app: App) -> UUID:
    """Starts a run of its deployment as the UI does; answers the run's id."""
    async with get_client() as client:
        deployment = await client.read_deployment_by_name("deploy/production")
        parameters = {"source": {"repository": str(app.folder)}}
        return (await client.create_flow_run_from_deployment(deployment.id, parameters=parameters)).id


async def until_ended(run: UUID, patience_s: float) -> State:
    """How the run ends, as Prefect says."""
    async with get_client() as client, asyncio.timeout(patience_s):
        while not ((found := await client.read_flow_run(run)).state and found.state.is_final()):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return found.state
