"""The fault matrix after traffic moved: whatever Google answers a give-back, what served before serves again, or the
record stays open and reconcile brings it there.

Each cell ships a version that gets all traffic, opens its service to the world, and then fails its `after` hook; the
hook's own server brings the fault about, so that it meets the give-back and nothing before it. A few cells run with
every test run, all of them with `make test-faults`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from flows.reconcile import reconcile
from infra.gcp.run import access
from tasks.failures.errors import HookFailed
from tasks.history.record import ReleaseRecord, State
from tasks.history.store import read_history
from tasks.model import Outcome
from tasks.source.source import Source
from tests.conftest import PROJECT, LocalCloud
from tests.e2e.conftest import FaultRow, program
from tests.e2e.matrix import FAULTS, PASSING, Cell, World
from tests.serving import serving, serving_hooks

pytestmark = pytest.mark.usefixtures("cloud_env")

LIMIT_S = 150.0  # a give-back tries for two minutes
RUN = "google.cloud.run.v2.Services"
UPDATE, SET_POLICY = f"{RUN}/UpdateService", f"{RUN}/SetIamPolicy"
# What a give-back and the end of a record call.
METHODS = (
    "oauth2.token",
    "google.cloud.run.v2.Revisions/GetRevision",
    "google.cloud.run.v2.Revisions/ListRevisions",
    "google.longrunning.Operations/GetOperation",
    f"{RUN}/GetIamPolicy",
    f"{RUN}/GetService",
    "google.monitoring.v3.MetricService/ListTimeSeries",
    SET_POLICY,
    UPDATE,
    "storage.objects.get",
    "storage.objects.insert",
    "storage.objects.list",
)
ALL = [Cell(method, fault, often) for method in METHODS for fault in FAULTS for often in ("once", "always")]
SLICE = [
    Cell(UPDATE, "PERMISSION_DENIED", "always"),
    Cell(UPDATE, "dropped after", "once"),
    Cell(SET_POLICY, "PERMISSION_DENIED", "always"),
    Cell("storage.objects.insert", "PERMISSION_DENIED", "always"),
]
ARMED: dict[str, object] = {}  # the fault that the next hook brings about; the hook fails then


@pytest.fixture(scope="module")
def hook(cloud: LocalCloud) -> Iterator[str]:
    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if ARMED:
                cloud.put("/faults", [dict(ARMED)])
            self.send_response(503 if ARMED else 200)
            self.end_headers()

    with serving_hooks(Hook) as address:
        yield address


class Opening(World):
    """Its good versions are private; each one that fails is public."""

    def __init__(self, folder: Path, name: str, hook: str) -> None:
        super().__init__(folder, name)
        self.hook = hook

    def next_version(self, *, public: bool = False) -> None:
        self.number += 1
        health = f"{{path: /, body: ok {self.number}, tries: 2, backoff_min: 0.1s, samples: 3}}"
        self.app.write("web", program(body=f"ok {self.number}"))
        self.app.manifest(
            f"  web: {{health: {health}, public: {str(public).lower()}}}",
            f"after: [{{name: test, http: {{url: '{self.hook}', timeout: 1m}}}}]\n    "
            f"bucket: {PROJECT}-{self.app.name}",
        )
        self.app.commit(f"v1.{self.number}.0")

    async def state(self) -> tuple[Mapping[str, int], bool]:
        """Its traffic, and whether everybody may call it."""
        return await self.traffic(), await access.is_public(self.service)

    async def record(self) -> ReleaseRecord:
        return (await read_history(f"{PROJECT}-{self.app.name}", self.app.name, "production"))[0]


@pytest.fixture(scope="module")
def opening(tmp_path_factory: pytest.TempPathFactory, hook: str) -> Opening:
    return Opening(tmp_path_factory.mktemp("faults") / "app", "opening", hook)


@pytest.fixture(autouse=True)
def no_faults_left(cloud: LocalCloud) -> Iterator[None]:
    yield
    ARMED.clear()
    cloud.put("/faults", [])


async def fails_late(world: Opening, fault: Mapping[str, object], cloud: LocalCloud) -> float:
    """Ships a version whose hook fails and brings the fault about; the seconds from there to the end of the run."""
    world.next_version(public=True)
    ARMED.update(fault or {"method": "none"})
    began = time.monotonic()
    with pytest.raises(HookFailed):
        await world.ship()
    ARMED.clear()
    cloud.put("/faults", [])
    return time.monotonic() - began


async def try_cell(cell: Cell, world: Opening, cloud: LocalCloud) -> tuple[str, ...]:
    """A row of the table: method, fault, how often, outcome, seconds."""
    if not world.number:
        world.next_version()
        await world.ship()
    before = await world.state()
    seconds = await fails_late(world, cell.instruction(), cloud)
    record = await world.record()
    outcome = "owed, given back by reconcile" if record.is_open else "given back"
    if not record.is_open:
        assert await world.state() == before, record.targets
    else:
        assert await reconcile(Source(repository=str(world.app.folder)), "production") == 1
        record = await world.record()
    (target,) = record.targets
    assert (record.is_open, record.state) == (False, State.FAILED)
    assert target.outcome in (Outcome.TAKEN_BACK, Outcome.UNTOUCHED)
    assert await world.state() == before
    assert seconds < LIMIT_S
    if cell.often == "once" and cell.fault in PASSING:
        assert outcome == "given back"
    return f"after the shift: {cell.method}", cell.fault, cell.often, outcome, f"{seconds:.1f}"


@pytest.mark.parametrize("cell", SLICE, ids=str)
async def test_what_served_before_serves_again_whatever_a_give_back_meets(
    cell: Cell, opening: Opening, cloud: LocalCloud, fault_row: FaultRow
) -> None:
    fault_row(await try_cell(cell, opening, cloud))


@pytest.mark.faults
@pytest.mark.parametrize("cell", ALL, ids=str)
async def test_a_give_back_meets_every_fault_in_every_call(
    cell: Cell, opening: Opening, cloud: LocalCloud, fault_row: FaultRow
) -> None:
    fault_row(await try_cell(cell, opening, cloud))


async def test_the_matrix_has_every_method_that_a_give_back_calls(tmp_path: Path, hook: str, cloud: LocalCloud) -> None:
    world = Opening(tmp_path / "app", "givesback", hook)
    world.next_version()
    await world.ship()
    calls: dict[str, int] = {}

    class Counting(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            calls.update(cloud.calls())
            self.send_response(503)
            self.end_headers()

    with serving(Counting) as world.hook:
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.delete(f"{cloud.admin}/calls")
        await fails_late(world, {}, cloud)
    later = {name for name, count in cloud.calls().items() if count > calls.get(name, 0)}
    assert later <= set(METHODS)
