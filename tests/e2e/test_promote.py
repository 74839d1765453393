"""What was proven in staging goes to production by digest, and only when a person agrees."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName, FlowRunFilterState, FlowRunFilterStateName
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL
from prefect.types.entrypoint import EntrypointType

from flows.promote import promote
from tasks.failures.errors import Frozen, NotApproved, PromotionRefused, ProofFailed
from tasks.history.record import State
from tasks.model import Override, Release
from tasks.source.source import Source
from tests.conftest import PROJECT, STAGING_PROJECT, LocalCloud
from tests.e2e.conftest import REGION, App, program
from tests.e2e.releases import HEALTH, Running, Scenario, describe, find, history, live, ship, side_by_side

pytestmark = pytest.mark.usefixtures("cloud_env")

STAGING = f"{{project: {STAGING_PROJECT}, regions: [{REGION}]}}"
PRODUCTION = f"{{project: {PROJECT}, regions: [{REGION}], approval: required, approval_timeout: 2m}}"
SERVICES = f"  web: {{health: {HEALTH}, public: true}}"


async def promoted(app: App, **parameters: Any) -> Release:
    release: Release = await promote(Source(repository=str(app.folder)), "production", **parameters)
    return release


async def stage(app: App, version: str, production: str = PRODUCTION) -> Release:
    """The version serves in staging."""
    app.write("web", program(body=f"ok {version}"))
    describe(app, SERVICES, staging=STAGING, production=production)
    app.commit(version)
    return await ship(app, "staging")


@asynccontextmanager
async def promoting(app: App) -> AsyncIterator[asyncio.Task[Release]]:
    """The promotion while it goes on; it ends with the test that looks at it."""
    running = asyncio.create_task(promoted(app))
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def asking(app: App, version: str) -> FlowRun:
    """The run that waits for an answer."""
    wanted = FlowRunFilter(
        name=FlowRunFilterName(like_=f"{app.name} {version} -> production"),  # it says, too, that it waits
        state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Paused"])),
    )
    async with get_client() as client, asyncio.timeout(120):
        while not (found := await client.read_flow_runs(flow_run_filter=wanted)):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    return found[0]


async def answer(run: FlowRun, **form: str) -> str:
    """Sends the form as the Prefect UI does; says whether it was accepted."""
    async with get_client() as client:
        path: Any = f"/flow_runs/{run.id}/resume"
        response = await client.request("POST", path, json={"run_input": form})
    return str(response.json()["status"])


async def the_digests_proven_in_staging_serve_production_after_approval(app: App) -> None:
    staged = await stage(app, "v1.0.0")
    app.commit()  # the branch has gone on; what was proven counts
    async with promoting(app) as running:
        run = await asking(app, "v1.0.0")
        assert "v1.0.0" not in await live(app)
        assert await answer(run, decision="perhaps", who="Ada") == "REJECT"
        assert await answer(run, decision="go", who="") == "REJECT"
        assert await answer(run, decision="go", who="Ada", why="the numbers are good") == "ACCEPT"
        assert await answer(run, decision="no-go", who="Bob", why="too late") != "ACCEPT"
        release = await running

    assert await live(app) == {"v1.0.0": 100}
    assert [image.reference for image in release.images] == [image.reference for image in staged.images]
    assert not any(image.built for image in release.images)
    record = (await history(app))[0]
    assert (record.action, record.origin, record.state) == ("promote", "staging", State.RELEASED)
    approval = record.approval
    assert approval is not None
    assert (approval.who, approval.decision, approval.reason) == ("Ada", "go", "the numbers are good")
    assert approval.when is not None
    assert record.images == {image.service: image.reference for image in staged.images}


async def a_no_go_and_no_answer_at_all_leave_production_as_it_was(app: App) -> None:
    await stage(app, "v1.0.0", PRODUCTION.replace("required", "none"))
    await promoted(app)
    await stage(app, "v1.1.0")
    async with promoting(app) as running:
        await answer(await asking(app, "v1.1.0"), decision="no-go", who="Ada", why="too slow")
        with pytest.raises(NotApproved, match="Ada said no-go: too slow"):
            await running
    assert await live(app) == {"v1.0.0": 100}
    describe(app, SERVICES, staging=STAGING, production=PRODUCTION.replace("2m", "10s"))
    with pytest.raises(NotApproved, match="Nobody decided within 10 s"):
        await promoted(app)
    assert await live(app) == {"v1.0.0": 100}
    late, refused, first = await history(app)
    assert (late.state, refused.state, first.state) == (State.FAILED, State.FAILED, State.RELEASED)
    assert "no-go" in refused.reason


BREAKS = """
class Breaks(Handler):
    broken = False

    def do_GET(self):
        Breaks.broken |= self.path == "/break"
        if not Breaks.broken:
            return super().do_GET()
        self.send_response(500)
        self.end_headers()

http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Breaks).serve_forever()
"""


async def what_breaks_while_somebody_decides_gets_no_traffic(app: App) -> None:
    await stage(app, "v1.0.0", PRODUCTION.replace("required", "none"))
    await promoted(app)
    describe(app, SERVICES, staging=STAGING, production=PRODUCTION)
    app.write("web", program(instead=BREAKS))
    app.commit("v1.1.0")
    await ship(app, "staging")
    async with promoting(app) as running:
        run = await asking(app, "v1.1.0")
        candidate = next(target for target in (await find(app)).live if "v1-1-0" in str(target.revision))
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{candidate.uri}/break")).status_code == 500
        await answer(run, decision="go", who="Ada")
        with pytest.raises(ProofFailed, match="status 500") as caught:
            await running
    assert "not moved" in caught.value.state
    assert await live(app) == {"v1.0.0": 100}
    assert (await history(app))[0].state is State.FAILED


async def a_run_that_is_cancelled_while_it_waits_ends_cancelled_and_moves_nothing(app: App) -> None:
    await stage(app, "v1.0.0", PRODUCTION)
    process, run_id = await run_apart(app)
    try:
        await asking(app, "v1.0.0")
        async with httpx.AsyncClient(base_url=f"{PREFECT_API_URL.value()}/", trust_env=False) as client:
            body = {"state": {"type": "CANCELLING"}}
            (await client.post(f"flow_runs/{run_id}/set_state", json=body)).raise_for_status()
        async with asyncio.timeout(120):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    async with get_client() as client:
        state = (await client.read_flow_run(run_id)).state
    assert state is not None
    assert state.is_cancelled()
    record = (await history(app))[0]
    assert record.state is State.CANCELLED
    assert "v1.0.0" not in await live(app)


async def run_apart(app: App) -> tuple[asyncio.subprocess.Process, UUID]:
    """The flow in a process of its own, as a worker runs it, so that it can be cancelled."""
    wanted = await promote.ato_deployment(name=app.name, entrypoint_type=EntrypointType.MODULE_PATH)
    deployment = await wanted.aapply()
    async with get_client() as client:
        run = await client.create_flow_run_from_deployment(
            deployment, parameters={"source": {"repository": str(app.folder)}, "environment": "production"}
        )
    command = [sys.executable, "-m", "prefect", "flow-run", "execute", str(run.id)]
    environment = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())}
    with (app.folder.parent / "run.log").open("wb") as out:
        return await asyncio.create_subprocess_exec(*command, env=environment, stdout=out, stderr=out), run.id


async def what_was_never_proven_in_staging_is_not_promoted(app: App) -> None:
    await stage(app, "v1.0.0")
    app.write("web", program(status=500))
    app.commit("v1.1.0")
    with pytest.raises(Exception, match="status 500"):
        await ship(app, "staging")
    with pytest.raises(PromotionRefused, match=r"v1\.1\.0 was never proven in staging: it is marked failed"):
        await promoted(app, version="v1.1.0")
    with pytest.raises(PromotionRefused, match=r"v9\.9\.9 was never proven in staging"):
        await promoted(app, version="v9.9.9")


async def a_freeze_declared_after_the_commit_holds_for_its_promotion(app: App) -> None:
    await stage(app, "v1.0.0", PRODUCTION.replace("required", "none"))
    frozen = PRODUCTION.replace("required", "none").replace("}", ", freeze: [{from: 2000-01-01, to: 2100-01-01}]}")
    describe(app, SERVICES, staging=STAGING, production=frozen)
    app.commit()
    with pytest.raises(Frozen):
        await promoted(app)
    await promoted(app, override=Override(who="Ada", why="the shop is down"))
    assert str((await history(app))[0].override) == "Ada: the shop is down"


SCENARIOS: tuple[Scenario, ...] = (
    the_digests_proven_in_staging_serve_production_after_approval,
    a_no_go_and_no_answer_at_all_leave_production_as_it_was,
    what_breaks_while_somebody_decides_gets_no_traffic,
    a_run_that_is_cancelled_while_it_waits_ends_cancelled_and_moves_nothing,
    what_was_never_proven_in_staging_is_not_promoted,
    a_freeze_declared_after_the_commit_holds_for_its_promotion,
)


@pytest.fixture(scope="module")
async def running(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with side_by_side(SCENARIOS, cloud, tmp_path_factory.mktemp("apps")) as started:
        yield started


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_promotion(running: Running, scenario: Scenario) -> None:
    await running[scenario]
