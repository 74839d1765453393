"""Runs that are cancelled or killed in a worker's process: traffic is as before, and nothing is left behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from prefect import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType

from flows.deploy import deploy
from flows.reconcile import reconcile
from flows.rollback import rollback
from tasks.history.record import State
from tasks.history.store import read_history
from tests.conftest import PROJECT, LocalCloud, environment
from tests.e2e.held import (
    BUILD,
    LEASE_AND_MORE_S,
    PASSING,
    PREFLIGHT,
    RECORDED,
    RESTORED_LIMIT_S,
    STAGES,
    WATCH,
    Held,
    Stage,
    calm,
)
from tests.e2e.machine import Machine, running_machine

pytestmark = [pytest.mark.usefixtures("cloud_env"), pytest.mark.timeout(600)]  # a busy machine starts processes slowly


@pytest.fixture(scope="module", autouse=True)
async def machine(
    cloud: LocalCloud, database: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Machine]:
    async with running_machine(cloud, tmp_path_factory.mktemp("stack"), database) as machine:
        yield machine


@pytest.fixture(autouse=True)
def no_faults_left(cloud: LocalCloud) -> Iterator[None]:
    yield
    calm(cloud)


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


async def test_a_rollback_cancels_the_release_under_way_and_needs_neither_the_repository_nor_slipway_yaml(
    tmp_path: Path, cloud: LocalCloud
) -> None:
    doomed = Held(tmp_path / "app", WATCH)
    await doomed.reach(cloud)
    assert await doomed.traffic() != doomed.before
    (doomed.app.folder / "slipway.yaml").rename(tmp_path / "gone")
    (doomed.app.folder / ".git").rename(tmp_path / "moved")
    began = time.monotonic()
    release = await rollback(doomed.source, "production")
    print(f"taken over and restored after {time.monotonic() - began:.1f} s")
    assert release.version.version == "v1.0.0"
    assert await doomed.traffic() == doomed.before
    assert (await doomed.until_ended()).is_cancelled()
    newest, cancelled, *_ = await read_history(f"{PROJECT}-slipway", doomed.app.name, "production")
    assert (newest.action, newest.left, newest.state) == ("rollback", "v1.1.0", State.RELEASED)
    assert (cancelled.state, cancelled.is_open) == (State.CANCELLED, False)


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
