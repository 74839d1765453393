"""A rollback that has moved traffic, and then meets what passes, is not undone: reconcile finishes it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from prefect import flow

from infra.gcp.run import access
from infra.gcp.run.members import EVERYONE
from tasks.analysis.probes import ANSWERS
from tasks.failures.cause import Cause, Transient
from tasks.failures.errors import (
    CloudError,
    NotReconciled,
    ProofFailed,
    RecordInDoubt,
    SlipwayError,
    TookTooLong,
    TrafficConflict,
)
from tasks.history.record import State, TargetRecord, kept_health
from tasks.history.store import read_history
from tasks.model import Place, Proof, Verdict
from tasks.release.reconcile import settle_abandoned
from tasks.release.release import go_back
from tasks.release.unfinished import finished_later, passes, refuse_unproven_elsewhere
from tasks.rollout.restore import taken_back_on_failure
from tasks.rollout.sent import Written
from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_run import HELLO
from tests.tasks.builders import a_record
from tests.tasks.release.test_finishing import a_dead_run
from tests.tasks.rollout.two import BUCKET, REGION, RUN, Two, bucket, neither_faults_nor_logs, two

__all__ = ["bucket", "neither_faults_nor_logs", "two"]  # fixtures
pytestmark = pytest.mark.usefixtures("cloud_env", "bucket")

SILENT = CloudError("Cloud Run does not answer.", transient=Transient.YES)
SLOW = CloudError("It is not routed yet.", cause=Cause.TIMEOUT)
REFUSED = CloudError("You may not.", cause=Cause.PERMISSION)


@pytest.mark.parametrize(
    ("error", "said"),
    [(SILENT, True), (SLOW, True), (TookTooLong("shift"), True), (TimeoutError(), True), (REFUSED, False),
     (ProofFailed("404"), False), (TrafficConflict("moved"), False), (AssertionError(), False)],
)  # fmt: skip
def test_what_does_not_answer_says_nothing_against_what_is_gone_back_to(error: Exception, *, said: bool) -> None:
    assert passes(error) is said


async def ends(it: Two, error: SlipwayError, **shares: int) -> str:
    """A rollback from revision 1 to revision 2 that has moved so much, with this error; what is said then."""
    await it.move(**shares)
    ledger = it.ledger(action="rollback")
    written: Written = {it.place: (it.split(**shares),)}
    with pytest.raises(SlipwayError) as ended:
        async with (
            taken_back_on_failure(it.request, [], [it.candidate], written, ledger),
            finished_later(it.request, "v2", [it.candidate], written),
        ):
            raise error
    await ledger.ended(ended.value)
    return str(ended.value)


@pytest.mark.parametrize("error", [SILENT, SLOW], ids=["does not answer", "takes too long"])
async def test_once_traffic_has_moved_what_passes_gives_nobody_what_is_bad(two: Two, error: SlipwayError) -> None:
    said = await ends(two, error, two=100)
    assert f"v2 has the traffic of web in {REGION}, and keeps it." in said
    assert await two.routed() == {two.two: 100}


async def test_what_speaks_against_it_undoes_it(two: Two) -> None:
    assert "404" in await ends(two, ProofFailed("404"), two=100)
    assert await two.routed() == {two.one: 100}


async def test_where_no_traffic_has_moved_the_rollback_has_failed(two: Two) -> None:
    assert "reconcile finishes it" not in await ends(two, SILENT, one=100)
    assert await two.routed() == {two.one: 100}


HERE, THERE = Place("web", REGION), Place("web", "us-central1")


@pytest.mark.parametrize(
    ("bad", "serving", "undone"),
    [((THERE,), (HERE,), False), ((HERE,), (HERE,), True), ((HERE, THERE), (HERE,), True), ((), (HERE,), True)],
    ids=["elsewhere", "where it serves", "in both", "nowhere"],
)
def test_what_serves_in_one_region_is_not_undone_by_another_that_is_away(
    bad: tuple[Place, ...], serving: tuple[Place, ...], *, undone: bool
) -> None:
    proofs = [Proof(each, Verdict.UNHEALTHY if each in bad else Verdict.HEALTHY, "no answer") for each in (HERE, THERE)]
    if undone:  # by what is asked next, if that speaks against it
        refuse_unproven_elsewhere(proofs, serving)
    else:
        with pytest.raises(NotReconciled, match="web in us-central1 is UNHEALTHY: no answer") as left:
            refuse_unproven_elsewhere(proofs, serving)
        assert passes(left.value)


@pytest.mark.faults
async def test_a_policy_that_cannot_be_written_for_a_while_undoes_no_rollback_and_reconcile_finishes_it(
    prefect: None, two: Two, cloud: LocalCloud
) -> None:
    await two.move(two=100)
    ledger = two.ledger(action="rollback", run_id=await a_dead_run())
    target = TargetRecord(
        service="web", region=REGION, revision=two.one, image=HELLO, public=True, health=kept_health(ANSWERS)
    )  # fmt: skip
    cloud.put("/faults", [{"method": f"{RUN}/SetIamPolicy", "code": "UNAVAILABLE"}])

    async def rolled_back() -> Any:
        await ledger.begin()
        await go_back(two.request, a_record("v0", 0, targets=(target,)), ledger, datetime.now(UTC))

    with pytest.raises(RecordInDoubt):
        await flow(name="rollback")(rolled_back)()
    assert await two.routed() == {two.one: 100}
    cloud.put("/faults", [])

    async def reconciled() -> int:
        return await settle_abandoned(two.request)

    assert await flow(name="reconcile")(reconciled)() == 1
    [record] = await read_history(BUCKET, two.app, "test")
    assert record.state is State.RELEASED
    assert await access.invokers(two.name) == {EVERYONE}
