"""A rollback's jobs: owed before traffic moves, never a reason to keep traffic from going back, and not forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import pytest
from prefect import flow

from infra.gcp.run import jobs
from infra.gcp.run.jobs import RunJob
from infra.gcp.storage import objects
from tasks.failures.errors import NotReconciled, SlipwayError
from tasks.history.job_record import JobRecord
from tasks.history.ledger import Ledger
from tasks.history.record import ReleaseRecord, State, TargetRecord, kept_health
from tasks.history.store import read_history, record_name
from tasks.model import Outcome, Verdict
from tasks.release.reconcile import settle_abandoned
from tasks.release.release import go_back
from tasks.rollout.job import desired_job, recorded_job
from tasks.rollout.jobs import from_then
from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_run import HELLO
from tests.tasks.builders import a_record, a_version
from tests.tasks.release.test_finishing import a_dead_run
from tests.tasks.rollout.two import BUCKET, LATE_S, REGION, UPDATE, Two, bucket

__all__ = ["bucket"]  # fixture
pytestmark = pytest.mark.usefixtures("prefect", "bucket")
JOBS = "google.cloud.run.v2.Jobs/*"
GET_JOB, UPDATE_JOB = ("google.cloud.run.v2.Jobs/GetJob", "google.cloud.run.v2.Jobs/UpdateJob")
ONCE = settle_abandoned.fn  # type: ignore[attr-defined]  # the task without its retries
DENIED = {"code": "PERMISSION_DENIED"}


class Image:
    """Google's own, which has no digest here."""

    reference = HELLO


class Back:
    """Revision 2 serves, and its release has changed the job; the rollback is to revision 1 and the job of then."""

    two: Two
    target: ReleaseRecord
    ledger: Ledger
    then: RunJob

    async def made(self) -> Back:
        self.two = await Two(known=True, jobs="{tidy: {env: {MODE: as-it-was}}}").made()
        await self.two.move(two=100)
        self.then = await self.ships("v1.0.0", None)
        await self.ships("v1.1.0", self.then)
        kept = recorded_job(self.then.template)
        job = JobRecord(job="tidy", name=self.then.name, template=kept, labels=dict(self.then.labels))
        service = TargetRecord(
            service="web",
            region=REGION,
            revision=self.two.one,
            image=HELLO,
            health=kept_health(self.two.candidate.health),
        )
        self.target = self.record("v1.0.0", 1, targets=(service,), jobs=(job,))
        return self

    async def ships(self, version: str, over: RunJob | None) -> RunJob:
        """The job as a release of this version writes it."""
        request = self.two.request
        image: Any = Image()
        template = desired_job(request, a_version(version), image, "tidy", {}, over)
        return await jobs.write_job(request.run_job("tidy"), template, request.labels, over, 60)

    def record(self, version: str, day: int, **facts: Any) -> ReleaseRecord:
        own = {"app": self.two.app, "environment": "test", **facts}
        return a_record(version, day).model_copy(update=own)

    async def goes_back(self) -> None:
        self.ledger = self.two.ledger(version="v1.0.0", action="rollback", left="v1.1.0")

        @flow(name="rollback")
        async def rollback() -> None:
            await go_back(self.two.request, self.target, self.ledger, datetime.now(UTC))

        await rollback()

    async def leaves(self, *records: ReleaseRecord) -> None:
        for record in records:
            await objects.write_json(BUCKET, record_name(record), record.model_dump(mode="json"), 0)

    async def reconciled(self, *, deploys: bool = False) -> int:
        @flow(name="reconcile")
        async def reconcile() -> int:
            settled: int = await ONCE(self.two.request, deploys=deploys)
            return settled

        return await reconcile()

    async def newest(self) -> ReleaseRecord:
        return (await self.history())[0]

    async def history(self) -> list[ReleaseRecord]:
        return await read_history(BUCKET, self.two.app, "test")

    async def job(self) -> RunJob:
        found = await jobs.get_job(self.then.name)
        assert found is not None
        return found

    async def version(self) -> str:
        """Of the job, as its template says."""
        return str((await self.job()).template["labels"]["slipway-version"])


@pytest.fixture
async def back(prefect: None) -> Back:
    return await Back().made()


@pytest.fixture(autouse=True)
def no_faults(cloud: LocalCloud) -> Iterator[None]:
    yield
    cloud.put("/faults", [])


async def held_up(cloud: LocalCloud, method: str, *others: Mapping[str, object], skip: int = 0) -> None:
    """Until a call of the method is held up, for a while; the others are faults besides."""
    before = cloud.faulted().get(method, 0)
    held = {"method": method, "delay_s": LATE_S, "times": 1, "skip": skip}
    cloud.put("/faults", [held, *others])
    while cloud.faulted().get(method, 0) == before:  # noqa: ASYNC110 - the cloud does not tell
        await asyncio.sleep(0.02)


async def cancelled(running: asyncio.Future[None]) -> None:
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_the_jobs_are_what_they_were_and_the_record_says_so(back: Back) -> None:
    await back.goes_back()
    assert await back.two.routed() == {back.two.one: 100}
    assert await back.version() == "v1_0_0"
    newest = await back.newest()
    assert (newest.state, newest.is_open, newest.jobs[0].outcome) == (State.RELEASED, False, Outcome.LIVE)


async def test_they_are_owed_before_traffic_moves(back: Back, cloud: LocalCloud) -> None:
    going = asyncio.ensure_future(back.goes_back())
    await held_up(cloud, UPDATE, skip=1)  # the first write gives the revision its tag
    [owed] = (await back.newest()).jobs
    assert (owed.outcome, owed.is_owed) == (Outcome.GIVING_BACK, True)
    assert owed.template == back.target.jobs[0].template
    assert owed.before is not None
    assert owed.before["labels"]["slipway-version"] == "v1_1_0"
    await going


async def test_where_traffic_cannot_move_they_stay_as_they_are(back: Back, cloud: LocalCloud) -> None:
    cloud.put("/faults", [{"method": UPDATE, "skip": 1, "times": 1, **DENIED}])
    with pytest.raises(SlipwayError):
        await back.goes_back()
    assert await back.two.routed() == {back.two.two: 100}
    assert (await back.version(), back.ledger.release.jobs[0].outcome) == ("v1_1_0", Outcome.UNTOUCHED)


async def test_one_that_cannot_be_read_or_written_keeps_no_traffic_from_going_back(
    back: Back, cloud: LocalCloud
) -> None:
    cloud.put("/faults", [{"method": JOBS, **DENIED}])
    await back.goes_back()
    assert await back.two.routed() == {back.two.one: 100}
    newest = await back.newest()
    assert (newest.state, newest.is_open, newest.jobs[0].outcome) == (State.RELEASED, True, Outcome.FAILED)
    cloud.put("/faults", [])
    assert await back.reconciled() == 1
    newest = await back.newest()
    assert (await back.version(), newest.is_open, newest.jobs[0].outcome) == ("v1_0_0", False, Outcome.LIVE)


async def test_one_that_could_not_be_read_is_not_said_to_have_been_made_by_the_rollback(
    back: Back, cloud: LocalCloud
) -> None:
    cloud.put(
        "/faults", [{"method": GET_JOB, "times": 1, **DENIED}, {"method": UPDATE, "skip": 1, "times": 1, **DENIED}]
    )
    with pytest.raises(SlipwayError):
        await back.goes_back()
    [job] = back.ledger.release.jobs
    assert (job.outcome, job.said, await back.version()) == (Outcome.UNTOUCHED, "it was not written", "v1_1_0")


async def test_who_cancels_while_they_are_read_has_no_traffic_moved(back: Back, cloud: LocalCloud) -> None:
    going = asyncio.ensure_future(back.goes_back())
    await held_up(cloud, GET_JOB)
    await cancelled(going)
    assert (await back.two.routed(), await back.version()) == ({back.two.two: 100}, "v1_1_0")
    assert not back.ledger.stands


async def test_who_cancels_while_they_are_written_does_not_undo_what_is_restored(back: Back, cloud: LocalCloud) -> None:
    going = asyncio.ensure_future(back.goes_back())
    await held_up(cloud, UPDATE_JOB)
    await cancelled(going)
    assert (await back.two.routed(), await back.version()) == ({back.two.one: 100}, "v1_0_0")
    newest = await back.newest()
    assert (newest.state, newest.is_open) == (State.RELEASED, False)


async def left_by_a_killed_run(back: Back) -> None:
    """When it had moved traffic and written no job."""
    await back.two.move(one=100)
    [service], [job] = back.target.targets, back.target.jobs
    moving = service.model_copy(
        update={"before": ((back.two.two, 100),), "serving": back.two.two, "verdict": Verdict.HEALTHY}
    )
    facts = {"action": "rollback", "state": State.STARTED, "left": "v1.1.0", "run_id": await a_dead_run()}
    record = back.record("v1.0.0", 5, targets=(moving,), jobs=(from_then(job, await back.job()),), **facts)
    await back.leaves(record)


async def test_a_rollback_that_was_killed_when_it_had_moved_traffic_brings_its_jobs_back_too(back: Back) -> None:
    await left_by_a_killed_run(back)
    assert await back.reconciled() == 1
    newest = await back.newest()
    assert (newest.state, newest.is_open, newest.jobs[0].outcome) == (State.RELEASED, False, Outcome.LIVE)
    assert (await back.two.routed(), await back.version()) == ({back.two.one: 100}, "v1_0_0")


async def test_one_whose_traffic_is_finished_and_whose_jobs_are_not_stays_open_for_them(
    back: Back, cloud: LocalCloud
) -> None:
    await left_by_a_killed_run(back)
    cloud.put("/faults", [{"method": UPDATE_JOB, **DENIED}])
    await back.reconciled()
    newest = await back.newest()
    assert (newest.state, newest.is_open, newest.jobs[0].outcome) == (State.RELEASED, True, Outcome.FAILED)
    cloud.put("/faults", [])
    assert await back.reconciled() == 1
    assert (await back.version(), (await back.newest()).is_open) == ("v1_0_0", False)


async def owes(back: Back, *, known: bool = True) -> None:
    """A rollback that stands, whose job could not be brought back. known: it could be read at least."""
    live = await back.job() if known else None
    facts = {"outcome": Outcome.FAILED, "unread": not known}
    owed = from_then(back.target.jobs[0], live).model_copy(update=facts)
    await back.leaves(back.record("v1.0.0", 5, action="rollback", jobs=(owed,)))


async def test_a_job_that_a_rollback_could_not_bring_back_stops_no_deploy(back: Back, cloud: LocalCloud) -> None:
    await owes(back)
    cloud.put("/faults", [{"method": UPDATE_JOB, **DENIED}])
    assert await back.reconciled(deploys=True) == 1
    assert (await back.newest()).is_open


@pytest.mark.parametrize("deploys", [True, False])
async def test_a_job_that_a_release_could_not_give_back_stops_none_either(
    back: Back, cloud: LocalCloud, *, deploys: bool
) -> None:
    """Its traffic is settled, and for the job the record stays open."""
    before, now = back.target.jobs[0], await back.job()
    owed = JobRecord(
        job="tidy", name=now.name, before=before.template, template=recorded_job(now.template), outcome=Outcome.FAILED
    )
    run_id = await a_dead_run()
    await back.leaves(back.record("v1.1.0", 5, state=State.STARTED, run_id=run_id, targets=(), jobs=(owed,)))
    cloud.put("/faults", [{"method": UPDATE_JOB, **DENIED}])
    with nullcontext() if deploys else pytest.raises(NotReconciled, match="the job tidy could not be made"):
        await back.reconciled(deploys=deploys)
    newest = await back.newest()
    assert (newest.state, newest.is_open, newest.jobs[0].outcome) == (State.FAILED, True, Outcome.FAILED)


@pytest.mark.parametrize("known", [True, False], ids=["read by the rollback", "not read by it"])
async def test_an_old_debt_of_a_job_is_not_written_over_a_later_release(back: Back, *, known: bool) -> None:
    await owes(back, known=known)
    later = await back.ships("v2.0.0", await back.job())
    kept = JobRecord(
        job="tidy",
        name=later.name,
        template=recorded_job(later.template),
        labels=dict(later.labels),
        outcome=Outcome.LIVE,
    )
    await back.leaves(back.record("v2.0.0", 6, jobs=(kept,)))
    assert await back.reconciled() == 1
    assert await back.version() == "v2_0_0"
    newest, debt, *_ = await back.history()
    assert (newest.version, debt.is_open, debt.jobs[0].outcome) == ("v2.0.0", False, Outcome.LEFT)
