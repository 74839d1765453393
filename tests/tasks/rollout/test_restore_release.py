"""What ends a release, and what its record says then: failures, cancels, and cancels of the give-back itself."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from prefect.exceptions import Pause

from infra.gcp.run import access
from infra.gcp.run.members import EVERYONE
from tasks.failures.errors import ProofFailed, RecordInDoubt, SlipwayError
from tasks.history.ledger import Ledger
from tasks.history.record import State, TargetRecord
from tasks.history.store import read_history
from tasks.model import Candidate, Outcome
from tasks.release.overtaken import but_for_later
from tasks.rollout.restore import taken_back_on_failure
from tasks.rollout.sent import Sent
from tests.conftest import LocalCloud
from tests.tasks.builders import a_record
from tests.tasks.rollout.two import (
    BROKEN,
    LATE_S,
    REGION,
    RUN,
    UPDATE,
    Two,
    bucket,
    known,
    neither_faults_nor_logs,
    serves_third,
    two,
)

__all__ = ["bucket", "known", "neither_faults_nor_logs", "two"]  # fixtures
pytestmark = pytest.mark.usefixtures("cloud_env")


def broken() -> ProofFailed:
    return ProofFailed("it does not work", "mend it", state="as the release left it")


async def ends(two: Two, candidate: Candidate, ledger: Ledger, error: BaseException | None) -> None:
    await two.move(two=100)
    await gives_all_back(two, ledger, error, candidate)


async def gives_all_back(
    two: Two, ledger: Ledger, error: BaseException | None, candidate: Candidate | None = None, **more: Any
) -> None:
    candidate, written = candidate or two.candidate, {two.place: (two.split(two=100),)}
    async with taken_back_on_failure(two.request, [], [candidate], written, ledger, **more):
        if error:
            raise error


async def test_a_release_that_ends_well_stands(two: Two) -> None:
    ledger = two.ledger()
    await ends(two, two.candidate, ledger, None)
    assert ledger.release.state is State.RELEASED
    assert await two.routed() == {two.two: 100}


async def test_a_release_that_fails_is_taken_back_and_error_and_record_tell_so(two: Two) -> None:
    ledger, error = two.ledger(), broken()
    with pytest.raises(ProofFailed):
        await ends(two, two.candidate, ledger, error)
    assert await two.routed() == {two.one: 100}
    assert error.state == f"web in {REGION}: taken back, {two.one} serves again and is HEALTHY"
    [target] = ledger.release.targets
    assert target.outcome is Outcome.TAKEN_BACK
    assert 0 <= ledger.release.seconds["taken back"] < 30


async def test_what_was_released_beside_the_services_is_given_back_while_these_are(two: Two, cloud: LocalCloud) -> None:
    """Nobody's instances are of a bad version for as long as services are probed."""
    begun = asyncio.Event()

    async def beside() -> None:
        begun.set()

    await two.move(two=100)
    cloud.put("/faults", [{"method": UPDATE, "delay_s": LATE_S, "times": 1}])
    ending = asyncio.ensure_future(gives_all_back(two, two.ledger(), broken(), beside=beside))
    async with asyncio.timeout(30):
        await begun.wait()
    assert not ending.done()
    with pytest.raises(ProofFailed):
        await ending
    assert await two.routed() == {two.one: 100}


async def test_a_release_that_had_no_traffic_yet_keeps_the_words_of_its_error(two: Two) -> None:
    error = broken()
    with pytest.raises(ProofFailed):
        written = {two.place: (two.split(one=100),)}
        async with taken_back_on_failure(two.request, [], [two.candidate], written, two.ledger()):
            raise error
    assert error.state == "as the release left it"


async def test_a_cancelled_release_is_taken_back_without_being_asked_questions(known: Two) -> None:
    ledger = known.ledger()
    with pytest.raises(asyncio.CancelledError):
        await ends(known, known.coming_from(health=BROKEN), ledger, asyncio.CancelledError())
    assert await known.routed() == {known.one: 100}
    assert [target.said for target in ledger.release.targets] == [f"{known.one} serves again"]


async def test_a_release_that_waits_for_a_person_keeps_what_it_has(two: Two) -> None:
    with pytest.raises(Pause):
        await ends(two, two.candidate, two.ledger(), Pause())
    assert await two.routed() == {two.two: 100}


async def test_a_record_that_cannot_be_written_hides_no_error(two: Two) -> None:
    ledger = two.ledger()
    ledger._generation = 7  # somebody else has taken it over
    with pytest.raises(ProofFailed):
        await ends(two, two.candidate, ledger, broken())
    assert await two.routed() == {two.one: 100}


async def test_a_rollback_that_somebody_has_finished_meanwhile_is_not_undone_by_its_own_run(two: Two) -> None:
    """As reconcile does when the run does not mark its record for a while."""
    ledger = two.ledger(action="rollback")
    await ledger.timed("begun", 1)
    other = Ledger(ledger._bucket, ledger._name, ledger.release, ledger._generation)
    await other.settled((), State.RELEASED, "finished")
    with pytest.raises(ProofFailed):
        await ends(two, two.candidate, ledger, broken())
    assert await two.routed() == {two.two: 100}
    assert ledger.stands


async def test_what_a_rollback_gives_back_nobody_finishes(two: Two) -> None:
    ledger = two.ledger(action="rollback")
    await ledger.timed("begun", 1)
    ledger.owe([two.place])
    await ledger.claim()
    [record] = await read_history(ledger._bucket, two.app, "test")
    assert [target.outcome for target in record.targets] == [Outcome.GIVING_BACK]


async def test_a_run_that_ends_late_closes_no_door_that_a_later_release_has_opened() -> None:
    """As where its machine slept meanwhile, and somebody else has given back what it had, and shipped."""
    two = await Two(public=True).made()
    ledger, sent = two.ledger(), Sent()
    sent.add(two.place, {EVERYONE})
    revision = await serves_third(two)
    await access.set_public(two.name, public=True)
    newer = TargetRecord(service="web", region=REGION, revision=revision, public=True, outcome="live")
    await two.ledger(started=a_record("", 2).started, targets=(newer,)).released()
    with pytest.raises(ProofFailed):
        later = partial(but_for_later, two.request, ledger.release)
        await gives_all_back(two, ledger, broken(), sent=sent, later=later)
    assert await access.is_public(two.name)
    assert await two.routed() == {revision: 100}


# ---- cancels and lost answers, at the worst moments ----------------------------------------------------------------


async def held_up(cloud: LocalCloud, method: str) -> None:
    """Holds the next call of the method up for a while, and answers once it has been made."""
    before = cloud.faulted().get(method, 0)
    cloud.put("/faults", [{"method": method, "delay_s": LATE_S, "times": 1}])
    while cloud.faulted().get(method, 0) == before:  # noqa: ASYNC110 - the cloud does not tell
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("error", [broken(), asyncio.CancelledError()], ids=["failed", "cancelled"])
@pytest.mark.parametrize("method", [UPDATE, f"{RUN}/GetService"], ids=["in its write", "in its look"])
async def test_a_cancel_while_it_is_taken_back_keeps_nothing_from_being_given_back(
    two: Two, cloud: LocalCloud, method: str, error: BaseException
) -> None:
    ledger = two.ledger()
    await two.move(two=100)
    ending = asyncio.ensure_future(gives_all_back(two, ledger, error))
    await held_up(cloud, method)
    ending.cancel()
    with suppress(ProofFailed, asyncio.CancelledError):
        await ending
    assert await two.routed() == {two.one: 100}
    await ledger.ended(broken())
    assert not ledger.release.is_open
    assert ledger.release.targets[0].outcome in (Outcome.TAKEN_BACK, Outcome.UNTOUCHED)


async def test_a_give_back_that_was_cut_off_is_owed(two: Two) -> None:
    ledger = two.ledger()
    ledger.owe([two.place])
    await ledger.ended(broken())
    assert ledger.release.is_open
    assert [target.outcome for target in ledger.release.targets] == [Outcome.GIVING_BACK]


async def test_a_release_that_is_cancelled_while_its_record_says_that_it_stands_stands(
    two: Two, cloud: LocalCloud
) -> None:
    ledger = two.ledger()
    ending = asyncio.ensure_future(ends(two, two.candidate, ledger, None))
    await held_up(cloud, "storage.objects.insert")
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    await ledger.ended(broken())
    assert ledger.release.state is State.RELEASED
    assert await two.routed() == {two.two: 100}


async def test_a_release_whose_last_word_is_refused_is_taken_back(two: Two, cloud: LocalCloud) -> None:
    ledger = two.ledger()
    cloud.put("/faults", [{"method": "storage.objects.insert", "code": "PERMISSION_DENIED"}])
    with pytest.raises(SlipwayError):
        await ends(two, two.candidate, ledger, None)
    assert not ledger.stands
    assert await two.routed() == {two.one: 100}


async def test_a_release_whose_record_can_neither_be_written_nor_read_is_left_to_reconcile(
    two: Two, cloud: LocalCloud
) -> None:
    ledger = two.ledger()
    cloud.put("/faults", [{"method": "storage.objects.*", "code": "PERMISSION_DENIED"}])
    with pytest.raises(RecordInDoubt):
        await ends(two, two.candidate, ledger, None)
    assert await two.routed() == {two.two: 100}


async def test_a_write_after_one_whose_answer_was_lost_is_made(two: Two) -> None:
    ledger = two.ledger()
    await ledger.timed("begun", 1)
    arrived = ledger._generation
    await ledger.timed("shifted", 2)
    ledger._generation = arrived  # as if no answer had come
    await ledger.timed("restored", 3)
    assert ledger.release.seconds == {"begun": 1, "shifted": 2, "restored": 3}


async def test_of_two_writes_without_an_answer_it_may_be_the_first_that_has_arrived(
    two: Two, cloud: LocalCloud
) -> None:
    """A release whose record is its own is not called lost."""
    ledger = two.ledger()
    await ledger.timed("begun", 1)
    before = ledger._generation
    await ledger.timed("shifted", 2)
    ledger._generation = before  # as if no answer had come
    cloud.put("/faults", [{"method": "storage.objects.insert", "code": "PERMISSION_DENIED", "times": 1}])
    await ledger.timed("restored", 3)
    await ledger.mark()
    await ledger.timed("verified", 4)
    [record] = await read_history(ledger._bucket, two.app, "test")
    assert record.seconds == {"begun": 1, "shifted": 2, "restored": 3, "verified": 4}
