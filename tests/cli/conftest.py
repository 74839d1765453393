"""A real Prefect server for the commands that start runs; what a worker would do with them, the tests do."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate

from cli.stack import COMMANDS
from deployments.warm.start import SOCKET
from tests.conftest import environment
from tests.deployments.zygotes import a_zygote
from tests.servers import prefect_server_in

POOL = "slipway"
SCHEMA = {"type": "object", "properties": {"source": {}, "environment": {"type": "string"}}, "required": []}


@pytest.fixture(scope="session")
async def prefect_url(database: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of its API; it knows deploy/staging, deploy/any and ship/by-tag, and no worker."""
    async with AsyncExitStack() as stack:
        url = (await prefect_server_in(stack, tmp_path_factory.mktemp("server"), database))["PREFECT_API_URL"]
        async with PrefectClient(url) as client:
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
            for name in ("deploy/staging", "deploy/any", "ship/by-tag"):
                flow, _, deployment = name.partition("/")
                await client.create_deployment(
                    await client.create_flow_from_name(flow),
                    deployment,
                    work_pool_name=POOL,
                    parameter_openapi_schema=SCHEMA,
                )
        yield url


@pytest.fixture
async def prefect(prefect_url: str) -> AsyncIterator[PrefectClient]:
    async with PrefectClient(prefect_url) as client:
        yield client


@pytest.fixture(scope="session")
def zygote() -> Iterator[dict[str, str]]:
    """What leads to a process with everything imported, where there can be one: see cli.stack."""
    if hasattr(os, "pidfd_open"):
        with a_zygote(*COMMANDS[1:]) as (place, _):
            yield {SOCKET: str(place)}
    else:
        yield {}


@pytest.fixture(scope="module")
def warm(zygote: dict[str, str]) -> Iterator[None]:
    """Commands that load Prefect begin as beside a local stack, which spares each of them seconds of imports."""
    with environment(zygote):
        yield
