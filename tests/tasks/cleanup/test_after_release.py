"""Which revisions a release may take away when it is done."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect import flow

from infra.gcp.run import services
from infra.gcp.run.revisions import Revision
from infra.gcp.run.services import RunService
from infra.gcp.run.traffic import TrafficTarget
from infra.gcp.storage import buckets, objects
from tasks.cleanup.after_release import clean_up_service, clock_trouble, conclude, old_revisions
from tasks.history.record import ReleaseRecord, State, TargetRecord
from tasks.history.store import list_records, prefix
from tasks.model import Release
from tasks.orchestration.lock import before_all_others
from tasks.orchestration.stage import Progress
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_run import HELLO, new_name
from tests.tasks.builders import MANIFEST, NOW, a_request, a_version
from tests.tasks.cleanup import looks
from tests.tasks.rollout.two import Two

SERVICE = "projects/acme-prod/locations/europe-west1/services/shop-api"
OURS = {"managed-by": "slipway", "slipway-app": "shop"}


def a_revision(name: str, days: float, *, ours: bool = True) -> Revision:
    labels = OURS if ours else {}
    return looks.a_revision(f"{SERVICE}/revisions/{name}", labels, created=NOW - timedelta(days=days))


def a_service(*names: str) -> RunService:
    return looks.a_service(SERVICE, names, OURS)


def gone(
    service: RunService, revisions: list[Revision], keep: int, history: tuple[ReleaseRecord, ...] = ()
) -> list[str]:
    request = a_request(text=f"{MANIFEST}retention: {{keep: {keep}, max_percent: 100}}")
    return [
        step.item.name.rpartition("/")[2] for step in old_revisions(request, service, revisions, history, NOW).steps
    ]


def released(revision: str, days: float) -> ReleaseRecord:
    target = TargetRecord(service="api", region="europe-west1", revision=revision, outcome="live")
    return ReleaseRecord(
        app="shop", environment="production", version=f"v1.0.{revision[1:]}", kind="release", commit="c",
        run_id=revision, started=NOW - timedelta(days=days), state=State.RELEASED, targets=(target,),
    )  # fmt: skip


@given(
    ages=st.lists(st.integers(0, 400), min_size=1, max_size=20, unique=True), keep=st.integers(1, 12), data=st.data()
)
def test_no_revision_goes_that_is_used_young_or_not_ours(ages: list[int], keep: int, data: st.DataObject) -> None:
    revisions = {f"r{age}": a_revision(f"r{age}", age + 0.5, ours=data.draw(st.booleans())) for age in ages}
    serving, back = data.draw(st.sampled_from(sorted(revisions))), data.draw(st.sampled_from(sorted(revisions)))
    history = (released(back, 1),)
    newest = sorted(age for age in ages if revisions[f"r{age}"].labels)[:keep]
    for name in gone(a_service(serving), list(revisions.values()), keep, history):
        assert name not in (serving, back)
        assert revisions[name].labels
        assert int(name[1:]) >= 90 and int(name[1:]) not in newest


def test_old_ones_beyond_the_kept_go_oldest_first() -> None:
    revisions = [a_revision(f"r{n}", 100 + n) for n in range(5)]
    assert gone(a_service("r0"), revisions, 2) == ["r4", "r3", "r2"]


def test_a_release_that_one_can_go_back_to_keeps_its_revision_however_many_came_after() -> None:
    revisions = [a_revision(f"r{n}", 100 + n) for n in range(5)]
    assert gone(a_service("r0"), revisions, 2, (released("r0", 1), released("r4", 104))) == ["r3", "r2"]


def test_a_service_that_seems_to_serve_nothing_loses_nothing() -> None:
    revisions = [a_revision(f"r{n}", 100 + n) for n in range(5)]
    assert gone(a_service(), revisions, 1) == []


def test_a_listing_that_lacks_what_serves_is_not_believed() -> None:
    revisions = [a_revision(f"r{n}", 100 + n) for n in range(1, 5)]
    assert gone(a_service("r0"), revisions, 1) == []


@pytest.mark.parametrize("busy", [False, True], ids=["nobody ships", "a rollback has the lock"])
async def test_it_leaves_alone_what_somebody_is_just_shipping(prefect: None, busy: bool) -> None:
    two = await Two().made()
    await two.move(two=100)
    live, old = await two.live(), f"{two.app}-web-0"
    split = (*live.service.traffic, TrafficTarget(old, 0, "old"))
    template = {
        "revision": old,
        "containers": [{"image": HELLO}],
        "labels": {**OURS, "slipway-tag": "old"},
        "scaling": {"minInstanceCount": 1},  # which the tag keeps running
    }
    body = {"name": two.name, "template": template, "traffic": [services.traffic_body(each) for each in split]}
    await services.update_service({**body, "etag": live.service.etag}, ["template", "traffic"], 60)

    async def made_way() -> None:
        """There is nobody to cancel."""

    @flow(name="deploy")
    async def after_release() -> int:
        async with AsyncExitStack() as other:
            if busy:
                await other.enter_async_context(before_all_others(two.request, made_way))
            return await clean_up_service(two.request, two.candidate, ())

    assert await after_release() == 0
    assert ("old" in [each.tag for each in (await two.live()).service.traffic]) is busy


async def test_a_worker_whose_clock_is_wrong_takes_nothing_away(cloud_env: dict[str, str]) -> None:
    """A year ahead, everything but the newest seems old enough; Google dated the release's own record."""
    request, bucket = a_request(), f"{PROJECT}-{new_name('clock')}"
    request = replace(request, settings=request.settings.model_copy(update={"bucket": bucket}))
    await buckets.create_bucket(bucket, PROJECT, "europe-west1", {})
    await objects.write_json(bucket, f"{prefix(request.app, request.environment)}1.json", {}, 0)
    now, listed = datetime.now(UTC), await list_records(bucket, request.app, request.environment)
    assert clock_trouble(listed, now) == ""
    assert "ages cannot be told" in clock_trouble(listed, now + timedelta(days=365))


async def test_a_release_that_stands_does_not_fail_by_how_long_it_takes_to_clean_up(
    prefect: None, cloud: LocalCloud
) -> None:
    two = await Two().made()
    limit = two.request.settings.timeouts.model_copy(update={"clean_up_s": 0.1})
    request = replace(two.request, settings=two.request.settings.model_copy(update={"timeouts": limit}))
    released = Release(two.app, "test", a_version(), candidates=(two.candidate,))

    async def let_go() -> None:
        """Nobody waits."""

    @flow(name="deploy")
    async def deploy() -> Release:
        return await conclude(request, released, let_go, Progress(uuid4(), "test"), None)

    cloud.put("/faults", [{"method": "storage.objects.*", "delay_s": 1.0}])
    try:
        assert await deploy() == released
    finally:
        cloud.put("/faults", [])
