"""Runs that are cancelled or killed in a worker's process: traffic is as before, and nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from prefect import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import State as RunState
from prefect.client.schemas.objects import StateType
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling

from cli.stack import start_server, start_worker
from flows.deploy import deploy
from flows.reconcile import reconcile
from infra.gcp import builds, run
from tasks.history import ReleaseRecord, State, read_history
from tasks.source import Source
from tests.conftest import PROJECT, LocalCloud, environment
from tests.e2e.conftest import REGION, App, program

pytestmark = [pytest.mark.usefixtures("cloud_env"), pytest.mark.timeout(600)]  # a busy machine starts processes slowly

PATIENCE_S = 60.0
RESTORED_LIMIT_S = 30.0  # then Prefect kills; on an idle machine it takes less than 3 s
LEASE_AND_MORE_S = 150.0  # a dead run's lock is free after 60 s
HEALTHY = "  web: {health: {body: ok, tries: 2, backoff_min: 0.1s, samples: 3}, public: true}"
NEVER_HEALTHY = "  web: {health: {body: ok, tries: 20, timeout: 5s, backoff_min: 5s, samples: 3}, public: true}"
CANARY = "strategy: {canary: [20], bake: 10m}"


@dataclass(frozen=True)
class Stage:
    """A point at which a release can be held: where it is seen to be, and what keeps it there."""

    name: str
    task: str  # the name of the task that is running then begins so
    services: str = HEALTHY
    environment: str = "strategy: direct"
    latency: str = ""  # of the local cloud, which is then as long as the run is held
    program: str = program(body="ok 2")
    fault: dict[str, object] | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def passes(self) -> bool:
        """Whether the release goes on by itself when the cloud does not hold it any more."""
        return bool(self.latency or self.fault)


def held(method: str, skip: int = 0) -> dict[str, object]:
    return {"method": method, "delay_s": 300.0, "skip": skip}


UPDATE = "google.cloud.run.v2.Services/UpdateService"
PREFLIGHT = Stage("preflight", "preflight", fault=held("google.api.serviceusage.v1.ServiceUsage/BatchGetServices"))
BUILD = Stage("build", "build web", latency="build.queue")
DEPLOY = Stage("deploy", "deploy web", fault=held(UPDATE))
PROVE = Stage("prove", "prove web", services=NEVER_HEALTHY, program=program(status=500))
APPROVAL = Stage("approval", "", environment="approval: required")
SHIFT = Stage("shift", "move traffic", fault=held(UPDATE, skip=1))
WATCH = Stage("watch", "watch", environment=CANARY)
STAGES = (PREFLIGHT, BUILD, DEPLOY, PROVE, APPROVAL, SHIFT, WATCH)
RECORDED = STAGES[1:]  # where the release has a record
PASSING = tuple(stage for stage in STAGES if stage.passes)


@dataclass
class Machine:
    """A whole Prefect server, since only that takes the lock from the dead, and a worker."""

    stack: AsyncExitStack
    folder: Path
    environment: dict[str, str]

    @classmethod
    async def start(cls, stack: AsyncExitStack, folder: Path, cloud: LocalCloud) -> Machine:
        machine = cls(stack, folder, {**cloud.env, **await start_server(stack, folder)})
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


@pytest.fixture(scope="module", autouse=True)
async def machine(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Machine]:
    async with AsyncExitStack() as stack:
        started = await Machine.start(stack, tmp_path_factory.mktemp("stack"), cloud)
        with temporary_settings({PREFECT_API_URL: started.api_url}):
            yield started


@pytest.fixture(autouse=True)
def no_faults_left(cloud: LocalCloud) -> Iterator[None]:
    yield
    calm(cloud)


def calm(cloud: LocalCloud) -> None:
    cloud.put("/faults", [])
    cloud.put("/latency", {"profile": "instant"})


class Held:
    """A run of the deploy flow that is held at a stage, in a process of the worker."""

    def __init__(self, folder: Path, stage: Stage) -> None:
        folder.mkdir(parents=True)
        self.stage = stage
        self.app = App(folder, f"s{zlib.crc32(str(folder).encode()):08x}")
        self.before: dict[str, int] = {}
        self.id = UUID(int=0)

    async def reach(self, cloud: LocalCloud, hold_s: float = 300.0) -> None:
        """Releases v1.0.0, and then v1.1.0 up to the stage. A build is held no longer than `hold_s`."""
        app, stage = self.app, self.stage
        app.write("web", program())
        app.manifest(HEALTHY)
        app.commit("v1.0.0")
        await deploy(self.source, "production")
        self.before = await self.traffic()
        app.write("web", stage.program)
        app.manifest(stage.services, stage.environment)
        app.commit("v1.1.0")
        cloud.put("/faults", [stage.fault] if stage.fault else [])
        cloud.put("/latency", {"profile": "instant", "stages": {stage.latency: hold_s} if stage.latency else {}})
        self.id = await self.start()
        await self.until_there()

    @property
    def source(self) -> Source:
        return Source(repository=str(self.app.folder))

    async def start(self) -> UUID:
        async with get_client() as client:
            deployment = await client.read_deployment_by_name("deploy/production")
            parameters = {"source": {"repository": str(self.app.folder)}}
            return (await client.create_flow_run_from_deployment(deployment.id, parameters=parameters)).id

    async def until_there(self) -> None:
        async with get_client() as client, asyncio.timeout(PATIENCE_S):
            while True:
                found = await client.read_flow_run(self.id)
                assert found.state is not None
                assert not found.state.is_final(), found.state.message
                tasks = await client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[self.id])))
                running = [task.name for task in tasks if task.state and task.state.is_running()]
                if any(self.stage.task and name.startswith(self.stage.task) for name in running):
                    break
                if not self.stage.task and found.state.is_paused():
                    break
                await asyncio.sleep(0.2)
            while self.stage.latency and not await self.builds("QUEUED", "WORKING"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def cancel(self) -> tuple[float, float]:
        """The seconds until everything is as it was, and until Prefect says Cancelled."""
        began = time.monotonic()
        async with get_client() as client, asyncio.timeout(2 * PATIENCE_S):
            await client.set_flow_run_state(self.id, Cancelling())
            while not await self.is_restored():  # noqa: ASYNC110 - the cloud does not tell
                await asyncio.sleep(0.1)
            restored_s = time.monotonic() - began
            ended = await self.until_ended()
        assert ended.name == "Cancelled"
        return restored_s, time.monotonic() - began

    async def is_restored(self) -> bool:
        """Traffic as before, no build under way, the record closed if there is one."""
        record = await self.record()
        closed = record is None or record.state is State.CANCELLED
        return closed and await self.traffic() == self.before and not await self.builds("QUEUED", "WORKING")

    def kill(self) -> None:
        """-9, to the process that runs the flow."""
        word = f"PREFECT__FLOW_RUN_ID={self.id}".encode()
        assert kill_where(lambda _, variables: word in variables) > 0

    async def until_ended(self) -> RunState:
        """How the run ends, as Prefect says."""
        async with get_client() as client, asyncio.timeout(LEASE_AND_MORE_S):
            while not ((found := await client.read_flow_run(self.id)).state and found.state.is_final()):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        return found.state

    async def record(self) -> ReleaseRecord | None:
        """The record of v1.1.0; None when it was never begun."""
        newest = (await read_history(f"{PROJECT}-slipway", self.app.name, "production"))[0]
        return newest if newest.version == "v1.1.0" else None

    async def until_settled(self) -> ReleaseRecord:
        async with asyncio.timeout(LEASE_AND_MORE_S):
            while (record := await self.record()) is None or record.state is State.STARTED:  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        return record

    async def traffic(self) -> dict[str, int]:
        service = await run.get_service(self.service)
        assert service is not None
        return {str(target.revision): target.percent for target in service.live if target.percent}

    @property
    def service(self) -> str:
        return f"projects/{PROJECT}/locations/{REGION}/services/{self.app.name}-web"

    async def builds(self, *statuses: str) -> list[str]:
        found = await builds.find_builds(PROJECT, REGION, f'tags="app-{self.app.name}"')
        return [build.id for build in found if build.status in statuses]

    async def revisions(self) -> Counter[str]:
        found = await run.list_revisions(self.service)
        return Counter(r.labels["slipway-version"] for r in found if "slipway-version" in r.labels)

    async def lock_is_free(self) -> bool:
        async with get_client() as client:
            limit = await client.read_global_concurrency_limit_by_name(f"slipway:{self.app.name}:production")
        return limit.active_slots == 0


async def cancel_at(stage: Stage, folder: Path, cloud: LocalCloud) -> None:
    doomed = Held(folder / "app", stage)
    await doomed.reach(cloud)
    assert not await doomed.is_restored() or stage is PREFLIGHT
    restored_s, cancelled_s = await doomed.cancel()
    print(f"cancelled at {stage}: restored after {restored_s:.1f} s, Cancelled after {cancelled_s:.1f} s")
    assert await doomed.is_restored()
    assert await doomed.lock_is_free()
    assert restored_s < RESTORED_LIMIT_S


async def kill_at(stage: Stage, folder: Path, cloud: LocalCloud) -> Held:
    doomed = Held(folder / "app", stage)
    await doomed.reach(cloud)
    doomed.kill()
    calm(cloud)
    return doomed


async def reconciled(doomed: Held) -> None:
    """By itself: its worker has seen the process die, and the run's hook tidies up as soon as the lock is free."""
    record = await doomed.until_settled()
    assert record.state is State.FAILED
    assert "killed" in record.reason
    await is_as_before(doomed)


async def is_as_before(held_run: Held) -> None:
    assert await held_run.traffic() == held_run.before
    assert await held_run.builds("QUEUED", "WORKING") == []


async def shipped_or_as_before(held_run: Held) -> None:
    """Either way the same commit ships after it, from one build and as one revision."""
    if not (await held_run.until_ended()).is_completed():
        if await held_run.record():
            await held_run.until_settled()
        await is_as_before(held_run)
    await shipped_again(held_run)


async def shipped_again(doomed: Held) -> None:
    """The same commit, with nothing in its way any more: one build, one revision, and all the traffic."""
    await deploy(doomed.source, "production")
    assert ["v1-1-0" in revision for revision in await doomed.traffic()] == [True]
    assert max((await doomed.revisions()).values()) == 1
    assert len(await doomed.builds("SUCCESS")) == 2  # v1.0.0's and v1.1.0's


@pytest.fixture(scope="module")
async def killed(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Held]]:
    """Runs that were killed a while ago, so that the lock of each is about to be free."""
    with environment(cloud.env):
        yield {stage.name: await kill_at(stage, tmp_path_factory.mktemp(stage.name), cloud) for stage in (BUILD, WATCH)}


@pytest.mark.usefixtures("killed")
async def test_a_cancelled_run_ends_in_seconds_and_leaves_everything_as_it_was(
    tmp_path: Path, cloud: LocalCloud
) -> None:
    await cancel_at(WATCH, tmp_path, cloud)


@pytest.mark.parametrize("name", ["build", "watch"])
async def test_what_a_killed_run_left_is_brought_back_by_itself_and_the_version_ships_after_it(
    name: str, killed: dict[str, Held]
) -> None:
    await reconciled(killed[name])
    if killed[name].stage.passes:
        await shipped_again(killed[name])


async def test_schedules_make_runs() -> None:
    async with get_client() as client, asyncio.timeout(LEASE_AND_MORE_S):
        deployment = await client.read_deployment_by_name("reconcile/reconcile")
        scheduled = FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        )
        while not await client.read_flow_runs(flow_run_filter=scheduled):  # noqa: ASYNC110
            await asyncio.sleep(0.5)


@pytest.mark.faults
@pytest.mark.parametrize("stage", STAGES, ids=str)
async def test_a_run_can_be_cancelled_at_every_stage(stage: Stage, tmp_path: Path, cloud: LocalCloud) -> None:
    await cancel_at(stage, tmp_path, cloud)


@pytest.mark.faults
@pytest.mark.parametrize("stage", RECORDED, ids=str)
async def test_a_run_can_be_killed_at_every_stage(stage: Stage, tmp_path: Path, cloud: LocalCloud) -> None:
    doomed = await kill_at(stage, tmp_path, cloud)
    await reconciled(doomed)
    if stage.passes:
        await shipped_again(doomed)


@pytest.mark.faults
@pytest.mark.parametrize("stage", PASSING, ids=str)
async def test_a_run_whose_worker_is_killed_ships_or_leaves_all_as_it_was(
    stage: Stage, tmp_path: Path, cloud: LocalCloud, machine: Machine
) -> None:
    orphan = Held(tmp_path / "app", stage)
    await orphan.reach(cloud, hold_s=30.0)
    machine.kill("-m prefect worker start")
    calm(cloud)
    await machine.start_worker()
    await shipped_or_as_before(orphan)


@pytest.mark.faults
@pytest.mark.parametrize("stage", RECORDED, ids=str)
async def test_what_a_lost_machine_left_is_brought_back_by_reconcile(
    stage: Stage, tmp_path: Path, cloud: LocalCloud, machine: Machine
) -> None:
    lost = Held(tmp_path / "app", stage)
    await lost.reach(cloud)
    machine.kill("-m prefect worker start")
    lost.kill()
    calm(cloud)
    await machine.start_worker()
    assert await reconcile(lost.source, "production") == 1
    await reconciled(lost)
    if stage.passes:
        await shipped_again(lost)


@pytest.mark.faults
@pytest.mark.parametrize("stage", PASSING, ids=str)
async def test_a_run_whose_prefect_server_is_killed_and_started_again_ships_or_leaves_all_as_it_was(
    stage: Stage, tmp_path: Path, cloud: LocalCloud, machine: Machine
) -> None:
    held_run = Held(tmp_path / "app", stage)
    await held_run.reach(cloud, hold_s=30.0)
    machine.kill("-m prefect server start")
    await machine.start_server()
    calm(cloud)
    await shipped_or_as_before(held_run)
