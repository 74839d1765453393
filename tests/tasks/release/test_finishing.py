"""A rollback whose run dies, or is cancelled, when it has moved traffic is finished and not undone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, get_client
from prefect.client.schemas.objects import State as RunState
from prefect.runtime import flow_run
from prefect.states import Crashed

from infra.gcp.calls.attempts import READ
from infra.gcp.run import access, services
from infra.gcp.run.members import EVERYONE
from infra.gcp.storage import objects
from tasks.analysis.probes import ANSWERS
from tasks.history.job_record import JobRecord
from tasks.history.ledger import Ledger
from tasks.history.record import ReleaseRecord, State, TargetRecord, kept_health
from tasks.history.store import read_history, record_name
from tasks.manifest.settings import Health
from tasks.model import Outcome, Verdict
from tasks.release.reconcile import is_moving, settle_abandoned
from tasks.release.release import to_the_end
from tests.conftest import LocalCloud
from tests.tasks.builders import a_record, a_target
from tests.tasks.rollout.two import (
    BROKEN,
    BUCKET,
    REGION,
    RUN,
    Two,
    bucket,
    neither_faults_nor_logs,
    says,
    serves_third,
    two,
)

__all__ = ["bucket", "neither_faults_nor_logs", "two"]  # fixtures

pytestmark = pytest.mark.usefixtures("prefect", "bucket")
Facts = Mapping[str, Any]
NOTHING: Facts = {}
ALL, INTERNAL = "INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY"
ADA, BOB = "user:ada@example.com", "user:bob@example.com"


async def set_ingress(two: Two, ingress: str) -> None:
    body = {"name": two.name, "etag": (await two.live()).service.etag, "ingress": ingress}
    await services.update_service(body, ["ingress"], 60)


async def a_dead_run() -> str:
    @flow(name="rollback")
    async def rollback() -> str:
        return str(flow_run.id)

    run_id = await rollback()
    async with get_client() as client:
        state: RunState[Any] = Crashed(message="killed")
        await client.set_flow_run_state(UUID(run_id), state, force=True)
    return run_id


async def left(two: Two, health: Health = ANSWERS, target: Facts = NOTHING, **facts: Any) -> ReleaseRecord:
    """What a rollback from revision 1 to revision 2 leaves that is killed, once it is settled. target: more of it."""
    known: dict[str, Any] = {
        "service": "web",
        "region": two.place.region,
        "revision": two.two,
        "before": ((two.one, 100),),
        "serving": two.one,
        "verdict": Verdict.HEALTHY,
        "health": kept_health(health),
    }
    targets = (TargetRecord(**{**known, **target}),)
    given = {"action": "rollback", "state": State.STARTED, "targets": targets, "run_id": await a_dead_run(), **facts}
    record = a_record("v1", 1).model_copy(update={"app": two.app, "environment": "test", **given})
    await objects.write_json(BUCKET, record_name(record), record.model_dump(mode="json"), 0)

    @flow(name="reconcile")
    async def reconcile() -> int:
        return await settle_abandoned(two.request)

    assert await reconcile() == 1
    return (await read_history(BUCKET, two.app, "test"))[-1]


@pytest.mark.parametrize("moved", [100, 50], ids=["wholly", "in a part"])
async def test_what_a_killed_rollback_has_moved_stays_and_the_rest_follows(two: Two, moved: int) -> None:
    await two.move(two=moved, one=100 - moved)
    record = await left(two)
    assert (record.state, record.is_open, record.targets[0].outcome) == (State.RELEASED, False, "live")
    assert await two.routed() == {two.two: 100}


async def test_where_nothing_was_moved_yet_nothing_is_moved(two: Two) -> None:
    assert (await left(two)).state is State.FAILED
    assert await two.routed() == {two.one: 100}


async def test_one_to_what_is_not_healthy_any_more_is_undone(two: Two) -> None:
    await two.move(two=100)
    assert (await left(two, BROKEN)).state is State.FAILED
    assert await two.routed() == {two.one: 100}


async def test_a_release_that_was_killed_is_taken_back_however_healthy_it_is(two: Two) -> None:
    await two.move(two=100)
    assert (await left(two, action="deploy")).state is State.FAILED
    assert await two.routed() == {two.one: 100}


async def test_what_cannot_be_asked_for_a_moment_is_asked_again_and_undoes_nothing(two: Two, cloud: LocalCloud) -> None:
    await two.move(two=100)
    both = 2 * READ.count  # the candidate, and what it is compared with
    cloud.put("/faults", [{"method": f"{RUN}/GetIamPolicy", "code": "UNAVAILABLE", "times": both}])
    assert (await left(two)).state is State.RELEASED
    assert await two.routed() == {two.two: 100}


async def test_a_door_that_a_dead_run_has_opened_is_closed_also_where_a_stranger_has_moved_the_traffic(
    two: Two,
) -> None:
    await serves_third(two)
    was, whole = {"ingress": INTERNAL}, {"ingress": ALL}
    record = await left(two, target={"was_whole": was, "whole": whole}, action="deploy")
    assert record.targets[0].outcome is Outcome.LEFT
    assert (await two.live()).service.whole["ingress"] == INTERNAL


async def test_who_may_call_stays_as_a_later_release_has_it_when_an_earlier_one_is_settled(two: Two) -> None:
    """A rollback goes on in spite of what could not be given back."""
    third = await serves_third(two)
    await access.set_public(two.name, public=True)
    later = TargetRecord(service="web", region=REGION, revision=third, public=True, outcome="live")
    await two.ledger(action="rollback", started=a_record("", 2).started, targets=(later,)).released()
    owed = {"outcome": Outcome.FAILED, "public": True, "was_public": False}
    record = await left(two, target=owed, action="deploy", state=State.FAILED)
    [target] = record.targets
    assert (record.is_open, target.outcome, target.said) == (False, Outcome.LEFT, "a later release has brought it")
    assert await access.is_public(two.name)


async def test_a_door_that_only_an_earlier_release_has_opened_is_closed_though_a_later_one_stands(two: Two) -> None:
    """A rollback could not settle what was owed, and has taken the open door for somebody else's."""
    await access.let_in(two.name, [EVERYONE, ADA, BOB])
    await set_ingress(two, ALL)
    later = TargetRecord(service="web", region=REGION, revision=two.one, public=False, invokers=(ADA,), outcome="live")
    await two.ledger(action="rollback", started=a_record("", 2).started, targets=(later,)).released()
    opened = {"public": True, "was_public": False, "invokers": (ADA, BOB)}
    whole = {"was_whole": {"ingress": INTERNAL}, "whole": {"ingress": ALL}}
    record = await left(two, target={"outcome": Outcome.FAILED, **opened, **whole}, action="deploy", state=State.FAILED)
    [target] = record.targets
    assert (record.is_open, target.outcome) == (False, Outcome.LEFT)
    assert target.said == "a later release has brought it, open to its callers as before, ingress as before"
    assert await access.invokers(two.name) == {ADA}
    assert (await two.live()).service.whole["ingress"] == INTERNAL


async def test_what_a_later_release_says_of_the_service_stays_when_an_earlier_one_is_settled(two: Two) -> None:
    await set_ingress(two, ALL)
    template = {"annotations": says("service.ingress")}
    later = TargetRecord(service="web", region=REGION, revision=two.one, template=template, whole={"ingress": ALL})
    await two.ledger(action="rollback", started=a_record("", 2).started, targets=(later,)).released()
    whole = {"was_whole": {"ingress": INTERNAL}, "whole": {"ingress": ALL}}
    await left(two, target={"outcome": Outcome.FAILED, **whole}, action="deploy", state=State.FAILED)
    assert (await two.live()).service.whole["ingress"] == ALL


async def test_a_job_stays_as_a_later_release_has_it_when_an_earlier_one_is_settled(two: Two) -> None:
    job = JobRecord(job="tidy", name=f"{two.name.partition('/services/')[0]}/jobs/{two.app}-tidy", outcome="live")
    await two.ledger(action="deploy", started=a_record("", 2).started, jobs=(job,)).released()
    owed = job.model_copy(update={"outcome": Outcome.FAILED})
    record = await left(two, action="deploy", state=State.FAILED, jobs=(owed,))
    [settled] = record.jobs
    assert (record.is_open, settled.outcome, settled.said) == (False, Outcome.LEFT, "a later release has brought it")


@pytest.mark.parametrize(
    ("changes", "moving"),
    [
        ({}, True),
        ({"action": "deploy"}, False),
        ({"state": State.CANCELLED}, False),
        ({"targets": ()}, False),
        ({"targets": (a_target("api", "api-v1"),)}, False),
    ],
    ids=["proven", "a deploy", "ended", "nowhere", "not proven"],
)
def test_only_a_proven_rollback_that_is_under_way_may_have_moved_traffic(
    changes: dict[str, object], moving: bool
) -> None:
    proven = a_target("api", "api-v1").model_copy(update={"verdict": Verdict.HEALTHY})
    record = a_record("v1", 1, action="rollback", state=State.STARTED, targets=(proven,))
    assert is_moving(record.model_copy(update=changes)) is moving


async def ledger_of(two: Two) -> Ledger:
    ledger = two.ledger()
    await ledger.timed("restored", 1.0)
    return ledger


@pytest.mark.parametrize("everything", [False, True], ids=["the run alone", "all that is under way"])
async def test_whoever_cancels_a_rollback_when_traffic_is_restored_learns_of_it_when_it_stands(
    two: Two, everything: bool
) -> None:
    ledger, begun = await ledger_of(two), asyncio.Event()
    running: list[asyncio.Task[Any]] = []

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append(task)
        begun.set()
        await asyncio.sleep(0.1)  # as verifying takes a while
        await ledger.released()

    rollback = asyncio.ensure_future(to_the_end(work, ledger))
    await begun.wait()
    for each in (rollback, *(running if everything else ())):
        each.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rollback
    assert ledger.stands
