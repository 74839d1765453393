"""Worker pools that a rollback brings back, and what it gives back of them when it does not stand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest

from infra.gcp.run.worker_pools import RunPool
from tasks.history.pool_record import PoolRecord
from tasks.model import Outcome, Request
from tasks.rollout.pools_back import bring_pool, give_pool_back, owed_pool
from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_run import new_name
from tests.tasks.rollout.test_pools import now, quiet, released, request_of

__all__ = ["quiet"]  # fixture
pytestmark = pytest.mark.usefixtures("cloud_env", "quiet")
UNREADABLE = {"method": "google.cloud.run.v2.WorkerPools/GetWorkerPool", "times": 1, "code": "PERMISSION_DENIED"}
UPDATE, LATE_S = "google.cloud.run.v2.WorkerPools/UpdateWorkerPool", 0.7
ANOTHER_RUN = "00000000-0000-0000-0000-0000000000ff"


@pytest.fixture(autouse=True)
def no_faults(cloud: LocalCloud) -> Iterator[None]:
    yield
    cloud.put("/faults", [])


async def there(request: Request) -> RunPool:
    pool = await now(request)
    assert pool is not None
    return pool


async def unread(cloud: LocalCloud, wanted: PoolRecord) -> PoolRecord:
    """What a rollback notes of a pool that it cannot read."""
    cloud.put("/faults", [UNREADABLE])
    owed = await owed_pool(wanted)
    cloud.put("/faults", [])
    return owed


async def test_a_pool_that_could_not_be_read_keeps_its_instances_when_the_rollback_is_undone(cloud: LocalCloud) -> None:
    """It is of that release already: to call it new would leave it with no instances."""
    request = request_of(new_name("app"), "one", "scaling: 2")
    first = await released(request, "v1.0.0")
    owed = await unread(cloud, first)
    ending = await give_pool_back(owed, ANOTHER_RUN)
    live = await there(request)
    assert (live.asked, live.instances) == ({first.revision: 100}, 2)
    assert ending.outcome is Outcome.LEFT
    assert ending.said == "nobody knows what it was before: it could not be read then"


async def test_one_that_the_rollback_had_not_come_to_is_untouched(cloud: LocalCloud) -> None:
    app = new_name("app")
    first = await released(request_of(app, "one", "scaling: 2"), "v1.0.0")
    request = request_of(app, "two", "scaling: 2")
    second = await released(request, "v1.1.0")
    ending = await give_pool_back(await unread(cloud, first), ANOTHER_RUN)
    live = await there(request)
    assert (live.asked, live.instances) == ({second.revision: 100}, 2)
    assert (ending.outcome, ending.said) == (Outcome.UNTOUCHED, "it was not written")


async def test_one_that_could_not_be_read_at_first_goes_back_all_the_same(cloud: LocalCloud) -> None:
    app = new_name("app")
    first = await released(request_of(app, "one", "scaling: 2"), "v1.0.0")
    request = request_of(app, "two", "scaling: 3")
    await released(request, "v1.1.0")
    ending = await bring_pool(await unread(cloud, first))
    assert (ending.outcome, ending.said) == (Outcome.LIVE, "it is of this release again")
    live = await there(request)
    assert (live.asked, live.instances) == ({first.revision: 100}, 2)


async def test_a_pool_that_a_rollback_did_not_find_is_not_its_to_leave_without_instances(cloud: LocalCloud) -> None:
    """Somebody has made it since; the same is read of records that said so of a pool that could not be read."""
    request = request_of(new_name("app"), "one", "scaling: 2")
    first = await released(request, "v1.0.0")
    gone = first.model_copy(update={"existed": False, "outcome": Outcome.GIVING_BACK, "before": (), "stands_for": ""})
    ending = await give_pool_back(gone, ANOTHER_RUN)
    assert ((await there(request)).instances, ending.outcome) == (2, Outcome.LEFT)


async def test_a_write_that_is_carried_out_after_its_caller_has_gone_does_not_win(cloud: LocalCloud) -> None:
    app = new_name("app")
    first = await released(request_of(app, "one", "scaling: 2"), "v1.0.0")
    request = request_of(app, "two", "scaling: 2")
    second, so_far = await released(request, "v1.1.0"), cloud.faulted().get(UPDATE, 0)
    owed = await owed_pool(first)
    cloud.put("/faults", [{"method": UPDATE, "drop": "late", "delay_s": LATE_S, "times": 1}])
    writing = asyncio.ensure_future(bring_pool(owed))
    while cloud.faulted().get(UPDATE, 0) == so_far:  # noqa: ASYNC110 - the cloud does not tell
        await asyncio.sleep(0.02)
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing
    ending = await give_pool_back(owed, ANOTHER_RUN)
    assert ending.outcome in (Outcome.UNTOUCHED, Outcome.TAKEN_BACK)  # on a slow machine it has arrived by then
    await asyncio.sleep(LATE_S)
    assert (await there(request)).asked == {second.revision: 100}
