"""A release under way shows that it lives, and a beat changes nothing of what its record says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest
from prefect.logging import disable_run_logger

from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage import buckets, objects
from tasks.failures.errors import RecordLost
from tasks.history.heartbeat import beat, beating, is_alive
from tasks.history.ledger import Ledger
from tasks.history.record import State
from tasks.history.store import read_one, record_name
from tests.conftest import PROJECT, LocalCloud, environment
from tests.infra.emulator.emulated_run import new_name
from tests.tasks.builders import a_record

pytestmark = pytest.mark.usefixtures("cloud_env")
BUCKET = "slipway-heartbeats"
PATCH = "storage.objects.patch"
OFTEN_S = 0.02


@pytest.fixture(autouse=True, scope="module")
async def bucket(cloud: LocalCloud) -> None:
    with environment(cloud.env):
        await buckets.create_bucket(BUCKET, PROJECT, "europe-west1", {})


@pytest.fixture(autouse=True)
def neither_faults_nor_logs(cloud: LocalCloud) -> Iterator[None]:
    with disable_run_logger():  # no test here is a run
        yield
    cloud.put("/faults", [])


@pytest.fixture
async def ledger() -> AsyncIterator[Ledger]:
    """Of a release under way, whose record has been written once."""
    release = a_record("v1.0.0", 1, state=State.STARTED).model_copy(update={"app": new_name("beat")})
    ledger = Ledger(BUCKET, record_name(release), release, 0)
    await ledger.timed("begun", 1)
    yield ledger


def another(ledger: Ledger) -> Ledger:
    """As somebody else reads it who takes it over."""
    return Ledger(BUCKET, ledger._name, ledger.release, ledger._generation)


async def kept(ledger: Ledger) -> object:
    found = await read_one(BUCKET, ledger._name)
    assert found is not None
    return found


async def test_a_mark_changes_neither_what_the_record_says_nor_its_generation(ledger: Ledger) -> None:
    before, age = await kept(ledger), await objects.age_of(BUCKET, ledger._name)
    await ledger.mark()
    assert await kept(ledger) == before
    after = await objects.age_of(BUCKET, ledger._name)
    assert age is not None
    assert after == (age[0], age[1] + 1)
    await ledger.timed("shifted", 2)  # a mark stands in nobody's way


async def test_a_mark_does_not_undo_what_somebody_else_has_written(ledger: Ledger) -> None:
    theirs = another(ledger)
    await theirs.settled((), State.FAILED, "its run is gone")
    written = await kept(ledger)
    with pytest.raises(GoogleError) as refused:
        await ledger.mark()
    assert refused.value.status == "FAILED_PRECONDITION"
    assert await kept(ledger) == written


async def test_a_mark_after_a_write_whose_answer_was_lost_is_made(ledger: Ledger) -> None:
    older = ledger._generation
    await ledger.timed("shifted", 2)
    ledger._generation = older  # as if no answer had come
    await ledger.mark()
    await ledger.timed("restored", 3)


async def test_a_run_whose_record_somebody_else_has_closed_ends(ledger: Ledger) -> None:
    with pytest.raises(RecordLost, match=r"Somebody else has closed the record of v1\.0\.0"):
        async with beating(ledger.mark, "v1.0.0", OFTEN_S):
            await another(ledger).settled((), State.FAILED, "its run is gone")
            await asyncio.Event().wait()


async def test_a_run_whose_record_is_gone_ends(ledger: Ledger) -> None:
    await objects.delete_object(BUCKET, ledger._name, None)
    async with asyncio.timeout(30):
        await beat(ledger.mark, OFTEN_S)


async def test_a_run_that_is_cancelled_is_not_said_to_have_lost_its_record(ledger: Ledger) -> None:
    async def work() -> None:
        async with beating(ledger.mark, "v1.0.0", OFTEN_S):
            await asyncio.Event().wait()

    running = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_mark_that_fails_ends_nothing_and_is_made_again(ledger: Ledger, cloud: LocalCloud) -> None:
    before = cloud.calls().get(PATCH, 0)
    cloud.put("/faults", [{"method": PATCH, "code": "PERMISSION_DENIED", "times": 1}])
    async with beating(ledger.mark, "v1.0.0", OFTEN_S):
        while cloud.calls().get(PATCH, 0) < before + 2:  # noqa: ASYNC110 - the cloud does not tell
            await asyncio.sleep(OFTEN_S)


async def test_whether_somebody_is_at_work_is_told_by_marks_and_by_writes(ledger: Ledger) -> None:
    reader = another(ledger)
    assert not await is_alive(BUCKET, reader._name, reader._generation, 0.1)
    looking = asyncio.ensure_future(is_alive(BUCKET, reader._name, reader._generation, 1))
    while not looking.done():
        with suppress(GoogleError):
            await ledger.mark()
    assert looking.result()
    await ledger.timed("shifted", 2)  # before the look, but after it was read
    assert await is_alive(BUCKET, reader._name, reader._generation, 0.1)
    await objects.delete_object(BUCKET, reader._name, None)
    assert not await is_alive(BUCKET, reader._name, reader._generation, 0.1)
