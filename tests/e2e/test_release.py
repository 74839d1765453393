"""Traffic moves only on proof and always has a way back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from flows.deploy import deploy
from flows.rollback import rollback
from infra.gcp import run
from infra.gcp.run import TrafficTarget
from tasks.errors import ProofFailed, SlipwayError, TrafficConflict
from tasks.history import State, read_history
from tasks.rollback import RollbackRefused
from tasks.source import Source
from tests.conftest import PROJECT
from tests.e2e.conftest import REGION, App, program

pytestmark = pytest.mark.usefixtures("cloud_env")

SERVICES = "  web: {health: {body: ok, tries: 2, backoff_min: 0.1s, timeout: 5s, samples: 20}, public: true}"
CANARY = """strategy: {canary: [20, 50], bake: 3s}
    slo: {metrics_lag: 1s, min_requests: 30, max_error_rate: 0.05}
    inconclusive_limit: 10s"""
# Healthy on its own URL until it has real traffic, then failing one request in five.
TURNS_BAD = """
import itertools
COUNT = itertools.count()

class Bad(Handler):
    def do_GET(self):
        if self.headers.get("User-Agent", "").startswith("load") and next(COUNT) % 5 == 0:
            self.send_response(500)
            self.end_headers()
            return
        super().do_GET()

http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Bad).serve_forever()
"""


@dataclass
class Load:
    """What a steady stream of users saw."""

    statuses: list[int] = field(default_factory=list)


@asynccontextmanager
async def users(url: str, per_second: int = 60) -> AsyncIterator[Load]:
    load, stop = Load(), asyncio.Event()

    async def one(client: httpx.AsyncClient) -> None:
        load.statuses.append((await client.get(url)).status_code)

    async def go() -> None:
        headers = {"User-Agent": "load"}
        async with (
            httpx.AsyncClient(trust_env=False, timeout=20, headers=headers) as client,
            asyncio.TaskGroup() as group,
        ):
            while not stop.is_set():
                group.create_task(one(client))
                await asyncio.sleep(1 / per_second)

    running = asyncio.create_task(go())
    try:
        yield load
    finally:
        stop.set()
        await running


async def ship(app: App, **parameters: object) -> object:
    return await deploy(Source(repository=str(app.folder)), "production", **parameters)


async def go_back(app: App, **parameters: object) -> object:
    return await rollback(Source(repository=str(app.folder)), "production", **parameters)


def full_name(app: App, region: str = REGION) -> str:
    return f"projects/{PROJECT}/locations/{region}/services/{app.name}-web"


async def live(app: App, region: str = REGION) -> dict[str, int]:
    service = await run.get_service(full_name(app, region))
    assert service is not None
    return {str(target.revision): target.percent for target in service.live if target.percent}


async def url(app: App) -> str:
    service = await run.get_service(full_name(app))
    assert service is not None
    return service.uri


async def released(app: App, environment: str = CANARY) -> App:
    """v1.0.0 serves."""
    app.write("web", program())
    app.manifest(SERVICES, environment)
    app.commit("v1.0.0")
    await ship(app)
    return app


async def test_a_good_canary_reaches_all_traffic_and_no_request_fails(app: App) -> None:
    await released(app)
    app.write("web", program(body="ok 2"))
    app.commit("v1.1.0")
    async with users(await url(app)) as load:
        await ship(app)
    assert ["v1-1-0" in revision for revision in await live(app)] == [True]
    assert set(load.statuses) == {200}


async def test_a_canary_that_fails_one_request_in_five_is_taken_back(app: App) -> None:
    await released(app)
    app.write("web", program(instead=TURNS_BAD))
    app.commit("v1.1.0")
    async with users(await url(app)):
        with pytest.raises(ProofFailed, match="UNHEALTHY"):
            await ship(app)
    assert ["v1-0-0" in revision for revision in await live(app)] == [True]
    newest = (await read_history(f"{PROJECT}-slipway", app.name, "production"))[0]
    assert newest.state is State.FAILED
    assert [target.outcome for target in newest.targets] == ["taken back"]


async def test_a_canary_without_traffic_is_not_promoted(app: App) -> None:
    await released(app, CANARY.replace("inconclusive_limit: 10s", "inconclusive_limit: 1s"))
    app.commit("v1.1.0")
    with pytest.raises(ProofFailed, match="INCONCLUSIVE"):
        await ship(app)
    assert ["v1-0-0" in revision for revision in await live(app)] == [True]


async def test_traffic_moved_by_somebody_else_is_noticed_and_not_overwritten(app: App) -> None:
    await released(app)
    app.write("web", program(body="ok 2"))
    app.commit("v1.1.0")

    async def interfere() -> str:
        while len(await live(app)) < 2:  # noqa: ASYNC110 - the cloud does not tell when a split is routed
            await asyncio.sleep(0.1)
        service = await run.get_service(full_name(app))
        assert service is not None
        stable = next(r for r in await live(app) if "v1-0-0" in r)
        await run.set_traffic(service.name, [TrafficTarget(stable, 100)], service.etag, 30)
        return stable

    async with users(await url(app)):
        meddler = asyncio.create_task(interfere())
        with pytest.raises(TrafficConflict, match="moved the traffic"):
            await ship(app)
    assert await live(app) == {await meddler: 100}


async def test_rollback_goes_to_the_last_good_release_and_a_new_one_ships_after_it(app: App) -> None:
    await released(app, "strategy: direct")
    app.write("web", program(body="ok 2"))
    app.commit("v1.1.0")
    await ship(app)
    began = time.monotonic()
    await go_back(app)
    seconds = time.monotonic() - began
    assert ["v1-0-0" in revision for revision in await live(app)] == [True]
    assert seconds < 30
    app.write("web", program(body="ok 3"))
    app.commit("v1.2.0")
    await ship(app)
    assert ["v1-2-0" in revision for revision in await live(app)] == [True]


async def test_rollback_to_a_failed_or_unknown_version_is_refused(app: App) -> None:
    await released(app, "strategy: direct")
    app.write("web", program(status=500))
    app.commit("v1.1.0")
    with pytest.raises(SlipwayError):
        await ship(app)
    with pytest.raises(RollbackRefused, match="marked failed"):
        await go_back(app, to="v1.1.0")
    with pytest.raises(RollbackRefused, match="never released"):
        await go_back(app, to="v9.9.9")
    with pytest.raises(RollbackRefused, match="nothing to go back to"):
        await go_back(app)


async def test_rollback_across_an_irreversible_migration_needs_an_override(app: App) -> None:
    from tasks.gates import Override

    await released(app, "strategy: direct")
    app.write("web", program(body="ok 2"))
    app.commit("v1.1.0")
    await ship(app, irreversible=True)
    with pytest.raises(RollbackRefused, match="migration"):
        await go_back(app)
    await go_back(app, override=Override(who="Ada", why="the migration was undone by hand"))
    newest = (await read_history(f"{PROJECT}-slipway", app.name, "production"))[0]
    assert "Ada" in newest.override
