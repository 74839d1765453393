"""Runs as the terminal shows them: which deployment is used, what keeps a run waiting, what its children say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import StringIO
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import ArtifactCreate, LogCreate
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Paused, Pending, Running
from rich.console import Console

from cli.runs import RunResult, run_deployment
from tasks.failures.errors import ParameterError
from tasks.history.run import who_started
from tasks.names.tags import REGISTERED, STARTED_BY, tags_of
from tests.cli.conftest import POOL, SCHEMA

SOON_S = 0.2


@dataclass
class Terminal:
    """A command that follows a run."""

    prefect: PrefectClient
    out: StringIO = field(default_factory=StringIO)
    work: asyncio.Task[RunResult] | None = None

    async def shows(self, text: str) -> None:
        """Waits for it."""
        await self.until(lambda: text in self.out.getvalue())

    async def until(self, seen: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not seen():
                assert self.work is not None
                assert not self.work.done(), self.out.getvalue()
                await asyncio.sleep(0.02)

    async def run(self) -> FlowRun:
        """The run that it has started."""
        await self.shows("/runs/flow-run/")
        return await self.prefect.read_flow_run(UUID(self.out.getvalue().split("/runs/flow-run/")[1][:36]))

    async def result(self) -> RunResult:
        assert self.work is not None
        async with asyncio.timeout(30):
            return await self.work


@asynccontextmanager
async def terminal(prefect: PrefectClient, name: str, **parameters: object) -> AsyncIterator[Terminal]:
    shown = Terminal(prefect)
    console = Console(file=shown.out, width=80)
    url = str(prefect.api_url).rstrip("/")
    shown.work = asyncio.create_task(run_deployment(name, parameters, console, url, SOON_S, SOON_S))
    try:
        yield shown
    finally:
        shown.work.cancel()
        await asyncio.gather(shown.work, return_exceptions=True)


async def put(prefect: PrefectClient, run: FlowRun, state: State) -> None:
    await prefect.set_flow_run_state(run.id, state, force=True)


async def log(prefect: PrefectClient, run: FlowRun, message: str) -> None:
    line = LogCreate(name="flow", level=20, message=message, timestamp=datetime.now(UTC), flow_run_id=run.id)
    await prefect.create_logs([line])


async def a_child(prefect: PrefectClient, parent: FlowRun, flow_name: str) -> FlowRun:
    """A run of another flow that `parent` has called."""
    flow = await prefect.create_flow_from_name(flow_name)
    body = {"flow_id": str(flow), "state": {"type": "RUNNING"}, "name": f"{flow_name} below"}
    task = {
        "flow_run_id": str(parent.id),
        "task_key": flow_name,
        "dynamic_key": str(uuid4()),
        "state": {"type": "RUNNING"},
    }
    parent_task = (await prefect._client.post("/task_runs/", json=task)).json()["id"]
    made = await prefect._client.post("/flow_runs/", json={**body, "parent_task_run_id": parent_task})
    return FlowRun.model_validate(made.raise_for_status().json())


@pytest.mark.parametrize(("environment", "deployment"), [("staging", "staging"), ("qa", "any")])
async def test_an_environment_without_a_deployment_of_its_own_has_the_one_for_any(
    prefect: PrefectClient, environment: str, deployment: str
) -> None:
    async with terminal(prefect, f"deploy/{environment}", environment=environment) as shown:
        run = await shown.run()
        used = await prefect.read_deployment_by_name(f"deploy/{deployment}")
        assert run.deployment_id == used.id
        assert run.parameters["environment"] == environment
        await put(prefect, run, Completed())
        assert (await shown.result()).ok


async def test_a_flow_without_deployments_is_told_how_to_get_them(prefect: PrefectClient) -> None:
    async with terminal(prefect, "rollback/qa") as shown:
        with pytest.raises(ParameterError, match="neither the deployment rollback/qa nor rollback/any") as raised:
            await shown.result()
        assert "slipway register --generic" in raised.value.remedy


async def test_no_worker_is_said_once_with_the_command_that_starts_one(prefect: PrefectClient) -> None:
    async with terminal(prefect, "deploy/any", environment="qa") as shown:
        run = await shown.run()
        await shown.shows(f"no worker of the work pool {POOL} is online. Start one: prefect worker start --pool {POOL}")
        await log(prefect, run, "still there")
        await shown.shows("still there")
        await put(prefect, run, Completed())
        await shown.result()
        assert shown.out.getvalue().count("is online") == 1


async def test_a_worker_that_has_no_room_is_named(prefect: PrefectClient) -> None:
    await prefect.send_worker_heartbeat(POOL, "busy-bee", heartbeat_interval_seconds=30)
    async with terminal(prefect, "deploy/any", environment="qa") as shown:
        run = await shown.run()
        await shown.shows(f"the workers of the work pool {POOL} (busy-bee) are busy")
        await put(prefect, run, Completed())
        await shown.result()
    workers = await prefect.read_workers_for_work_pool(POOL)
    await prefect._client.delete(f"/work_pools/{POOL}/workers/{workers[0].name}")


async def test_a_run_that_is_at_work_is_not_said_to_wait(prefect: PrefectClient) -> None:
    async with terminal(prefect, "deploy/any", environment="qa") as shown:
        run = await shown.run()
        await put(prefect, run, Pending())
        await put(prefect, run, Running())
        for line in ("it begins", "it works"):  # with the second, the look is over that may have seen it wait
            await log(prefect, run, line)
            await shown.shows(line)
        shown.out.truncate(0)
        for number in range(3):
            await log(prefect, run, f"line {number}")
            await shown.shows(f"line {number}")
        assert "has not been started" not in shown.out.getvalue()
        await put(prefect, run, Completed())
        await shown.result()


async def test_the_apps_own_deployment_is_used_with_what_it_says_of_the_source(prefect: PrefectClient) -> None:
    source = {"repository": "https://host/own.git", "credentials": "git-token"}
    own = await prefect.create_deployment(
        await prefect.create_flow_from_name("deploy"),
        "own-qa",
        work_pool_name=POOL,
        parameters={"source": source, "environment": "qa"},
        parameter_openapi_schema=SCHEMA,
        tags=[*tags_of("own", "qa"), REGISTERED],
    )
    asked = {"repository": "https://host/own.git", "ref": "v1.0.0"}
    async with terminal(prefect, "deploy/qa", environment="qa", source=asked) as shown:
        run = await shown.run()
        assert run.deployment_id == own
        assert run.parameters["source"] == {**source, "ref": "v1.0.0"}
        assert run.labels[STARTED_BY]
        await put(prefect, run, Completed())
        await shown.result()
    elsewhere = {"repository": "https://elsewhere/own.git"}
    async with terminal(prefect, "deploy/qa", environment="qa", source=elsewhere) as shown:
        run = await shown.run()
        assert run.deployment_id == (await prefect.read_deployment_by_name("deploy/any")).id
        await put(prefect, run, Completed())
        await shown.result()


async def test_a_release_is_by_whoever_typed_the_command_also_below_the_run_that_it_started(
    prefect: PrefectClient,
) -> None:
    async with terminal(prefect, "ship/by-tag") as shown:
        run = await shown.run()
        child = await a_child(prefect, run, "deploy")
        with temporary_settings({PREFECT_API_URL: str(prefect.api_url)}):
            assert await who_started(str(child.id)) == await who_started(str(run.id)) == run.labels[STARTED_BY]
        await put(prefect, run, Completed())
        await shown.result()


async def test_what_a_child_says_waits_for_and_has_made_is_shown(prefect: PrefectClient) -> None:
    async with terminal(prefect, "ship/by-tag") as shown:
        run = await shown.run()
        await put(prefect, run, Running())
        child = await a_child(prefect, run, "deploy")
        await log(prefect, child, "deploying dark")
        await shown.shows("deploying dark")
        for _ in range(2):
            await put(prefect, child, Paused(timeout_seconds=60))
            ui = str(prefect.api_url).rstrip("/").removesuffix("/api")
            await shown.shows("deploy below waits for a person.")
            await shown.shows(f"{ui}/runs/flow-run/{child.id}")
            await put(prefect, child, Running())
            shown.out.truncate(0)
        table = '[{"service": "web", "url": "https://web.example"}]'
        await prefect._client.post(
            "/artifacts/",
            json=ArtifactCreate(key="shop-staging-services", type="table", data=table, flow_run_id=child.id).model_dump(
                mode="json", exclude_unset=True
            ),
        )
        await put(prefect, child, Completed())
        await put(prefect, run, Completed())
        assert (await shown.result()).tables["services"] == [{"service": "web", "url": "https://web.example"}]


async def until_cancelling(prefect: PrefectClient, run: FlowRun) -> None:
    async with asyncio.timeout(30):
        while (state := (await prefect.read_flow_run(run.id)).state) is None or not state.is_cancelling():  # noqa: ASYNC110 - it is asked for
            await asyncio.sleep(0.02)


async def test_a_cancelled_run_shows_no_line_twice(prefect: PrefectClient) -> None:
    async with terminal(prefect, "deploy/any", environment="qa") as shown:
        run = await shown.run()
        await put(prefect, run, Running())
        await log(prefect, run, "the first line")
        await shown.shows("the first line")
        assert shown.work is not None
        shown.work.cancel()
        await shown.shows("cancelling")
        await until_cancelling(prefect, run)
        await log(prefect, run, "traffic is back")
        await shown.shows("traffic is back")
        await put(prefect, run, State(type=StateType.CANCELLED))
        assert not (await shown.result()).ok
        assert shown.out.getvalue().count("the first line") == 1


async def test_a_run_that_has_ended_is_shown_to_its_last_line_also_what_came_late(prefect: PrefectClient) -> None:
    """With more lines at the end than Prefect gives at once, of which many have the same time."""
    async with terminal(prefect, "deploy/any", environment="qa") as shown:
        run = await shown.run()
        await put(prefect, run, Running())
        await log(prefect, run, "the first line")
        await shown.shows("the first line")
        now = datetime.now(UTC)
        burst = [
            LogCreate(name="flow", level=20, message=f"line {n};", timestamp=now, flow_run_id=run.id)
            for n in range(450)
        ]
        await prefect.create_logs(burst)
        late = now - timedelta(minutes=1)
        await prefect.create_logs(
            [LogCreate(name="flow", level=20, message="late;", timestamp=late, flow_run_id=run.id)]
        )
        await put(prefect, run, Completed())
        await shown.result()
        said = shown.out.getvalue()
        assert [said.count(f" line {n};") for n in range(450)] == [1] * 450
        assert said.count("late;") == 1
