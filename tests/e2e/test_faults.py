"""The fault matrix: whatever Google answers, a release succeeds or fails clearly with traffic as before.

Every method that the deploy flow calls meets every fault, once and always. A few cells run with every test run, all
of them with `make test-faults`, which also keeps the table in benchmarks/results/fault_matrix.md.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tasks.failures.errors import TookTooLong
from tests.conftest import LocalCloud
from tests.e2e.conftest import FaultRow
from tests.e2e.matrix import FAULTS, PASSING, Cell, World, attempt, check

pytestmark = pytest.mark.usefixtures("cloud_env")

LIMIT_S = 240.0  # no cell may take longer; a healthy release takes about 4 s
AR, RUN = "google.devtools.artifactregistry.v1.ArtifactRegistry", "google.cloud.run.v2.Services"
BUILD = "google.devtools.cloudbuild.v1.CloudBuild"
# What a release of an app calls that has been released before …
STANDING = (
    "oauth2.token",
    "google.api.serviceusage.v1.ServiceUsage/BatchGetServices",
    "google.cloud.billing.v1.CloudBilling/GetProjectBillingInfo",
    "google.iam.admin.v1.IAM/GetServiceAccount",
    "google.iam.admin.v1.IAM/TestIamPermissions",
    "google.cloud.resourcemanager.v3.Projects/GetIamPolicy",
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
    f"{BUILD}/GetDefaultServiceAccount",
    f"{BUILD}/ListBuilds",
    f"{BUILD}/CreateBuild",
    f"{BUILD}/GetBuild",
    f"{RUN}/GetService",
    f"{RUN}/UpdateService",
    f"{RUN}/UpdateService?validateOnly",
    f"{RUN}/GetIamPolicy",
    "google.cloud.run.v2.Revisions/ListRevisions",
    "google.longrunning.Operations/GetOperation",
    "run.projects.locations.list",
)
# … and what its first release calls besides.
FIRST = (f"{AR}/CreateRepository", f"{RUN}/CreateService", f"{RUN}/SetIamPolicy", "storage.buckets.insert")
ALL = [Cell(m, fault, often) for m in (*STANDING, *FIRST) for fault in FAULTS for often in ("once", "always")]
SLICE = [
    Cell(f"{RUN}/UpdateService", "dropped after", "always"),
    Cell(f"{RUN}/UpdateService", "UNAVAILABLE", "always"),
    Cell(f"{BUILD}/CreateBuild", "dropped after", "once"),
    Cell("google.longrunning.Operations/GetOperation", "PERMISSION_DENIED", "always"),
    Cell("storage.objects.insert", "dropped after", "always"),
    Cell(f"{RUN}/CreateService", "dropped after", "once"),
]


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
