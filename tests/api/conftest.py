"""The real application behind a real server, beside a real Prefect server and the local cloud."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import httpx
import pytest
import uvicorn
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectAlreadyExists

from api.app import app_of
from api.settings import Settings
from deployments.register import register
from deployments.wanted import Wanted
from tasks.names.tags import BRANCH, REGISTERED, tags_of
from tests.conftest import LocalCloud, environment
from tests.servers import used_by_prefect

TOKEN, SECRET = b"a-token-of-some-length", b"a secret that both sides know"
SETTINGS = Settings((b"an-older-token", TOKEN), (b"an older secret", SECRET), per_minute=100_000)
BEARER = {"Authorization": f"Bearer {TOKEN.decode()}"}
POOL = "slipway-api"
SCHEMA = {"type": "object", "properties": {"source": {}, "environment": {"enum": ["staging", "production"]}}}


@pytest.fixture(scope="session")
def prefect(prefect_server: dict[str, str], cloud: LocalCloud) -> Iterator[None]:
    with environment(cloud.env), used_by_prefect(prefect_server):
        yield


@pytest.fixture
async def client(prefect: None) -> AsyncIterator[PrefectClient]:
    async with get_client() as found:
        yield found


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[str]:
    """Its address."""
    config = uvicorn.Config(app_of(settings, get_client), port=0, log_level="warning", lifespan="on")
    server = uvicorn.Server(config)
    work = asyncio.create_task(server.serve())
    while not server.started:
        assert not work.done()
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await work


@pytest.fixture(scope="session")
async def address(prefect: None) -> AsyncIterator[str]:
    async with serving(SETTINGS) as found:
        yield found


@pytest.fixture
async def http(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """With a token."""
    async with httpx.AsyncClient(base_url=address, headers=BEARER, trust_env=False, timeout=120) as found:
        yield found


@pytest.fixture
async def stranger(address: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=120) as found:
        yield found


async def registered(client: PrefectClient, app: str, repository: str) -> None:
    """Deploys of the app to staging, which names the branch main, and to production; and those that ship by tag."""
    with suppress(ObjectAlreadyExists):
        await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    source = {"repository": repository, "credentials": "git-token"}
    wanted = [
        Wanted(
            flow="deploy",
            name=f"{app}-{name}",
            entrypoint="flows.deploy.deploy",
            description="",
            parameters={"source": source, "environment": name},
            tags=(*tags_of(app, name), *branch, REGISTERED),
            pool=POOL,
            schema=SCHEMA,
        )
        for name, branch in (("staging", [f"{BRANCH}main"]), ("production", []))
    ]
    ship = Wanted("ship", "by-tag", "flows.ship.ship", "", {}, ("slipway",), POOL, {"type": "object"})
    await register(client, [*wanted, ship])


async def a_run(client: PrefectClient, flow: str = "deploy", *tags: str) -> FlowRun:
    """That is under way."""
    made = await client._client.post(
        "/flow_runs/",
        json={
            "flow_id": str(await client.create_flow_from_name(flow)),
            "tags": list(tags),
            "name": f"{flow} {uuid4().hex[:6]}",
            "state": {"type": "RUNNING"},
        },
    )
    return FlowRun.model_validate(made.raise_for_status().json())
