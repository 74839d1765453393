"""The fault matrix: whatever Google answers, a release succeeds or fails clearly with traffic as before.

Every method that the deploy flow calls meets every fault, once and always. A few cells run with every test run, all
of them with `make test-faults`, which also keeps the table in benchmarks/results/fault_matrix.md.
"""

from __future__ import annotations

import time
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from flows.deploy import deploy
from infra.gcp import builds
from infra.gcp.artifacts import repositories
from infra.gcp.run import services
from infra.gcp.run.revisions import list_revisions
from tasks.failures.errors import SlipwayError, TookTooLong
from tasks.model import Release
from tasks.names import resources
from tasks.source.source import Source
from tests.conftest import PROJECT, LocalCloud
from tests.e2e.conftest import REGION, App, FaultRow, program

pytestmark = pytest.mark.usefixtures("cloud_env")

LIMIT_S = 240.0  # no cell may take longer; a healthy release takes about 4 s
AR, RUN = "google.devtools.artifactregistry.v1.ArtifactRegistry", "google.cloud.run.v2.Services"
BUILD = "google.devtools.cloudbuild.v1.CloudBuild"
# What a release of an app calls that has been released before …
STANDING = (
    "oauth2.token",
    "google.api.serviceusage.v1.ServiceUsage/BatchGetServices",
    "google.cloud.billing.v1.CloudBilling/GetProjectBillingInfo",
    "google.cloud.orgpolicy.v2.OrgPolicy/GetEffectivePolicy",
    "google.cloud.resourcemanager.v3.Projects/GetProject",
    "google.cloud.resourcemanager.v3.Projects/TestIamPermissions",
    f"{RUN}/ListServices",
    "storage.buckets.get",
    "storage.objects.get",
    "storage.objects.insert",
    "storage.objects.list",
    f"{AR}/GetRepository",
    f"{AR}/GetTag",
    f"{BUILD}/ListBuilds",
    f"{BUILD}/CreateBuild",
    f"{BUILD}/GetBuild",
    f"{RUN}/GetService",
    f"{RUN}/UpdateService",
    f"{RUN}/GetIamPolicy",
    "google.cloud.run.v2.Revisions/ListRevisions",
    "google.longrunning.Operations/GetOperation",
)
# … and what its first release calls besides.
FIRST = (f"{AR}/CreateRepository", f"{RUN}/CreateService", f"{RUN}/SetIamPolicy", "storage.buckets.insert")
FAULTS: dict[str, dict[str, object]] = {
    "UNAVAILABLE": {"code": "UNAVAILABLE"},
    "RESOURCE_EXHAUSTED": {"code": "RESOURCE_EXHAUSTED"},
    "DEADLINE_EXCEEDED": {"code": "DEADLINE_EXCEEDED"},
    "INTERNAL": {"code": "INTERNAL"},
    "ABORTED": {"code": "ABORTED"},
    "PERMISSION_DENIED": {"code": "PERMISSION_DENIED"},
    "NOT_FOUND": {"code": "NOT_FOUND"},
    "FAILED_PRECONDITION": {"code": "FAILED_PRECONDITION"},
    "dropped before": {"drop": "before"},
    "dropped after": {"drop": "after"},
    "stalls 20 s": {"delay_s": 20.0},
}
# These pass by themselves when they happen once; so does a lost answer.
PASSING = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL", "DEADLINE_EXCEEDED", "dropped before", "dropped after")


@dataclass(frozen=True)
class Cell:
    method: str
    fault: str
    often: str  # once or always

    def __str__(self) -> str:
        return f"{self.method.rpartition('/')[2]}-{self.fault}-{self.often}"

    def instruction(self) -> dict[str, object]:
        times = {"times": 1} if self.often == "once" else {}
        return {"method": self.method, **FAULTS[self.fault], **times}


ALL = [Cell(m, fault, often) for m in (*STANDING, *FIRST) for fault in FAULTS for often in ("once", "always")]
SLICE = [
    Cell(f"{RUN}/UpdateService", "dropped after", "always"),
    Cell(f"{RUN}/UpdateService", "UNAVAILABLE", "always"),
    Cell(f"{RUN}/UpdateService", "ABORTED", "once"),
    Cell(f"{BUILD}/CreateBuild", "dropped after", "once"),
    Cell(f"{BUILD}/GetBuild", "INTERNAL", "always"),
    Cell("google.longrunning.Operations/GetOperation", "PERMISSION_DENIED", "always"),
    Cell("storage.objects.insert", "dropped after", "always"),
    Cell(f"{RUN}/CreateService", "dropped after", "once"),
]


class World:
    """One app whose first version serves; every cell ships its next one."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir()
        self.app, self.number = App(folder, name), 0
        # A bucket of its own, so that its first release has everything to create.
        self.app.manifest(
            "  web: {health: {path: /, body: ok, tries: 2, backoff_min: 0.1s, samples: 3}, public: true}",
            f"bucket: {PROJECT}-{name}",
        )

    def next_version(self) -> None:
        self.number += 1
        self.app.write("web", program(body=f"ok {self.number}"))
        self.app.commit(f"v1.{self.number}.0")

    async def ship(self) -> Release:
        return await deploy(Source(repository=str(self.app.folder)), "production")

    @property
    def service(self) -> str:
        return f"projects/{PROJECT}/locations/{REGION}/services/{self.app.name}-web"

    async def traffic(self) -> dict[str, int]:
        """By revision; a placeholder is the same as nothing."""
        found = await services.get_service(self.service)
        ours = {r.name for r in await list_revisions(self.service) if "slipway-version" in r.labels} if found else ()
        return {str(t.revision): t.percent for t in found.live if t.percent and t.revision in ours} if found else {}

    async def revisions(self) -> list[str]:
        """The version of each revision of ours."""
        if await services.get_service(self.service) is None:
            return []
        found = await list_revisions(self.service)
        return [r.labels["slipway-version"] for r in found if "slipway-version" in r.labels]

    async def builds(self, *statuses: str) -> list[str]:
        """What the builds in these states made or make: one tag that tells the content each."""
        found = await builds.find_builds(PROJECT, REGION, f'tags="app-{self.app.name}"')
        return [next(t for t in b.tags if t.startswith("src-")) for b in found if b.status in statuses]

    async def digest(self, number: int) -> str | None:
        repository = resources.repository(PROJECT, REGION, self.app.name)
        return await repositories.digest_of(repository, "web", f"v1.{number}.0")


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("faults") / "app", "standing")


@pytest.fixture
def fresh(tmp_path: Path, request: pytest.FixtureRequest) -> World:
    return World(tmp_path / "app", f"f{zlib.crc32(request.node.nodeid.encode()):08x}")


@pytest.fixture(autouse=True)
def no_faults_left(cloud: LocalCloud) -> Iterator[None]:
    yield
    cloud.put("/faults", [])


async def meet(world: World, cell: Cell, cloud: LocalCloud) -> tuple[str, float]:
    """Ships the next version under the cell's fault and checks the world after it; the outcome and its seconds."""
    world.next_version()
    before, last = await world.traffic(), await world.digest(world.number - 1)
    cloud.put("/faults", [cell.instruction()])
    outcome, seconds = await attempt(world)
    cloud.put("/faults", [])
    after = await world.traffic()
    if outcome == "succeeded":
        assert list(after.values()) == [100]
        assert not set(after) & set(before)
    else:
        assert after == before
    assert seconds < LIMIT_S
    await check(world, last)
    return outcome, seconds


async def attempt(world: World) -> tuple[str, float]:
    started = time.monotonic()
    try:
        await world.ship()
    except SlipwayError as error:
        assert error.problem
        assert error.remedy
        assert error.state
        return f"failed clearly: {error.cause}", time.monotonic() - started
    return "succeeded", time.monotonic() - started


async def check(world: World, last: str | None) -> None:
    """Nothing runs on, nothing is there twice, and the last version's tag names what it named."""
    assert await world.builds("QUEUED", "WORKING") == []
    assert [content for content, n in Counter(await world.builds("SUCCESS")).items() if n > 1] == []
    assert [version for version, n in Counter(await world.revisions()).items() if n > 1] == []
    assert await world.digest(world.number - 1) == last


@pytest.mark.parametrize("cell", SLICE, ids=str)
async def test_a_release_that_meets_a_fault_succeeds_or_fails_clearly_with_traffic_as_before(
    cell: Cell, standing: World, fresh: World, cloud: LocalCloud, fault_row: FaultRow
) -> None:
    fault_row(await try_cell(cell, standing, fresh, cloud))


@pytest.mark.faults
@pytest.mark.parametrize("cell", ALL, ids=str)
async def test_every_method_meets_every_fault(
    cell: Cell, standing: World, fresh: World, cloud: LocalCloud, fault_row: FaultRow
) -> None:
    fault_row(await try_cell(cell, standing, fresh, cloud))


async def try_cell(cell: Cell, standing: World, fresh: World, cloud: LocalCloud) -> tuple[str, ...]:
    """A row of the table: method, fault, how often, outcome, seconds."""
    world = fresh if cell.method in FIRST else standing
    if world is standing and not world.number:
        world.next_version()
        await world.ship()
    outcome, seconds = await meet(world, cell, cloud)
    if outcome != "succeeded":  # without the fault, the same version ships, and adopts what the failed run left
        assert (await attempt(world))[0] == "succeeded"
        await check(world, await world.digest(world.number - 1))
    if cell.often == "once" and cell.fault in PASSING:
        assert outcome == "succeeded"
    return cell.method, cell.fault, cell.often, outcome, f"{seconds:.1f}"


async def test_the_matrix_has_every_method_that_a_release_calls(fresh: World, cloud: LocalCloud) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        await client.delete(f"{cloud.admin}/calls")
    for _ in range(2):
        fresh.next_version()
        await fresh.ship()
    assert set(cloud.calls()) <= {*STANDING, *FIRST}


async def test_a_stage_that_takes_longer_than_it_may_fails_the_run_and_stops_its_builds(
    fresh: World, cloud: LocalCloud
) -> None:
    manifest = fresh.app.folder / "slipway.yaml"
    manifest.write_text(manifest.read_text() + "    timeouts: {build: 3s}\n")
    fresh.next_version()
    cloud.put("/latency", {"stages": {"build.queue": 300.0}})
    try:
        with pytest.raises(TookTooLong, match="The stage build took longer than 3 s") as caught:
            await fresh.ship()
    finally:
        cloud.put("/latency", {"profile": "instant"})
    assert "environments.production.timeouts.build" in caught.value.remedy
    assert await fresh.builds("QUEUED", "WORKING") == []
    assert await fresh.builds("CANCELLED") != []
