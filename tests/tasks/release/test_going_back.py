"""What a rollback makes of a service besides its traffic, on the local cloud and with a real Prefect server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from prefect import flow

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import services
from infra.gcp.run.traffic import TrafficTarget
from tasks.analysis.probes import ANSWERS
from tasks.failures.errors import CloudError, RecordInDoubt
from tasks.history.heartbeat import beating
from tasks.history.ledger import Ledger
from tasks.history.record import State, TargetRecord, kept_health
from tasks.history.store import read_history
from tasks.manifest.settings import Health
from tasks.model import Place
from tasks.release.release import go_back
from tasks.release.rollback import refuse_in_part, sorted_out
from tasks.rollout.base import template_of
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_run import HELLO
from tests.tasks.builders import a_record
from tests.tasks.rollout.two import (
    BUCKET,
    LATE_S,
    REGION,
    UPDATE,
    Two,
    bucket,
    neither_faults_nor_logs,
    says,
    serves_third,
    two,
)

__all__ = ["bucket", "neither_faults_nor_logs", "two"]  # fixtures
pytestmark = pytest.mark.usefixtures("prefect", "bucket")

ALL, INTERNAL = "INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY"
STRICT = ANSWERS.model_copy(update={"status": (200,)})  # which a door that is closed does not answer


def first(two: Two, health: Health = ANSWERS, **facts: Any) -> TargetRecord:
    """What the record of the first release says of its revision."""
    return TargetRecord(
        service="web", region=REGION, revision=two.one, image=HELLO, health=kept_health(health), **facts
    )


async def back(two: Two, target: TargetRecord) -> Ledger:
    """A rollback to that release."""
    ledger = two.ledger(action="rollback")
    release = a_record("v0", 0, targets=(target,))

    @flow(name="rollback")
    async def rollback() -> None:
        await go_back(two.request, release, ledger, datetime.now(UTC))

    await rollback()
    return ledger


async def set_ingress(two: Two, ingress: str) -> None:
    body = {"name": two.name, "etag": (await two.live()).service.etag, "ingress": ingress}
    await services.update_service(body, ["ingress"], 60)


async def test_all_traffic_goes_to_it_also_that_of_a_canary_that_stayed_where_it_was(two: Two) -> None:
    """As where what served before was no better: then a release that fails leaves its canary where it is."""
    await serves_third(two)
    split = (*two.split(two=25), TrafficTarget(f"{two.app}-web-3", 75))
    await services.set_traffic(two.name, split, (await two.live()).service.etag, 60)
    await back(two, first(two))
    assert await two.routed() == {two.one: 100}


async def test_a_door_that_a_newer_release_has_opened_is_closed_again_once_the_rollback_is_verified(two: Two) -> None:
    await two.move(two=100)
    template = {"annotations": says("service.ingress")}
    ledger = await back(two, first(two, STRICT, template=template, whole={"ingress": INTERNAL}))
    service = (await two.live()).service
    assert (service.routed, service.whole["ingress"]) == ({two.one: 100}, INTERNAL)
    [target] = ledger.release.targets
    assert (ledger.release.state, target.whole and target.whole["ingress"]) == (State.RELEASED, INTERNAL)


async def test_a_door_that_a_newer_release_has_closed_is_open_again(two: Two) -> None:
    """By a release after which another one has served: what serves need not be what wrote the template."""
    await serves_third(two, "service.ingress")
    await set_ingress(two, INTERNAL)
    await back(two, first(two, template={"annotations": says()}, whole={"ingress": ALL}))
    service = (await two.live()).service
    assert (service.routed, service.whole["ingress"]) == ({two.one: 100}, ALL)


async def test_what_no_release_has_said_stays_as_others_have_set_it(two: Two) -> None:
    await serves_third(two)
    await set_ingress(two, INTERNAL)
    await back(two, first(two, template={"annotations": says()}, whole={"ingress": ALL}))
    assert (await two.live()).service.whole["ingress"] == INTERNAL


async def test_of_a_release_that_did_not_record_it_nothing_is_set(two: Two) -> None:
    await serves_third(two, "service.ingress")
    await set_ingress(two, INTERNAL)
    await back(two, first(two))
    assert (await two.live()).service.whole["ingress"] == INTERNAL


async def test_the_next_change_of_another_tool_builds_on_what_was_gone_back_to(two: Two) -> None:
    await two.move(two=100)
    assert template_of((await two.live()).service)["revision"] == two.two
    await back(two, first(two))
    assert template_of((await two.live()).service)["revision"] == two.one
    assert await two.routed() == {two.one: 100}


async def test_the_template_of_somebody_elses_newer_revision_stays(two: Two) -> None:
    await serves_third(two)
    third = template_of((await two.live()).service)["revision"]
    await services.set_traffic(two.name, two.split(two=100), (await two.live()).service.etag, 60)
    await back(two, first(two))
    assert template_of((await two.live()).service)["revision"] == third


async def test_a_record_that_cannot_be_written_gives_users_nothing_back_that_somebody_turned_away_from(
    two: Two, cloud: LocalCloud
) -> None:
    await two.move(two=100)
    begun = 3  # writes before traffic moves: what was there, what gets it, how that is
    cloud.put("/faults", [{"method": "storage.objects.insert", "code": "PERMISSION_DENIED", "skip": begun}])
    with pytest.raises(RecordInDoubt, match="reconcile then finishes the rollback"):
        await back(two, first(two))
    assert await two.routed() == {two.one: 100}


async def test_a_region_that_does_not_answer_keeps_no_other_from_going_back(two: Two) -> None:
    service, silent = (await two.live()).service, GoogleError("run.services.get", "UNAVAILABLE", "Not now.")
    gone, there, not_there = Place("web", "us-central1"), two.place, Place("api", REGION)
    live, away = sorted_out({there: service, not_there: None, gone: silent, Place("api", gone.region): service})
    assert live == {there: two.one}
    assert list(away) == [gone.region]
    with pytest.raises(CloudError, match="does not answer in every region") as refused:
        refuse_in_part(a_record("v1", 1), away)
    assert "roll back to v1 once more" in refused.value.remedy
    with pytest.raises(GoogleError, match="Not now"):
        sorted_out({gone: silent})
    assert sorted_out({not_there: None}) == ({}, {})


async def test_a_registry_that_does_not_answer_keeps_nobody_from_going_back(two: Two, cloud: LocalCloud) -> None:
    await two.move(two=100)
    image = f"{REGION}-docker.pkg.dev/{PROJECT}/shop/web@sha256:{'a' * 64}"
    cloud.put("/faults", [{"method": "google.devtools.artifactregistry.*", "code": "PERMISSION_DENIED"}])
    await back(two, first(two).model_copy(update={"image": image}))
    assert await two.routed() == {two.one: 100}


async def test_who_changes_a_label_or_a_tag_meanwhile_gives_users_nothing_back_that_is_bad(
    two: Two, cloud: LocalCloud
) -> None:
    """As the clean-up after a release does, which holds no lock."""
    await two.move(two=100)
    before = cloud.faulted().get(UPDATE, 0)
    cloud.put("/faults", [{"method": UPDATE, "skip": 1, "delay_s": 3 * LATE_S, "times": 1}])  # the first writes a tag
    going = asyncio.ensure_future(back(two, first(two)))
    while cloud.faulted().get(UPDATE, 0) == before and not going.done():  # noqa: ASYNC110 - the cloud does not tell
        await asyncio.sleep(0.02)
    service = (await two.live()).service
    body = {"name": two.name, "etag": service.etag, "labels": {**service.labels, "team": "web"}}
    await services.update_service(body, ["labels"], 60)
    await going
    assert await two.routed() == {two.one: 100}


@pytest.mark.faults
async def test_a_rollback_whose_first_records_hang_restores_traffic_at_once_and_is_recorded_when_they_can_be_written(
    two: Two, cloud: LocalCloud
) -> None:
    await two.move(two=100)
    ledger = two.ledger(action="rollback", hurries=True)
    cloud.put("/faults", [{"method": "storage.objects.insert", "delay_s": 60.0}])

    @flow(name="rollback")
    async def rollback() -> None:
        async with beating(ledger.mark, "v0", 0.05):
            await ledger.begin()
            await go_back(two.request, a_record("v0", 0, targets=(first(two),)), ledger, datetime.now(UTC))

    going = asyncio.ensure_future(rollback())
    async with asyncio.timeout(15):
        while await two.routed() != {two.one: 100}:  # noqa: ASYNC110 - the cloud does not tell
            await asyncio.sleep(0.1)
    assert await read_history(BUCKET, two.app, "test") == []
    cloud.put("/faults", [])
    await going
    [record] = await read_history(BUCKET, two.app, "test")
    assert (record.state, record.targets[0].before) == (State.RELEASED, ((two.two, 100),))
    assert record.seconds["restored"] < 15


async def test_a_rollback_that_may_not_be_recorded_moves_no_traffic(two: Two, cloud: LocalCloud) -> None:
    await two.move(two=100)
    cloud.put("/faults", [{"method": "storage.objects.insert", "code": "PERMISSION_DENIED"}])
    with pytest.raises(CloudError):
        await two.ledger(action="rollback", hurries=True).begin()
