"""Several things are owed, and one of them cannot be given back: that keeps none of the others from it."""

from __future__ import annotations

from typing import Any

import pytest

from infra.gcp.run import access
from infra.gcp.storage import objects
from tasks.failures.errors import NotReconciled
from tasks.history.job_record import JobRecord
from tasks.history.record import ReleaseRecord, State, TargetRecord
from tasks.history.store import read_history, record_name
from tasks.model import Outcome
from tasks.release.reconcile import settle_abandoned
from tests.conftest import LocalCloud
from tests.tasks.builders import a_record
from tests.tasks.rollout.two import BUCKET, RUN, Two, bucket, neither_faults_nor_logs, two

__all__ = ["bucket", "neither_faults_nor_logs", "two"]  # fixtures
pytestmark = pytest.mark.usefixtures("cloud_env")
GET_JOB = "google.cloud.run.v2.Jobs/GetJob"


async def left(two: Two, number: int, **facts: Any) -> None:
    """A record that is open."""
    known = {"app": two.app, "environment": "test", **facts}
    record = a_record(f"v{number}", number).model_copy(update=known)
    await objects.write_json(BUCKET, record_name(record), record.model_dump(mode="json"), 0)


def owed_traffic(two: Two) -> dict[str, Any]:
    """Of a release whose candidate, revision 2, could not be given back."""
    target = TargetRecord(
        service="web",
        region=two.place.region,
        revision=two.two,
        before=((two.one, 100),),
        serving=two.one,
        outcome=Outcome.FAILED,
    )
    return {"state": State.FAILED, "targets": (target,)}


def owed_job(two: Two) -> dict[str, Any]:
    name = f"{two.name.partition('/services/')[0]}/jobs/{two.app}-tidy"
    return {"jobs": (JobRecord(job="tidy", name=name, outcome=Outcome.FAILED),)}


async def settles(two: Two) -> list[ReleaseRecord]:
    """All records then, the newest first."""
    with pytest.raises(NotReconciled):
        await settle_abandoned.fn(two.request)  # type: ignore[attr-defined]  # the task without Prefect
    return await read_history(BUCKET, two.app, "test")


async def test_a_job_that_a_newer_release_owes_keeps_no_users_on_a_bad_version(two: Two, cloud: LocalCloud) -> None:
    await two.move(two=100)
    await left(two, 1, **owed_traffic(two))
    await left(two, 2, state=State.RELEASED, action="rollback", **owed_job(two))
    cloud.put("/faults", [{"method": "google.cloud.run.v2.Jobs/*", "code": "PERMISSION_DENIED"}])
    newer, older = await settles(two)
    assert (newer.is_open, older.is_open, older.targets[0].outcome) == (True, False, Outcome.TAKEN_BACK)
    assert await two.routed() == {two.one: 100}


async def test_a_service_that_does_not_answer_keeps_no_job_from_being_given_back(two: Two, cloud: LocalCloud) -> None:
    await left(two, 1, **owed_traffic(two), **owed_job(two))
    cloud.put("/faults", [{"method": f"{RUN}/GetService", "code": "PERMISSION_DENIED"}])
    [record] = await settles(two)
    assert (record.is_open, record.targets[0].outcome) == (True, Outcome.FAILED)
    assert not record.jobs[0].is_owed


async def test_a_door_that_cannot_be_closed_stays_owed_though_a_later_release_stands(
    two: Two, cloud: LocalCloud
) -> None:
    await access.set_public(two.name, public=True)
    owed = owed_traffic(two)
    [target] = owed["targets"]
    opened = target.model_copy(update={"public": True, "was_public": False})
    await left(two, 1, **{**owed, "targets": (opened,)})
    later = target.model_copy(update={"revision": two.one, "public": False, "outcome": Outcome.LIVE})
    await left(two, 2, state=State.RELEASED, action="rollback", targets=(later,))
    cloud.put("/faults", [{"method": f"{RUN}/SetIamPolicy", "code": "PERMISSION_DENIED"}])
    _, older = await settles(two)
    assert (older.is_open, older.targets[0].outcome) == (True, Outcome.FAILED)
    cloud.put("/faults", [])
    await settle_abandoned.fn(two.request)  # type: ignore[attr-defined]
    assert not await access.is_public(two.name)


async def test_a_job_that_is_owed_keeps_no_rollback_waiting(two: Two, cloud: LocalCloud) -> None:
    await left(two, 1, state=State.RELEASED, action="rollback", **owed_job(two))
    before = cloud.calls().get(GET_JOB, 0)
    assert await settle_abandoned.fn(two.request, hurries=True) == 0  # type: ignore[attr-defined]
    assert cloud.calls().get(GET_JOB, 0) == before
    [record] = await read_history(BUCKET, two.app, "test")
    assert record.is_open
    assert await settle_abandoned.fn(two.request) == 1  # type: ignore[attr-defined]
