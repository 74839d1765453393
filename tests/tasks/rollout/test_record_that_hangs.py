"""A record whose write hangs keeps nobody from going back: the write goes on beside, or reconcile does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from tasks.failures.errors import ProofFailed
from tasks.history.ledger import Ledger
from tasks.history.record import ReleaseRecord
from tasks.history.step_record import HookRecord, StepRecord
from tasks.history.store import read_history
from tasks.model import Outcome, Proof, Verdict
from tasks.rollout.restore import taken_back_on_failure
from tests.conftest import LocalCloud
from tests.tasks.rollout.two import Two, bucket, neither_faults_nor_logs, two

__all__ = ["bucket", "neither_faults_nor_logs", "two"]  # fixtures
pytestmark = pytest.mark.usefixtures("cloud_env")

INSERT = "storage.objects.insert"
NOW = datetime(2026, 7, 1, tzinfo=UTC)
HOOK = HookRecord(name="smoke", when="after", began=NOW, seconds=1)
BAD_STEP = StepRecord(percent=5, regions=(), began=NOW, ended=NOW, verdict=Verdict.UNHEALTHY, reason="it fails")


async def begun(two: Two) -> Ledger:
    """A release whose candidate has all traffic."""
    ledger = two.ledger()
    await ledger.timed("begun", 1)
    await two.move(two=100)
    return ledger


async def record_of(two: Two) -> ReleaseRecord:
    [found] = await read_history(two.request.settings.bucket, two.app, "test")
    return found


async def hangs(cloud: LocalCloud) -> int:
    """Every write into the bucket, for longer than anybody waits; answers how many had met a fault before."""
    cloud.put("/faults", [{"method": INSERT, "delay_s": 30.0}])
    return cloud.faulted().get(INSERT, 0)


@pytest.mark.faults
async def test_a_release_that_is_cancelled_while_its_record_hangs_is_taken_back_at_once(
    two: Two, cloud: LocalCloud
) -> None:
    ledger, before = await begun(two), await hangs(cloud)

    async def releases() -> None:
        async with taken_back_on_failure(two.request, [], [two.candidate], {two.place: (two.split(two=100),)}, ledger):
            await ledger.hooked(HOOK)

    running = asyncio.ensure_future(releases())
    while cloud.faulted().get(INSERT, 0) == before:  # noqa: ASYNC110 - the cloud does not tell
        await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await record_of(two)).hooks == ()  # it hangs still
    assert await two.routed() == {two.one: 100}

    cloud.put("/faults", [])
    await ledger.ended(ProofFailed("it does not work", "mend it"))
    record = await record_of(two)
    assert (record.is_open, record.hooks, record.targets[0].outcome) == (False, (HOOK,), Outcome.TAKEN_BACK)


@pytest.mark.faults
async def test_nobody_waits_for_a_record_to_say_that_a_candidate_is_bad(two: Two, cloud: LocalCloud) -> None:
    ledger, _ = await begun(two), await hangs(cloud)
    await ledger.stepped(BAD_STEP)
    await ledger.proven([Proof(two.place, Verdict.UNHEALTHY, "it fails")])
    assert (await record_of(two)).steps == ()  # it hangs still
    cloud.put("/faults", [])
    await ledger.ended(ProofFailed("it does not work", "mend it"))
    record = await record_of(two)
    assert (record.steps, record.targets[0].verdict) == ((BAD_STEP,), Verdict.UNHEALTHY)


async def test_a_record_that_cannot_be_written_is_not_why_a_bad_candidate_is_refused(
    two: Two, cloud: LocalCloud
) -> None:
    ledger = await begun(two)
    cloud.put("/faults", [{"method": INSERT, "code": "PERMISSION_DENIED"}])
    await ledger.stepped(BAD_STEP)
    await ledger.proven([Proof(two.place, Verdict.UNHEALTHY, "it fails")])
    cloud.put("/faults", [])
    await ledger.ended(ProofFailed("it does not work", "mend it"))
    assert (await record_of(two)).steps == (BAD_STEP,)
