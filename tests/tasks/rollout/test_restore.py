"""Giving back, on a Cloud Run that carries out writes after their caller has hung up, and while others write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import access, revisions, services
from infra.gcp.run.traffic import TrafficTarget
from tasks.analysis.probes import ANSWERS
from tasks.model import Candidate, Ending, Outcome
from tasks.rollout.restore import Back, give_back, in_one_line
from tests.conftest import LocalCloud
from tests.tasks.rollout.two import BROKEN, LATE_S, RUN, UPDATE, Two, bucket, known, neither_faults_nor_logs, two

__all__ = ["bucket", "known", "neither_faults_nor_logs", "two"]  # fixtures
pytestmark = pytest.mark.usefixtures("cloud_env")


@pytest.mark.parametrize("careful", [True, False], ids=["a failed run", "a cancelled run"])
async def test_a_write_that_is_carried_out_after_its_caller_was_cancelled_does_not_win(
    two: Two, cloud: LocalCloud, *, careful: bool
) -> None:
    cloud.put("/faults", [{"method": UPDATE, "drop": "late", "delay_s": LATE_S, "times": 1}])
    shifting = asyncio.create_task(two.move(two=100))
    await asyncio.sleep(LATE_S / 7)  # it is on its way
    shifting.cancel()
    with suppress(asyncio.CancelledError, GoogleError):
        await shifting
    written = (two.split(one=100), two.split(two=100))
    ending = await give_back(two.request, two.candidate, written, careful)
    assert ending.outcome in (Outcome.UNTOUCHED, Outcome.TAKEN_BACK)
    await asyncio.sleep(LATE_S)
    assert await two.routed() == {two.one: 100}


async def test_what_a_dead_run_may_have_under_way_does_not_win_against_reconcile(two: Two, cloud: LocalCloud) -> None:
    cloud.put("/faults", [{"method": UPDATE, "drop": "late", "delay_s": LATE_S, "times": 1}])
    shifting = asyncio.create_task(two.move(two=100))
    await asyncio.sleep(LATE_S / 7)
    shifting.cancel()
    with suppress(asyncio.CancelledError, GoogleError):
        await shifting
    now = (await two.live()).service.traffic
    await give_back(two.request, replace(two.candidate, split=now), (now,), careful=True, doubtful=True)
    await asyncio.sleep(LATE_S)
    assert await two.routed() == {two.one: 100}


async def test_where_nothing_was_shifted_the_template_alone_is_given_back_and_that_once(two: Two) -> None:
    before = (await two.live()).service
    written = (two.split(one=100),)
    ending = await give_back(two.request, two.candidate, written, careful=True)
    assert (ending.outcome, ending.said) == (
        Outcome.UNTOUCHED, f"{two.one} served all the time",
    )  # fmt: skip
    then = (await two.live()).service
    assert (then.traffic, then.latest_created, then.body["template"]["revision"]) == (before.traffic, two.one, two.one)
    await give_back(two.request, two.candidate, written, careful=True)
    assert (await two.live()).service.etag == then.etag


@pytest.mark.parametrize(
    "fault",
    [
        {"code": "UNAVAILABLE", "times": 6},
        {"code": "ABORTED", "times": 2},
        {"code": "INTERNAL", "times": 1},
        {"drop": "before", "times": 2},
        {"drop": "after", "times": 1},
    ],
    ids=lambda fault: " ".join(map(str, fault.values())),
)
async def test_a_give_back_is_tried_until_it_succeeds(two: Two, cloud: LocalCloud, fault: dict[str, object]) -> None:
    await two.move(two=100)
    cloud.put("/faults", [{"method": UPDATE, **fault}])
    ending = await give_back(two.request, two.candidate, (two.split(two=100),), careful=False)
    assert ending.outcome is Outcome.TAKEN_BACK
    assert await two.routed() == {two.one: 100}


async def test_a_give_back_that_is_refused_is_owed(two: Two, cloud: LocalCloud) -> None:
    await two.move(two=100)
    cloud.put("/faults", [{"method": UPDATE, "code": "PERMISSION_DENIED"}])
    ending = await give_back(two.request, two.candidate, (two.split(two=100),), careful=False)
    assert ending.outcome is Outcome.FAILED
    cloud.put("/faults", [])
    ending = await give_back(two.request, two.candidate, (two.split(two=100),), careful=False)
    assert ending.outcome is Outcome.TAKEN_BACK


async def test_traffic_that_a_stranger_has_moved_is_left(two: Two) -> None:
    await two.move(one=40, two=60)
    ending = await give_back(two.request, two.candidate, (two.split(two=100),), careful=True)
    assert ending.outcome is Outcome.LEFT
    assert await two.routed() == {two.one: 40, two.two: 60}


async def test_what_served_before_is_judged_by_what_it_was_proven_with(two: Two) -> None:
    """The candidate's own health asks for what only the candidate has."""
    await two.move(two=100)
    new = ANSWERS.model_copy(update={"path": "/only-new", "body": "only the new one says this"})
    ending = await give_back(two.request, replace(two.candidate, health=new), (two.split(two=100),), careful=True)
    assert (ending.outcome, await two.routed()) == (Outcome.TAKEN_BACK, {two.one: 100})
    assert ending.said.endswith("and is HEALTHY")


@pytest.mark.parametrize("opened", [False, True], ids=["opened by the release", "closed by the release"])
async def test_who_may_call_is_as_before_when_a_release_is_taken_back(*, opened: bool) -> None:
    two = await Two(public=not opened, opened=opened).made()
    await two.move(two=100)
    await access.set_public(two.name, public=not opened)
    ending = await give_back(two.request, two.candidate, (two.split(two=100),), careful=False)
    assert ending.outcome is Outcome.TAKEN_BACK
    assert await access.is_public(two.name) is opened


def test_a_cancelled_run_says_so_in_words() -> None:
    assert "cancelled" in in_one_line(asyncio.CancelledError())
    assert in_one_line(ValueError("first\nsecond")) == "first"


# ---- what is gone back to, when somebody has the time to ask -------------------------------------------------------


async def gives_back(two: Two, candidate: Candidate | None = None, *, careful: bool = True) -> Ending:
    return await give_back(two.request, candidate or two.candidate, (two.split(two=100),), careful)


async def test_traffic_goes_back_to_what_is_well_and_has_a_url_of_its_own(known: Two) -> None:
    ending = await gives_back(known)
    assert (ending.outcome, await known.routed()) == (Outcome.TAKEN_BACK, {known.one: 100})
    assert ending.said == f"{known.one} serves again and is HEALTHY"


async def test_traffic_stays_where_what_served_before_is_bad_too(known: Two) -> None:
    ending = await gives_back(known, known.coming_from(health=BROKEN))
    assert (ending.outcome, await known.routed()) == (Outcome.ESCALATED, {known.two: 100})
    assert ending.said.startswith(f"{known.one} is unhealthy too (3 of 3 tries made and none accepted")
    assert ending.said.endswith(" and no other release can take over: traffic stays where it is")


async def test_a_cancelled_run_has_no_time_to_ask_what_it_goes_back_to(known: Two) -> None:
    ending = await gives_back(known, known.coming_from(health=BROKEN), careful=False)
    assert (ending.outcome, await known.routed()) == (Outcome.TAKEN_BACK, {known.one: 100})
    assert ending.said == f"{known.one} serves again"


async def test_the_last_release_seen_healthy_takes_over_from_what_is_bad_too(known: Two) -> None:
    zero = await known.released_before(ANSWERS)
    ending = await gives_back(known, known.coming_from(health=BROKEN))
    assert (ending.outcome, await known.routed()) == (Outcome.TAKEN_BACK, {zero: 100})
    assert ending.said.startswith(f"{zero}, the last release seen healthy, serves, as {known.one} is unhealthy too (")
    assert ending.said.endswith(" and is HEALTHY")  # by what that release was proven with


async def test_the_last_release_seen_healthy_is_asked_too(known: Two) -> None:
    zero = await known.released_before(BROKEN)
    ending = await gives_back(known, known.coming_from(health=BROKEN))
    assert (ending.outcome, await known.routed()) == (Outcome.ESCALATED, {known.two: 100})
    assert ending.said.endswith(f" and {zero}, the last release seen healthy, is no better: traffic stays where it is")


async def test_a_revision_that_served_before_its_own_release_has_nothing_to_give_way_to(known: Two) -> None:
    await known.released_before(ANSWERS)
    ending = await gives_back(known, known.coming_from(serving=known.two, health=BROKEN))
    assert ending.outcome is Outcome.ESCALATED
    assert "no other release can take over" in ending.said


async def test_what_is_gone_is_not_gone_back_to(two: Two) -> None:
    await two.move(two=100)
    await revisions.delete_revision(two.name, two.one, "", 60)
    ending = await gives_back(two)
    assert (ending.outcome, await two.routed()) == (Outcome.ESCALATED, {two.two: 100})
    assert ending.said.startswith(f"{two.one} is gone or not ready and no other release can take over")
    ending = await gives_back(two, careful=False)
    assert (ending.outcome, await two.routed()) == (Outcome.FAILED, {two.two: 100})


async def test_where_nothing_of_ours_served_the_placeholder_returns_unasked(known: Two) -> None:
    ending = await gives_back(known, known.coming_from(serving="", health=BROKEN))
    assert (ending.outcome, ending.said) == (Outcome.TAKEN_BACK, "its placeholder serves again")


async def test_metrics_that_cannot_be_had_keep_no_traffic_from_going_back(known: Two, cloud: LocalCloud) -> None:
    method = "google.monitoring.v3.MetricService/ListTimeSeries"
    cloud.put("/faults", [{"method": method, "code": "PERMISSION_DENIED"}])
    ending = await gives_back(known)
    assert (ending.outcome, await known.routed()) == (Outcome.TAKEN_BACK, {known.one: 100})


async def test_that_nobody_can_ask_what_served_before_keeps_no_traffic_from_going_back(
    known: Two, cloud: LocalCloud
) -> None:
    """What keeps us from asking may be just why the release has failed."""
    cloud.put("/faults", [{"method": f"{RUN}/GetIamPolicy", "code": "PERMISSION_DENIED"}])
    ending = await gives_back(known)
    assert (ending.outcome, await known.routed()) == (Outcome.TAKEN_BACK, {known.one: 100})
    assert ending.said.startswith(f"{known.one} serves again and could not be verified")


async def test_how_it_serves_afterwards_is_told_even_if_it_is_badly(two: Two) -> None:
    await two.move(two=100)
    ending = await gives_back(two, two.coming_from(health=BROKEN))  # without a URL of its own nobody could know before
    assert ending.outcome is Outcome.TAKEN_BACK
    assert ending.said.startswith(f"{two.one} serves again and is UNHEALTHY (10 of 10 tries made and none accepted")


async def test_what_was_not_touched_says_what_served(two: Two) -> None:
    written = (two.split(one=100),)
    ending = await give_back(two.request, two.candidate, written, careful=True)
    assert ending.said == f"{two.one} served all the time"
    ending = await give_back(two.request, two.coming_from(serving=""), written, careful=True)
    assert ending.said == "its placeholder served all the time"


@pytest.mark.parametrize("doubtful", [False, True])
async def test_who_may_call_is_as_before_where_a_shift_may_have_begun(*, doubtful: bool) -> None:
    two = await Two(public=True).made()
    await access.set_public(two.name, public=True)
    written = (two.split(one=100),) if doubtful else (two.split(one=100), two.split(two=100))
    ending = await give_back(two.request, two.candidate, written, careful=False, doubtful=doubtful)
    assert ending.said == f"{two.one} served all the time, open to its callers as before"
    assert not await access.is_public(two.name)


async def test_who_may_call_is_left_where_no_shift_had_begun() -> None:
    two = await Two(public=True).made()
    await access.set_public(two.name, public=True)
    await give_back(two.request, two.candidate, (two.split(one=100),), careful=False)
    assert await access.is_public(two.name)


async def test_who_may_call_is_as_before_even_where_a_stranger_has_moved_the_traffic() -> None:
    two = await Two(public=True).made()
    await two.move(one=40, two=60)
    await access.set_public(two.name, public=True)
    ending = await gives_back(two)
    assert ending.outcome is Outcome.LEFT
    assert ending.said.startswith("somebody else has moved its traffic: ")
    assert ending.said.endswith(", open to its callers as before")
    assert not await access.is_public(two.name)


async def test_a_late_write_that_comes_between_the_look_and_the_fence_does_not_win(two: Two, cloud: LocalCloud) -> None:
    before = cloud.faulted().get(UPDATE, 0)
    cloud.put("/faults", [{"method": UPDATE, "delay_s": 4 * LATE_S, "times": 1}])  # the fence
    written = (two.split(one=100), two.split(two=100))
    giving = asyncio.ensure_future(give_back(two.request, two.candidate, written, careful=False))
    while cloud.faulted().get(UPDATE, 0) == before:  # noqa: ASYNC110 - the cloud does not tell
        await asyncio.sleep(0.02)
    await two.move(two=100)
    assert (await giving).outcome is Outcome.TAKEN_BACK
    assert await two.routed() == {two.one: 100}


async def test_traffic_that_a_stranger_lets_follow_the_latest_revision_is_left(two: Two) -> None:
    service = (await two.live()).service
    await services.set_traffic(two.name, [TrafficTarget(None, 100)], service.etag, 60)
    ending = await give_back(two.request, two.candidate, (two.split(one=50, two=50),), careful=True)
    assert (ending.outcome, await two.routed()) == (Outcome.LEFT, {two.two: 100})


# ---- what it has written itself ------------------------------------------------------------------------------------


@pytest.fixture
async def slow(two: Two, cloud: LocalCloud) -> AsyncIterator[None]:
    """The second revision serves, and traffic follows what is asked for after a while, as it does in Google Cloud."""
    await two.move(two=100)
    cloud.put("/latency", {"stages": {"run.traffic": 600.0}})
    yield
    cloud.put("/latency", {"profile": "instant"})


@pytest.mark.usefixtures("slow")
async def test_a_give_back_that_begins_anew_knows_the_split_that_it_had_written_for_its_own(
    two: Two, cloud: LocalCloud
) -> None:
    given: list[Back] = []
    written = (two.split(two=100),)
    first = asyncio.ensure_future(give_back(two.request, two.candidate, written, careful=True, given=given))
    while (await two.live()).service.asked != {two.one: 100}:  # noqa: ASYNC110 - the cloud does not tell
        await asyncio.sleep(0.02)
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    assert await two.routed() == {two.two: 100}
    again = asyncio.create_task(give_back(two.request, two.candidate, written, careful=False, given=given))
    await asyncio.sleep(0.1)
    cloud.put("/latency", {"profile": "instant"})
    ending = await again
    assert (ending.outcome, ending.said) == (Outcome.TAKEN_BACK, f"{two.one} serves again")
    service = (await two.live()).service
    assert (service.routed, service.latest_created) == ({two.one: 100}, two.one)


async def test_what_was_given_back_says_so_also_when_what_is_set_besides_took_another_try(cloud: LocalCloud) -> None:
    two = await Two(public=True).made()
    await two.move(two=100)
    cloud.put("/faults", [{"method": f"{RUN}/SetIamPolicy", "code": "UNAVAILABLE", "times": 1}])
    ending = await give_back(two.request, two.candidate, (two.split(two=100),), careful=True)
    assert (ending.outcome, ending.said) == (Outcome.TAKEN_BACK, f"{two.one} serves again and is HEALTHY")
