"""One release at a time per app and environment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from prefect import flow

from tasks.failures.errors import ReleaseBusy
from tasks.history.record import State
from tasks.model import Request
from tasks.orchestration.lock import one_at_a_time
from tasks.request.request import read_request
from tasks.source.source import Source
from tests.conftest import LocalCloud
from tests.e2e.conftest import App, program
from tests.e2e.releases import DIRECT, Running, Scenario, describe, history, live, ship, side_by_side

pytestmark = pytest.mark.usefixtures("cloud_env")


@dataclass
class Inside:
    """Who holds the lock."""

    now: int = 0
    most: int = 0
    ended: list[int] = field(default_factory=list)

    async def work(self, number: int) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        self.ended.append(number)


def described(app: App, production: str = DIRECT) -> None:
    """Nothing serves yet."""
    app.write("web", program())
    describe(app, production=production)
    app.commit("v1.0.0")


async def requested(app: App) -> Request:
    return await read_request(Source(repository=str(app.folder)), "production", [], app.folder.parent)


async def two_deploys_started_together_ship_one_after_the_other(app: App) -> None:
    described(app)
    await asyncio.gather(ship(app), ship(app))
    first, second = reversed(await history(app))
    assert (first.state, second.state) == (State.RELEASED, State.RELEASED)
    assert first.finished is not None
    assert first.finished <= second.started
    assert await live(app) == {"v1.0.0": 100}


async def a_second_deploy_is_refused_where_the_manifest_says_so(app: App) -> None:
    described(app, DIRECT.replace("}", ", when_busy: refuse}"))

    @flow
    async def ship_while_another_does() -> ReleaseBusy:
        async with one_at_a_time(await requested(app)):
            with pytest.raises(ReleaseBusy) as refused:
                await ship(app)
        return refused.value

    assert "wait for it to end or cancel it" in (await ship_while_another_does()).remedy
    await ship(app)
    assert [record.state for record in await history(app)] == [State.RELEASED]
    assert await live(app) == {"v1.0.0": 100}


async def of_five_runs_one_works_at_a_time_and_each_gets_its_turn(app: App) -> None:
    described(app)
    inside, asking = Inside(), [asyncio.Event() for _ in range(5)]

    @flow
    async def hold(number: int) -> None:
        request = await requested(app)
        asking[number].set()
        async with one_at_a_time(request):
            await inside.work(number)

    @flow
    async def hold_until_all_have_asked() -> None:
        async with asyncio.TaskGroup() as runs, one_at_a_time(await requested(app)):
            for number, asks in enumerate(asking):
                runs.create_task(hold(number))
                await asks.wait()

    await hold_until_all_have_asked()
    assert inside.most == 1
    assert sorted(inside.ended) == list(range(5))


async def another_environment_is_another_lock(app: App) -> None:
    described(app)

    @flow
    async def hold_both() -> tuple[Request, Request]:
        one = await requested(app)
        other = replace(one, environment="staging")
        async with one_at_a_time(one), one_at_a_time(other):
            return one, other

    one, other = await hold_both()
    assert one.environment != other.environment


SCENARIOS: tuple[Scenario, ...] = (
    two_deploys_started_together_ship_one_after_the_other,
    a_second_deploy_is_refused_where_the_manifest_says_so,
    of_five_runs_one_works_at_a_time_and_each_gets_its_turn,
    another_environment_is_another_lock,
)


@pytest.fixture(scope="module")
async def running(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with side_by_side(SCENARIOS, cloud, tmp_path_factory.mktemp("apps")) as started:
        yield started


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_one_release_at_a_time(running: Running, scenario: Scenario) -> None:
    await running[scenario]
