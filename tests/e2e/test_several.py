"""Two Prefect servers behind one address: a release goes on when one of them dies, and another one can begin."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

import pytest
from prefect import get_client

from cli.processes import free_port
from cli.several import PROGRAMS, program, start_servers
from cli.stack import Size, start_worker, start_zygote
from tests.conftest import LocalCloud
from tests.e2e.conftest import App, without_schedules
from tests.e2e.machine import kill_where, start_deploy, until_ended
from tests.servers import used_by_prefect

PATIENCE_S = 300.0
SECOND = b"PREFECT_SERVER_REGISTER_BLOCKS_ON_START=false"  # only the first one does that

pytestmark = [
    pytest.mark.skipif(
        not all(map(program, PROGRAMS)),
        reason="apt-get install --no-install-recommends postgresql redis-server haproxy",
    ),
    pytest.mark.skipif(not importlib.util.find_spec("prefect_redis"), reason="prefect-redis is not installed"),
    pytest.mark.timeout(900),
    pytest.mark.faults,  # a dozen processes: too long for every change
]


@pytest.fixture
async def servers(cloud: LocalCloud, tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """What leads to them; they and two workers end when it is left."""
    async with AsyncExitStack() as stack:
        client = await start_servers(stack, tmp_path, free_port())
        size = Size(start_servers, ("worker-1", "worker-2"), 1)
        with used_by_prefect(client):
            variables = {**os.environ, **cloud.env, **client}
            variables |= await start_zygote(stack, tmp_path, variables)
            await start_worker(stack, tmp_path, variables, size)
            await without_schedules()
            yield client
    assert not (tmp_path / "postgres" / "postmaster.pid").exists(), "PostgreSQL was killed instead of ended"


async def test_a_release_goes_on_when_a_server_dies_and_the_next_one_begins(servers: dict[str, str], shop: App) -> None:
    home = f"PREFECT_HOME={servers['PREFECT_HOME']}".encode()
    under_way = await start_deploy(shop)
    await _until_begun(under_way)
    killed = kill_where(lambda _, variables: home in variables and SECOND in variables)
    assert killed >= 1
    assert (await until_ended(under_way, PATIENCE_S)).name == "Completed"
    assert (await until_ended(await start_deploy(shop), PATIENCE_S)).name == "Completed"


async def _until_begun(run: UUID) -> None:
    async with get_client() as client, asyncio.timeout(PATIENCE_S):
        while not (await client.read_flow_run(run)).start_time:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)
