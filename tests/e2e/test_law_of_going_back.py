"""The one law of going back, as a state machine over the whole product: whatever ends a release, and whoever writes
meanwhile, when no run is under way and no record is open, traffic and access are what the last word on them said.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, note, settings, target
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from flows.reconcile import reconcile
from flows.rollback import rollback
from infra.gcp.run import access, services
from infra.gcp.run.revisions import list_revisions
from infra.gcp.run.traffic import TrafficTarget
from tasks.failures.errors import SlipwayError
from tasks.history.record import ReleaseRecord
from tasks.history.store import read_history
from tasks.source.source import Source
from tests.conftest import PROJECT, LocalCloud
from tests.e2e.conftest import program
from tests.e2e.matrix import World
from tests.e2e.releases import version_in
from tests.serving import serving_hooks

pytestmark = [pytest.mark.usefixtures("cloud_env"), pytest.mark.timeout(3600)]

R = TypeVar("R")
RUN = "google.cloud.run.v2.Services"
UPDATE = f"{RUN}/UpdateService"
LATE_S = 0.7
EXAMPLES = int(os.environ.get("SLIPWAY_RELEASES", "0"))  # each half a minute; other ones every time
# What goes wrong once traffic has moved. Nothing that is tried for two minutes: the fault matrix has that.
MISHAPS: dict[str, dict[str, object]] = {
    "none": {},
    "a write is refused": {"method": UPDATE, "code": "PERMISSION_DENIED"},
    "a write fails once": {"method": UPDATE, "code": "UNAVAILABLE", "times": 1},
    "an answer is lost": {"method": UPDATE, "drop": "after", "times": 1},
    "somebody else writes first": {"method": UPDATE, "code": "ABORTED", "times": 1},
    "no read is allowed": {"method": f"{RUN}/GetService", "code": "PERMISSION_DENIED"},
    "the policy cannot be written": {"method": f"{RUN}/SetIamPolicy", "code": "PERMISSION_DENIED"},
    "the record cannot be written": {"method": "storage.objects.insert", "code": "PERMISSION_DENIED"},
    "it is cut off from everything": {"method": "*", "code": "PERMISSION_DENIED"},  # as good as kill -9
}


class Hook:
    """What the `after` hook of a release meets: it answers once it is let go."""

    def __init__(self) -> None:
        self.status, self.reached, self.let_go = 200, Event(), Event()


HOOK = Hook()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        hook = HOOK
        hook.reached.set()
        hook.let_go.wait(60)
        with suppress(BrokenPipeError):  # a cancelled run has hung up
            self.send_response(hook.status)
            self.end_headers()


class Releases(RuleBasedStateMachine):
    """`expected` is the model: percent by version, as whoever had the last word left it, a stranger or a release."""

    cloud: LocalCloud
    folder: Path
    hook: str
    runner: asyncio.Runner
    worlds = 0

    @initialize()
    def a_version_serves(self) -> None:
        Releases.worlds += 1
        name = f"law{Releases.worlds}"
        self.world = World(self.folder / name, name)
        self.public: dict[str, bool] = {}  # who may call it, by version
        self.expected: dict[str, int] = {}
        self.open = False  # whether everybody may call the service
        self.ships(public=False)

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        return self.runner.run(work)

    @property
    def source(self) -> Source:
        return Source(repository=str(self.world.app.folder))

    def _next(self, *, public: bool) -> str:
        world = self.world
        world.number += 1
        version = f"v1.{world.number}.0"
        health = f"{{path: /, body: ok {world.number}, tries: 2, backoff_min: 0.1s, samples: 3}}"  # its own alone
        world.app.write("web", program(body=f"ok {world.number}"))
        world.app.manifest(
            f"  web: {{health: {health}, public: {str(public).lower()}}}",
            f"after: [{{name: test, http: {{url: '{self.hook}', timeout: 1m}}}}]\n    "
            f"bucket: {PROJECT}-{world.app.name}",
        )
        world.app.commit(version)
        self.public[version] = public
        return version

    @rule(public=st.booleans())
    def ships(self, *, public: bool) -> None:
        """A good release closes whatever an earlier one has left open, and takes all traffic."""
        version = self._next(public=public)
        self._hook(200)
        HOOK.let_go.set()
        self.run(self.world.ship())
        traffic = self.run(self._live())
        others = {name: percent for name, percent in traffic.items() if name != version}
        assert others.items() < self.expected.items() or not self.expected  # a share that a stranger gave stays
        self.expected, self.open = {version: 100 - sum(others.values()), **others}, public
        self._holds()

    @rule(public=st.booleans(), mishap=st.sampled_from(sorted(MISHAPS)), cancelled=st.booleans(), data=st.data())
    def fails_after_the_shift(self, *, public: bool, mishap: str, cancelled: bool, data: st.DataObject) -> None:
        """Its hook fails, or somebody cancels it, while something else goes wrong or somebody else writes."""
        self._settled()
        version = self._next(public=public)
        stranger = mishap == "none" and data.draw(st.booleans(), "a stranger writes")
        self._hook(503)
        self.run(self._fail(MISHAPS[mishap], cancel=cancelled, stranger=stranger))
        if stranger:
            note(f"a stranger has moved traffic while {version} was released")
        self._holds()

    @rule(late=st.booleans())
    def is_cancelled_in_the_shift(self, *, late: bool) -> None:
        """The write is under way, and may be carried out when its caller is gone."""
        self._settled()
        self._next(public=False)
        self._hook(503)
        HOOK.let_go.set()
        fault = {"drop": "late"} if late else {}
        self.run(self._cancel_in_shift({"method": UPDATE, "skip": 1, "delay_s": LATE_S, "times": 1, **fault}))
        self._holds()

    @rule()
    def rolls_back(self) -> None:
        """To a version that was released; or it says why there is none."""
        with suppress(SlipwayError):
            done = self.run(rollback(self.source, "production"))
            assert done.version.version in self.public
            assert self.expected.get(done.version.version) != 100
            self.expected, self.open = {done.version.version: 100}, self.public[done.version.version]
        self._holds()

    @precondition(lambda self: len(self.public) > 1)
    @rule(data=st.data())
    def a_stranger_moves_traffic(self, *, data: st.DataObject) -> None:
        """To any revision that is there, or to two; what a dead run owes could not be told from their doing."""
        self._settled()
        there = sorted(self.run(self._revisions()))
        chosen = data.draw(st.lists(st.sampled_from(there), min_size=1, max_size=2, unique=True))
        self.run(self._move({revision: 100 // len(chosen) for revision in chosen}))
        self._holds()

    @rule()
    def is_reconciled(self) -> None:
        self._settled()
        self._holds()

    def teardown(self) -> None:
        if self.public:
            self._settled()
            self._holds()
            target(float(len(self.public)))

    def _settled(self) -> None:
        """Without faults, reconcile closes every record."""
        self.run(reconcile(self.source, "production"))
        assert not self._open_records()

    def _hook(self, status: int) -> None:
        global HOOK
        HOOK = Hook()
        HOOK.status = status

    async def _fail(self, fault: dict[str, object], *, cancel: bool, stranger: bool) -> None:
        hook, run = HOOK, asyncio.ensure_future(self.world.ship())
        await asyncio.to_thread(hook.reached.wait, 60)
        if stranger:
            there = sorted(await self._revisions())
            await self._move({there[0]: 30, there[-1]: 70})
        if fault:
            self.cloud.put("/faults", [fault])
        if cancel:
            run.cancel()
        hook.let_go.set()
        with suppress(SlipwayError, asyncio.CancelledError):
            await run
        self.cloud.put("/faults", [])

    async def _cancel_in_shift(self, fault: dict[str, object]) -> None:
        before = self.cloud.faulted().get(UPDATE, 0)
        self.cloud.put("/faults", [fault])
        run = asyncio.ensure_future(self.world.ship())
        while self.cloud.faulted().get(UPDATE, 0) == before and not run.done():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        run.cancel()
        with suppress(SlipwayError, asyncio.CancelledError):
            await run
        self.cloud.put("/faults", [])
        await asyncio.sleep(LATE_S)  # it has been carried out by now, if it ever is

    async def _move(self, shares: dict[str, int]) -> None:
        found = await services.get_service(self.world.service)
        assert found is not None
        tags = [TrafficTarget(t.revision, 0, t.tag) for t in found.traffic if t.tag]
        split = [*(TrafficTarget(revision, percent) for revision, percent in shares.items()), *tags]
        await services.set_traffic(found.name, split, found.etag, 60)
        self.expected = {version_in(revision): percent for revision, percent in shares.items()}

    async def _live(self) -> dict[str, int]:
        """Percent by version."""
        return {version_in(name): percent for name, percent in (await self.world.traffic()).items()}

    async def _revisions(self) -> list[str]:
        return [r.name for r in await list_revisions(self.world.service) if "slipway-version" in r.labels]

    def _open_records(self) -> list[ReleaseRecord]:
        bucket, app = f"{PROJECT}-{self.world.app.name}", self.world.app.name
        return [record for record in self.run(read_history(bucket, app, "production")) if record.is_open]

    def _holds(self) -> None:
        """The law."""
        if self._open_records():
            return
        assert self.run(self._live()) == self.expected
        assert self.run(access.is_public(self.world.service)) is self.open


@pytest.fixture
def machine(cloud: LocalCloud, tmp_path: Path) -> Iterator[type[Releases]]:
    with serving_hooks(Handler) as address, asyncio.Runner() as runner:
        Releases.cloud, Releases.folder, Releases.hook, Releases.runner = cloud, tmp_path, address, runner
        yield Releases
        cloud.put("/faults", [])


def test_a_proven_revision_serves_whatever_ends_a_release(machine: type[Releases]) -> None:
    limits = settings(
        max_examples=EXAMPLES or 3,
        derandomize=not EXAMPLES,
        stateful_step_count=5,
        phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.target),  # a smaller example costs minutes to find
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=limits)
