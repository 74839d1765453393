"""How a rollback gets ahead of everybody, with a real Prefect server to tell who that is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, get_client
from prefect.client.schemas.objects import State as RunState
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled

from infra.gcp.storage import buckets, objects
from tasks.failures.errors import ReleaseBusy
from tasks.history.job_record import JobRecord
from tasks.history.record import ReleaseRecord, State
from tasks.history.store import record_name
from tasks.model import Outcome, Request
from tasks.orchestration.lock import before_all_others, is_held, one_at_a_time, unless_rollback_wanted
from tasks.release.preempt import TAKEN_OVER, TakeOver, is_stopped, stopped_runs
from tests.conftest import PROJECT
from tests.infra.emulator.emulated_run import new_name
from tests.tasks.builders import a_record, a_request, a_target

PATIENCE_S = 60.0
BUCKET = f"{PROJECT}-preempt"


@pytest.fixture(scope="module", autouse=True)
async def bucket(prefect: None) -> None:
    await buckets.create_bucket(BUCKET, PROJECT, "europe-west1", {})


def requested() -> Request:
    request = a_request()
    return replace(
        request,
        app=new_name("shop"),
        settings=request.settings.model_copy(update={"bucket": BUCKET, "when_busy": "wait"}),
    )


def by_this_run(request: Request) -> Request:
    return replace(request, run_id=str(flow_run.id))


async def states(run_id: str) -> list[RunState[Any]]:
    async with get_client() as client:
        return await client.read_flow_run_states(UUID(run_id))


async def was_cancelled(run_id: str) -> bool:
    return any(state.message == TAKEN_OVER for state in await states(run_id))


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await look():  # noqa: ASYNC110
            await asyncio.sleep(0.1)


@dataclass
class Deploy:
    """A deploy, as far as the lock is concerned."""

    request: Request
    order: list[str] = field(default_factory=list)
    has_lock: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    run_id: str = ""

    def started(self, work: Callable[[], Awaitable[None]]) -> asyncio.Future[object]:
        @flow(name="deploy")
        async def deploy() -> None:
            self.run_id = str(flow_run.id)
            self.request = by_this_run(self.request)
            await work()

        return asyncio.ensure_future(deploy(return_state=True))

    async def holds(self) -> None:
        """Until it is cancelled, as a worker would see to."""
        async with one_at_a_time(self.request):
            self.has_lock.set()
            await until(lambda: was_cancelled(self.run_id))

    async def ships(self) -> None:
        async with one_at_a_time(self.request):
            self.has_lock.set()
            await self.may_end.wait()
            self.order.append("deploy")

    async def reconciles(self) -> None:
        """Something that takes long; nobody ends it from outside."""
        async with one_at_a_time(self.request):
            self.has_lock.set()
            with pytest.raises(ReleaseBusy):
                await unless_rollback_wanted(self.request, asyncio.sleep(PATIENCE_S))
            self.order.append("reconcile")

    async def cleans_up(self) -> None:
        async with one_at_a_time(self.request) as let_go:
            await let_go()
            self.has_lock.set()
            await self.may_end.wait()


async def roll_back(request: Request, order: list[str] | None = None) -> None:
    @flow(name="rollback")
    async def rollback() -> None:
        own = by_this_run(request)
        async with asyncio.timeout(PATIENCE_S), before_all_others(own, TakeOver(own)):
            (order if order is not None else []).append("rollback")

    await rollback()


async def test_a_release_that_has_the_lock_and_no_record_yet_is_cancelled() -> None:
    deploy = Deploy(requested())
    running = deploy.started(deploy.holds)
    await deploy.has_lock.wait()
    await roll_back(deploy.request)
    await running
    assert await was_cancelled(deploy.run_id)


async def test_the_run_that_a_process_stands_for_is_cancelled_not_the_one_within_it() -> None:
    within, outer = Deploy(requested()), ""

    @flow(name="ship")
    async def ship() -> None:
        nonlocal outer
        outer = str(flow_run.id)
        await within.started(holds)

    async def holds() -> None:
        async with one_at_a_time(within.request):
            within.has_lock.set()
            await until(lambda: was_cancelled(outer))

    running = asyncio.ensure_future(ship(return_state=True))
    await within.has_lock.wait()
    await roll_back(within.request)
    await running
    assert not await was_cancelled(within.run_id)


async def test_whoever_waits_stands_back_and_goes_on_after_the_rollback() -> None:
    request, order = requested(), list[str]()
    deploy, queued = Deploy(request), Deploy(request, order)
    first = deploy.started(deploy.ships)
    await deploy.has_lock.wait()
    queued.may_end.set()
    second = queued.started(queued.ships)
    rollback = asyncio.ensure_future(roll_back(request, order))
    await until(lambda: was_cancelled(deploy.run_id))
    deploy.may_end.set()
    await asyncio.gather(first, second, rollback)
    assert order == ["rollback", "deploy"]
    assert not await was_cancelled(queued.run_id)


async def test_a_run_that_has_released_and_only_cleans_up_is_neither_cancelled_nor_waited_for() -> None:
    deploy = Deploy(requested())
    running = deploy.started(deploy.cleans_up)
    await deploy.has_lock.wait()
    assert not await is_held(deploy.request)
    await roll_back(deploy.request)
    deploy.may_end.set()
    await running
    assert not await was_cancelled(deploy.run_id)


async def test_what_gives_way_to_a_rollback_ends_by_itself_and_at_once() -> None:
    reconcile = Deploy(requested())
    running = reconcile.started(reconcile.reconciles)
    await reconcile.has_lock.wait()
    await roll_back(reconcile.request, reconcile.order)
    await running
    assert reconcile.order == ["reconcile", "rollback"]


async def test_while_a_rollback_is_wanted_clean_up_steps_aside_too() -> None:
    request, held = requested(), list[bool]()

    async def make_way() -> None:
        held.append(await is_held(request))

    @flow(name="rollback")
    async def rollback() -> None:
        async with before_all_others(by_this_run(request), make_way):
            pass

    await rollback()
    assert held == [True]
    assert not await is_held(request)


async def test_a_prefect_that_does_not_answer_for_a_moment_is_asked_again() -> None:
    deploy = Deploy(requested())
    running = deploy.started(deploy.holds)
    await deploy.has_lock.wait()

    @flow(name="rollback")
    async def rollback() -> None:
        take_over = TakeOver(by_this_run(deploy.request))
        with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
            await take_over()
        await take_over()

    await rollback()
    await running
    assert await was_cancelled(deploy.run_id)


async def recorded(request: Request, release: ReleaseRecord) -> None:
    kept = release.model_copy(update={"app": request.app})
    await objects.write_json(BUCKET, record_name(kept), kept.model_dump(mode="json"), 0)


@pytest.mark.parametrize("taken_over", [True, False], ids=["by a rollback", "by a person"])
async def test_what_a_rollback_that_came_to_nothing_had_cancelled_is_known_to_the_next_one(taken_over: bool) -> None:
    request = requested()

    @flow(name="deploy")
    async def deploy() -> str:
        return str(flow_run.id)

    run_id = await deploy()
    async with get_client() as client:
        said: RunState[Any] = Cancelled(message=TAKEN_OVER if taken_over else "A person did.")
        await client.set_flow_run_state(UUID(run_id), said, force=True)
    await recorded(request, a_record("v1", 1))
    await recorded(request, a_record("v2", 2, run_id=run_id, state=State.CANCELLED))

    @flow(name="rollback")
    async def rollback() -> tuple[str, ...]:
        return await stopped_runs(by_this_run(request))

    assert await rollback() == ((run_id,) if taken_over else ())


OWED = JobRecord(job="tidy", name="projects/p/locations/r-r1/jobs/tidy", outcome=Outcome.FAILED)
STUCK = (a_target("api", "api-v2").model_copy(update={"outcome": Outcome.FAILED}),)


@pytest.mark.parametrize(
    ("newest", "taken_over", "stopped"),
    [
        (a_record("v2", 2, state=State.STARTED), False, True),
        (a_record("v2", 2, state=State.FAILED, targets=STUCK), False, True),
        (a_record("v2", 2, state=State.FAILED), False, False),
        (a_record("v2", 2, state=State.FAILED, jobs=(OWED,)), False, False),
        (a_record("v2", 2, state=State.CANCELLED), True, True),
        (a_record("v2", 2), True, False),
        (a_record("v2", 2, action="rollback"), True, True),
        (a_record("v2", 2, action="rollback"), False, False),
        (a_record("v2", 2, action="rollback", run_id="own"), False, True),
        (a_record("v2", 2, action="rollback", jobs=(OWED,)), False, False),
    ],
    ids=[
        "open", "owes traffic", "failed and given back", "owes a job only", "cancelled by a rollback",
        "released before that", "another rollback", "a rollback of before", "this rollback, started anew",
        "a rollback that owes a job",
    ],
)  # fmt: skip
def test_what_a_rollback_turns_away_from_had_not_come_to_its_end(
    newest: ReleaseRecord, taken_over: bool, stopped: bool
) -> None:
    assert is_stopped(newest, "own", taken_over=taken_over) is stopped
