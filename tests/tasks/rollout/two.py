"""A service that serves one revision with another dark beside it, for the tests of giving back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prefect.logging import disable_run_logger

from infra.gcp.run import access, services
from infra.gcp.run.members import EVERYONE
from infra.gcp.run.traffic import TrafficTarget
from infra.gcp.storage import buckets
from tasks.analysis.probes import ANSWERS
from tasks.history.ledger import Ledger
from tasks.history.record import State, TargetRecord, kept_health, planned
from tasks.history.store import record_name
from tasks.manifest.loading import parse_manifest
from tasks.manifest.settings import Health
from tasks.model import Candidate, Place, Request
from tasks.rollout.live import LiveService, read_live
from tasks.rollout.service import SAYS
from tests.conftest import PROJECT, LocalCloud, environment
from tests.infra.emulator.emulated_run import HELLO, new_name
from tests.tasks.builders import a_record

REGION = "europe-west1"
RUN = "google.cloud.run.v2.Services"
UPDATE = f"{RUN}/UpdateService"
LATE_S = 0.7
BUCKET = "slipway-give-backs"


@pytest.fixture(autouse=True)
def neither_faults_nor_logs(cloud: LocalCloud) -> Iterator[None]:
    with disable_run_logger():  # no test here is a run
        yield
    cloud.put("/faults", [])


@pytest.fixture(autouse=True, scope="module")
async def bucket(cloud: LocalCloud) -> None:
    with environment(cloud.env):
        if await buckets.get_bucket(BUCKET) is None:
            await buckets.create_bucket(BUCKET, PROJECT, REGION, {})


class Two:
    """A service that serves revision 1, with revision 2 dark beside it."""

    def __init__(
        self,
        *,
        public: bool = False,
        opened: bool = False,
        known: bool = False,
        jobs: str = "{}",
        strategy: str = "direct",
    ) -> None:
        """known: revision 1 has a tag, and with it a URL of its own to be judged by. jobs, strategy: of slipway.yaml"""
        self.app, self.public, self.opened, self.known = new_name("back"), public, opened, known
        manifest = parse_manifest(
            f"app: {self.app}\nservices: {{web: {{}}}}\njobs: {jobs}\n"
            f"environments: {{test: {{project: {PROJECT}, regions: [{REGION}], bucket: {BUCKET}, "
            f"strategy: {strategy}}}}}"
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
        callers = {EVERYONE: True} if self.opened else {}
        before = replace(live.snapshot, serving=self.one, health=ANSWERS, callers=callers)
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
        tags = {self.two: "two"} | ({self.one: "one"} if self.known else {})
        return (*percents, *(TrafficTarget(revision, 0, tag) for revision, tag in tags.items() if tagged))

    def _body(self, revision: str, split: tuple[TrafficTarget, ...]) -> dict[str, Any]:
        template = {"revision": revision, "containers": [{"image": HELLO}]}
        return {"template": template, "traffic": [services.traffic_body(target) for target in split]}

    def coming_from(self, **before: Any) -> Candidate:
        return replace(self.candidate, before=replace(self.candidate.before, **before))

    async def released_before(self, health: Health) -> str:
        """A third revision, which the history knows as a good release."""
        revision, live = f"{self.app}-web-0", await self.live()
        split = (*live.service.traffic, TrafficTarget(revision, 0, "zero"))
        body = {"name": self.name, "etag": live.service.etag, **self._body(revision, split)}
        await services.update_service(body, ["template", "traffic"], 60)
        target = TargetRecord(service="web", region=REGION, revision=revision, health=kept_health(health))
        await self.ledger(targets=(target,)).released()
        return revision

    def ledger(self, *, hurries: bool = False, **facts: Any) -> Ledger:
        facts = {"state": State.STARTED, "targets": planned([self.place]), **facts}
        release = a_record("v0", 1).model_copy(update={"app": self.app, "environment": "test", **facts})
        return Ledger(self.request.settings.bucket, record_name(release), release, 0, hurries=hurries)

    async def live(self) -> LiveService:
        return await read_live(self.request, self.place)

    async def move(self, **shares: int) -> None:
        await services.set_traffic(self.name, self.split(**shares), (await self.live()).service.etag, 60)

    async def routed(self) -> dict[str, int]:
        return (await self.live()).service.routed


@pytest.fixture
async def two() -> AsyncIterator[Two]:
    yield await Two().made()


def says(*paths: str) -> dict[str, str]:
    """Annotations of a template of which a release has said so much."""
    return {SAYS: json.dumps(paths)}


async def serves_third(two: Two, *said: str) -> str:
    """A revision beside the two has all the traffic; its release has said so much."""
    revision = f"{two.app}-web-3"
    template = {"revision": revision, "containers": [{"image": HELLO}], "annotations": says(*said)}
    traffic = [services.traffic_body(each) for each in (TrafficTarget(revision, 100), TrafficTarget(two.two, 0, "two"))]
    await services.update_service(
        {"name": two.name, "template": template, "traffic": traffic}, ["template", "traffic"], 60
    )
    return revision


BROKEN = ANSWERS.model_copy(update={"body": "nobody says this"})


@pytest.fixture
async def known() -> AsyncIterator[Two]:
    """Revision 1 has a URL of its own, and revision 2 has all the traffic."""
    two = await Two(known=True).made()
    await two.move(two=100)
    yield two
