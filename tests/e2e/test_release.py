"""Traffic moves only on proof and always has a way back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import services
from infra.gcp.run.traffic import TrafficTarget
from tasks.failures.errors import Frozen, ProofFailed, RollbackRefused, SlipwayError, TrafficConflict
from tasks.history.record import ReleaseRecord, State
from tasks.model import Override, Verdict
from tests.conftest import LocalCloud, environment
from tests.e2e.conftest import REGION, App, program
from tests.e2e.releases import (
    DIRECT,
    STEADY_S,
    Running,
    Scenario,
    canary,
    describe,
    find,
    go_back,
    history,
    live,
    new_app,
    released,
    ship,
    side_by_side,
    turns_bad,
    users,
)

pytestmark = pytest.mark.usefixtures("cloud_env")


@dataclass(frozen=True)
class Ended:
    """How a canary of v1.1.0 over v1.0.0 ended, with users throughout."""

    error: SlipwayError | None
    live: dict[str, int]
    statuses: list[int]
    record: ReleaseRecord


async def run_canary(
    app: App,
    candidate: str,
    stable: str = "",
    steps: str = "[20, 50]",
    per_second: int = 40,
    meanwhile: Callable[[App], Coroutine[Any, Any, None]] | None = None,
) -> Ended:
    settings = {} if per_second else {"inconclusive_limit": "1s", "on_inconclusive": "wait"}
    await released(app, canary(steps, **settings), stable)
    app.write("web", candidate)
    app.commit("v1.1.0")
    error: SlipwayError | None = None
    async with users((await find(app)).uri, per_second or 1, "user" if per_second else "nobody") as load:
        meddler = asyncio.create_task(meanwhile(app)) if meanwhile else None
        try:
            await ship(app)
        except SlipwayError as failure:
            error = failure
        if meddler:
            await meddler
    return Ended(error, await live(app), load.statuses, (await history(app))[0])


async def move_traffic_back(app: App) -> None:
    """What `gcloud run services update-traffic` does in the middle of a canary."""
    while len(await live(app)) < 2:  # noqa: ASYNC110 - the cloud does not tell when a split is routed
        await asyncio.sleep(0.1)
    service = await find(app)
    stable = next(target.revision for target in service.live if "v1-0-0" in str(target.revision))
    await services.set_traffic(service.name, [TrafficTarget(stable, 100)], service.etag, 30)


@pytest.fixture(scope="module")
async def canaries(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Ended]]:
    """All at once, because each of them mostly waits."""
    folder = tmp_path_factory.mktemp("canaries")
    slow = program(delay=0.03)
    runs: dict[str, Callable[[App], Coroutine[Any, Any, Ended]]] = {
        "good": lambda app: run_canary(app, program(body="ok 2", delay=STEADY_S), program(delay=STEADY_S)),
        "errors": lambda app: run_canary(app, turns_bad(errors="0.2"), steps="[40]"),
        "slow": lambda app: run_canary(app, turns_bad(slower="0.06", delay=0.03), slow, "[40]"),
        "late": lambda app: run_canary(app, turns_bad(errors="0.5 if per_second > 14 else 0"), steps="[20, 60]"),
        "unseen": lambda app: run_canary(app, program(body="ok 2"), per_second=0),
        "moved": lambda app: run_canary(app, program(body="ok 2"), per_second=0, meanwhile=move_traffic_back),
    }
    with environment(cloud.env):
        ended = await asyncio.gather(*(start(new_app(folder, f"canary-{name}")) for name, start in runs.items()))
        yield dict(zip(runs, ended, strict=True))


def test_a_good_canary_reaches_all_traffic_and_no_request_fails(canaries: dict[str, Ended]) -> None:
    good = canaries["good"]
    assert good.error is None
    assert good.live == {"v1.1.0": 100}
    assert set(good.statuses) == {200}
    assert [(target.outcome, good.record.state) for target in good.record.targets] == [("live", State.RELEASED)]


@pytest.mark.parametrize(
    ("kind", "said", "where"),
    [
        ("errors", "requests failed", "At 40 %"),
        ("slow", "slower than stable", "At 40 %"),
        ("late", "requests failed", "At 60 %"),
    ],
    ids=["fails one request in five", "is three times slower", "turns bad only when it has much traffic"],
)
def test_a_canary_is_taken_back_that(canaries: dict[str, Ended], kind: str, said: str, where: str) -> None:
    bad = canaries[kind]
    assert isinstance(bad.error, ProofFailed)
    assert f"{where} the release is UNHEALTHY" in bad.error.problem
    assert said in bad.error.problem
    assert bad.live == {"v1.0.0": 100}
    assert bad.record.state is State.FAILED
    assert [target.outcome for target in bad.record.targets] == ["taken back"]
    assert 0 < bad.record.seconds["taken back"] < 30


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("good", [(20, Verdict.HEALTHY), (50, Verdict.HEALTHY), (100, Verdict.HEALTHY)]),
        ("late", [(20, Verdict.HEALTHY), (60, Verdict.UNHEALTHY)]),
        ("unseen", [(20, Verdict.INCONCLUSIVE)]),
        ("moved", []),
    ],
)
def test_the_record_tells_what_was_found_at_each_step(
    canaries: dict[str, Ended], kind: str, steps: list[tuple[int, Verdict]]
) -> None:
    found = canaries[kind].record.steps
    assert [(step.percent, step.verdict) for step in found] == steps
    assert all(step.reason and step.regions == (REGION,) and step.began < step.ended for step in found)


def test_a_canary_without_traffic_is_not_promoted_where_users_have_to_prove_it(canaries: dict[str, Ended]) -> None:
    unseen = canaries["unseen"]
    assert "INCONCLUSIVE" in str(unseen.error)
    assert unseen.live == {"v1.0.0": 100}


def test_traffic_moved_by_somebody_else_is_noticed_and_not_overwritten(canaries: dict[str, Ended]) -> None:
    moved = canaries["moved"]
    assert isinstance(moved.error, TrafficConflict)
    assert "moved the traffic" in moved.error.problem
    assert moved.live == {"v1.0.0": 100}


async def the_tags_and_shares_of_others_survive_and_a_dead_revision_in_the_split_breaks_nothing(app: App) -> None:
    """A deploy by hand that failed leaves its revision in the wanted split, where it blocks plain deploys for ever."""
    await released(app)
    service = await find(app)
    (first,) = (str(target.revision) for target in service.live if target.percent)
    dead = f"{app.name}-web-dead"
    by_hand = {
        "name": service.name,
        "template": {"revision": dead, "containers": [{"image": "us-docker.pkg.dev/cloudrun/container/nothing"}]},
        "traffic": [services.traffic_body(t) for t in (TrafficTarget(dead, 100), TrafficTarget(first, 0, "demo"))],
    }
    with pytest.raises(GoogleError):
        await services.update_service(by_hand, ["template", "traffic"], 30)
    assert dead in {target.revision for target in (await find(app)).traffic}
    app.write("web", program(body="ok 2"))
    app.commit("v1.1.0")
    await ship(app)
    assert await live(app) == {"v1.1.0": 100}
    assert {target.tag: target.revision for target in (await find(app)).traffic}["demo"] == first


async def a_third_revision_keeps_the_share_that_somebody_gave_it(app: App) -> None:
    await released(app)
    app.write("web", program(body="ok 2"))
    app.commit("v1.1.0")
    await ship(app)
    service = await find(app)
    old = next(str(t.revision) for t in service.traffic if "v1-0-0" in str(t.revision))
    new = next(str(t.revision) for t in service.traffic if "v1-1-0" in str(t.revision))
    await services.set_traffic(service.name, [TrafficTarget(new, 90), TrafficTarget(old, 10)], service.etag, 30)
    app.write("web", program(body="ok 3"))
    app.commit("v1.2.0")
    await ship(app)
    assert await live(app) == {"v1.2.0": 90, "v1.0.0": 10}


async def rollback_goes_to_the_last_good_release_and_a_new_one_ships_after_it(app: App) -> None:
    await released(app)
    app.write("web", program(body="ok 2"))
    app.commit("v1.1.0")
    await ship(app)
    began = time.monotonic()
    await go_back(app)
    assert time.monotonic() - began < 30
    assert await live(app) == {"v1.0.0": 100}
    newest = (await history(app))[0]
    assert (newest.action, newest.version, newest.left) == ("rollback", "v1.0.0", "v1.1.0")
    assert 0 < newest.seconds["restored"] < newest.seconds["verified"] < 30
    app.write("web", program(body="ok 3"))
    app.commit("v1.2.0")
    await ship(app, irreversible=True)
    assert await live(app) == {"v1.2.0": 100}

    with pytest.raises(RollbackRefused, match="what a rollback has left"):
        await go_back(app, to="v1.1.0")

    with pytest.raises(RollbackRefused, match="migration"):
        await go_back(app)
    await go_back(app, override=Override(who="Ada", why="the migration was undone by hand"))
    newest = (await history(app))[0]
    assert (newest.version, str(newest.override)) == ("v1.0.0", "Ada: the migration was undone by hand")


async def rollback_to_a_failed_or_unknown_version_is_refused(app: App) -> None:
    await released(app)
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


async def a_freeze_refuses_a_release_unless_somebody_answers_for_it(app: App) -> None:
    frozen = DIRECT.replace("}", ", freeze: [{from: 2000-01-01, to: 2100-01-01, reason: holidays}]}")
    app.write("web", program())
    describe(app, production=frozen)
    app.commit("v1.0.0")
    with pytest.raises(Frozen, match="holidays"):
        await ship(app)
    await ship(app, override=Override(who="Ada", why="the shop is down"))
    assert str((await history(app))[0].override) == "Ada: the shop is down"


async def with_blue_green_the_previous_version_stays_reachable(app: App) -> None:
    blue_green = DIRECT.replace("}", ", strategy: blue_green}")
    await released(app, blue_green, program(body="ok, blue"))
    app.write("web", program(body="ok, green"))
    app.commit("v1.1.0")
    await ship(app)
    service = await find(app)
    urls = {target.tag: target.uri for target in service.live if target.tag}
    assert httpx.get(service.uri, trust_env=False).text == "ok, green"
    assert httpx.get(urls["v1-0-0"], trust_env=False).text == "ok, blue"


SCENARIOS: tuple[Scenario, ...] = (
    the_tags_and_shares_of_others_survive_and_a_dead_revision_in_the_split_breaks_nothing,
    a_third_revision_keeps_the_share_that_somebody_gave_it,
    rollback_goes_to_the_last_good_release_and_a_new_one_ships_after_it,
    rollback_to_a_failed_or_unknown_version_is_refused,
    a_freeze_refuses_a_release_unless_somebody_answers_for_it,
    with_blue_green_the_previous_version_stays_reachable,
)


@pytest.fixture(scope="module")
async def running(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with side_by_side(SCENARIOS, cloud, tmp_path_factory.mktemp("apps")) as started:
        yield started


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_a_release(running: Running, scenario: Scenario) -> None:
    await running[scenario]
