"""Giving back, on a Cloud Run that carries out writes after their caller has hung up, and while others write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import access, services
from infra.gcp.run.traffic import TrafficTarget
from tasks.analysis.probes import ANSWERS
from tasks.manifest.loading import parse_manifest
from tasks.model import Candidate, Outcome, Place, Request
from tasks.rollout.live import LiveService, read_live
from tasks.rollout.restore import give_back
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_run import HELLO, new_name

REGION = "europe-west1"
UPDATE = "google.cloud.run.v2.Services/UpdateService"
LATE_S = 0.7

pytestmark = pytest.mark.usefixtures("cloud_env")


@pytest.fixture(autouse=True)
def no_faults_left(cloud: LocalCloud) -> Iterator[None]:
    yield
    cloud.put("/faults", [])


class Two:
    """A service that serves revision 1, with revision 2 dark beside it."""

    def __init__(self, *, public: bool = False, opened: bool = False) -> None:
        self.app, self.public, self.opened = new_name("back"), public, opened
        manifest = parse_manifest(
            f"app: {self.app}\nservices: {{web: {{}}}}\n"
            f"environments: {{test: {{project: {PROJECT}, regions: [{REGION}]}}}}"
        )
        self.request = Request(
            self.app, "test", ("web",), manifest, manifest.environment("test"), Path(), Path(), "0" * 36
        )
        self.place = Place("web", REGION)
        self.name = self.request.run_service(self.place)
        self.one, self.two = f"{self.app}-web-1", f"{self.app}-web-2"

    async def made(self) -> Two:
        await services.create_service(self.name, self._body(self.one, self._split({self.one: 100})), 60)
        if self.opened:
            await access.set_public(self.name, public=True)
        live = await self.live()
        # the one image that runs without a network is Cloud Run's placeholder
        before = replace(live.snapshot, serving=self.one, health=ANSWERS, public=self.opened, opened=self.opened)
        dark = self.split(one=100)
        body = {"name": self.name, "etag": live.service.etag, **self._body(self.two, dark)}
        await services.update_service(body, ["template", "traffic"], 60)
        live = await self.live()
        self.candidate = Candidate(
            self.two, "two", live.service.uri_of_tag("two"), live.service.uri, before, dark, ANSWERS, public=self.public
        )
        return self

    def split(self, one: int = 0, two: int = 0) -> tuple[TrafficTarget, ...]:
        return self._split({self.one: one, self.two: two}, tagged=True)

    def _split(self, shares: dict[str, int], *, tagged: bool = False) -> tuple[TrafficTarget, ...]:
        percents = [TrafficTarget(revision, percent) for revision, percent in shares.items() if percent]
        return (*percents, *([TrafficTarget(self.two, 0, "two")] if tagged else []))

    def _body(self, revision: str, split: tuple[TrafficTarget, ...]) -> dict[str, Any]:
        template = {"revision": revision, "containers": [{"image": HELLO}]}
        return {"template": template, "traffic": [services.traffic_body(target) for target in split]}

    async def live(self) -> LiveService:
        return await read_live(self.request, self.place)

    async def move(self, **shares: int) -> None:
        await services.set_traffic(self.name, self.split(**shares), (await self.live()).service.etag, 60)

    async def routed(self) -> dict[str, int]:
        return (await self.live()).service.routed


@pytest.fixture
async def two() -> AsyncIterator[Two]:
    yield await Two().made()


@pytest.mark.parametrize("careful", [True, False], ids=["a failed run", "a cancelled run"])
async def test_a_write_that_is_carried_out_after_its_caller_was_cancelled_does_not_win(
    two: Two, cloud: LocalCloud, *, careful: bool
) -> None:
    cloud.put("/faults", [{"method": UPDATE, "drop": "late", "delay_s": LATE_S, "times": 1}])
    shifting = asyncio.create_task(two.move(two=100))
    await asyncio.sleep(LATE_S / 7)  # it is on its way
    shifting.cancel()
    with suppress(asyncio.CancelledError, GoogleError):
        await shifting
    written = (two.split(one=100), two.split(two=100))
    ending = await give_back(two.request, two.candidate, written, careful)
    assert ending.outcome in (Outcome.UNTOUCHED, Outcome.TAKEN_BACK)
    await asyncio.sleep(LATE_S)
    assert await two.routed() == {two.one: 100}


async def test_what_a_dead_run_may_have_under_way_does_not_win_against_reconcile(two: Two, cloud: LocalCloud) -> None:
    cloud.put("/faults", [{"method": UPDATE, "drop": "late", "delay_s": LATE_S, "times": 1}])
    shifting = asyncio.create_task(two.move(two=100))
    await asyncio.sleep(LATE_S / 7)
    shifting.cancel()
    with suppress(asyncio.CancelledError, GoogleError):
        await shifting
    now = (await two.live()).service.traffic
    await give_back(two.request, replace(two.candidate, split=now), (now,), careful=True, doubtful=True)
    await asyncio.sleep(LATE_S)
    assert await two.routed() == {two.one: 100}


async def test_nothing_is_written_where_nothing_was_shifted(two: Two) -> None:
    before = (await two.live()).service
    ending = await give_back(two.request, two.candidate, (two.split(one=100),), careful=True)
    assert ending.outcome is Outcome.UNTOUCHED
    assert (await two.live()).service.etag == before.etag


@pytest.mark.parametrize(
    "fault",
    [
        {"code": "UNAVAILABLE", "times": 6},
        {"code": "ABORTED", "times": 2},
        {"code": "INTERNAL", "times": 1},
        {"drop": "before", "times": 2},
        {"drop": "after", "times": 1},
    ],
    ids=lambda fault: " ".join(map(str, fault.values())),
)
async def test_a_give_back_is_tried_until_it_succeeds(two: Two, cloud: LocalCloud, fault: dict[str, object]) -> None:
    await two.move(two=100)
    cloud.put("/faults", [{"method": UPDATE, **fault}])
    ending = await give_back(two.request, two.candidate, (two.split(two=100),), careful=False)
    assert ending.outcome is Outcome.TAKEN_BACK
    assert await two.routed() == {two.one: 100}


async def test_a_give_back_that_is_refused_is_owed(two: Two, cloud: LocalCloud) -> None:
    await two.move(two=100)
    cloud.put("/faults", [{"method": UPDATE, "code": "PERMISSION_DENIED"}])
    ending = await give_back(two.request, two.candidate, (two.split(two=100),), careful=False)
    assert ending.outcome is Outcome.FAILED
    cloud.put("/faults", [])
    ending = await give_back(two.request, two.candidate, (two.split(two=100),), careful=False)
    assert ending.outcome is Outcome.TAKEN_BACK


async def test_traffic_that_a_stranger_has_moved_is_left(two: Two) -> None:
    await two.move(one=40, two=60)
    ending = await give_back(two.request, two.candidate, (two.split(two=100),), careful=True)
    assert ending.outcome is Outcome.LEFT
    assert await two.routed() == {two.one: 40, two.two: 60}


async def test_what_served_before_is_judged_by_what_it_was_proven_with(two: Two) -> None:
    """The candidate's own health asks for what only the candidate has."""
    await two.move(two=100)
    new = ANSWERS.model_copy(update={"path": "/only-new", "body": "only the new one says this"})
    ending = await give_back(two.request, replace(two.candidate, health=new), (two.split(two=100),), careful=True)
    assert (ending.outcome, await two.routed()) == (Outcome.TAKEN_BACK, {two.one: 100})
    assert ending.said.endswith("and is HEALTHY")


@pytest.mark.parametrize("opened", [False, True], ids=["opened by the release", "closed by the release"])
async def test_who_may_call_is_as_before_when_a_release_is_taken_back(*, opened: bool) -> None:
    two = await Two(public=not opened, opened=opened).made()
    await two.move(two=100)
    await access.set_public(two.name, public=not opened)
    ending = await give_back(two.request, two.candidate, (two.split(two=100),), careful=False)
    assert ending.outcome is Outcome.TAKEN_BACK
    assert await access.is_public(two.name) is opened
