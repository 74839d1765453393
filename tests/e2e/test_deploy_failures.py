"""Releases that must fail: the run says which service and what to do, and live traffic never moved."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import httpx
import pytest

from flows.deploy import deploy
from infra.gcp.run import services
from tasks.failures.cause import Cause
from tasks.failures.errors import CandidateFailed, ManifestError, ProofFailed, SlipwayError, VersionError
from tasks.source.source import Source
from tests.conftest import PROJECT, LocalCloud, environment
from tests.e2e.conftest import REGION, App, program

pytestmark = pytest.mark.usefixtures("cloud_env")

CRASH = 'print("cannot reach the database", flush=True)\nsys.exit(3)\n'
WRONG_PORT = 'http.server.ThreadingHTTPServer(("", 0), Handler).serve_forever()\n'


async def ship(app: App) -> None:
    await deploy(Source(repository=str(app.folder)), "production")


async def traffic(app: App) -> dict[str | None, int]:
    service = await services.get_service(f"projects/{PROJECT}/locations/{REGION}/services/{app.name}-web")
    assert service is not None
    return {target.revision: target.percent for target in service.live if target.percent}


@pytest.fixture(scope="module")
async def standing(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> App:
    """v1.0.0 of it serves, and goes on serving whatever a later version does."""
    folder = tmp_path_factory.mktemp("standing")
    app = App(folder, f"d{zlib.crc32(str(folder).encode()):08x}")
    app.write("web", program())
    app.manifest("  web: {health: {body: ok, tries: 2, backoff_min: 0.1s, timeout: 1s, samples: 3}, public: true}")
    app.commit("v1.0.0")
    with environment(cloud.env):
        await ship(app)
    return app


@pytest.fixture
def short_start_limit(cloud: LocalCloud) -> Iterator[None]:
    cloud.put("/latency", {"stages": {"run.start-timeout": 20.0}})
    yield
    cloud.put("/latency", {"profile": "instant"})


@pytest.mark.usefixtures("short_start_limit")
@pytest.mark.parametrize(
    ("version", "source", "expected", "said"),
    [
        pytest.param(
            "v1.1.0", program(instead=CRASH), CandidateFailed, "cannot reach the database", id="crashes at start"
        ),
        pytest.param(
            "v1.2.0",
            program(instead=WRONG_PORT),
            CandidateFailed,
            "starting",
            id="listens on the wrong port",
            marks=pytest.mark.faults,
        ),
        pytest.param("v1.3.0", program(status=500, body="broken"), ProofFailed, "status 500", id="answers 500"),
        pytest.param(
            "v1.4.0",
            program(body="other"),
            ProofFailed,
            "does not contain 'ok'",
            id="answers something else",
            marks=pytest.mark.faults,
        ),
        pytest.param("v1.5.0", program(delay=3.0), ProofFailed, "no answer after", id="answers slowly"),
    ],
)
async def test_a_bad_candidate_fails_the_run_and_the_last_release_goes_on_serving(
    standing: App, version: str, source: str, expected: type[SlipwayError], said: str
) -> None:
    before = await traffic(standing)
    assert any("v1-0-0" in str(revision) for revision in before)
    standing.write("web", source)
    standing.commit(version)
    with pytest.raises(expected, match="web") as caught:
        await ship(standing)
    assert said in caught.value.problem
    assert caught.value.remedy
    assert "not moved" in caught.value.state
    assert await traffic(standing) == before


async def test_a_first_release_that_fails_leaves_the_placeholder_closed_to_the_world(shop: App) -> None:
    shop.write("web", program(status=500))
    shop.commit("v1.1.0")
    with pytest.raises(ProofFailed):
        await ship(shop)
    service = await services.get_service(f"projects/{PROJECT}/locations/{REGION}/services/{shop.name}-web")
    assert service is not None
    assert httpx.get(service.uri, trust_env=False).status_code == 403
    assert not any(t.percent for t in service.live if t.revision and "v1-1-0" in t.revision)


async def test_after_a_crash_the_corrected_version_ships(shop: App) -> None:
    shop.write("web", program(instead=CRASH))
    shop.commit("v1.1.0")
    with pytest.raises(CandidateFailed):
        await ship(shop)
    shop.write("web", program())
    shop.commit("v1.1.1")
    await ship(shop)
    assert any("v1-1-1" in str(revision) for revision in await traffic(shop))


GOOGLES_OWN = "The service has encountered an error. Internal system error, system will retry."


@pytest.fixture
def fault_of_the_start(cloud: LocalCloud) -> Iterator[Callable[[int], None]]:
    def so_often(times: int) -> None:
        start = {"method": "run.revisions.start", "code": "INTERNAL", "message": GOOGLES_OWN, "times": times}
        cloud.put("/faults", [start])

    yield so_often
    cloud.put("/faults", [])


async def test_a_start_that_cloud_run_itself_fails_is_tried_again_under_another_name(
    shop: App, fault_of_the_start: Callable[[int], None]
) -> None:
    """A revision that failed keeps its name for ever; it is the cloud that failed, and not the version."""
    await ship(shop)
    shop.write("web", program(body="ok 2"))
    shop.commit("v1.1.0")
    fault_of_the_start(1)
    await ship(shop)
    ((serving, percent),) = (await traffic(shop)).items()
    assert "v1-1-0" in str(serving)
    assert str(serving).endswith("-r2")
    assert percent == 100


@pytest.mark.faults
async def test_where_cloud_run_never_starts_it_its_own_words_are_shown(
    shop: App, fault_of_the_start: Callable[[int], None]
) -> None:
    await ship(shop)
    before = await traffic(shop)
    shop.write("web", program(body="ok 2"))
    shop.commit("v1.1.0")
    fault_of_the_start(9)
    with pytest.raises(CandidateFailed) as caught:
        await ship(shop)
    assert GOOGLES_OWN in caught.value.problem
    assert caught.value.cause is Cause.SERVICE_UNAVAILABLE
    assert await traffic(shop) == before


@pytest.mark.faults
async def test_what_did_not_start_at_first_is_not_gone_back_to_when_it_is_unhealthy_at_last(
    shop: App, fault_of_the_start: Callable[[int], None]
) -> None:
    """Another tool's next change builds on what serves, and not on what failed twice."""
    await ship(shop)
    shop.write("web", program(status=500))
    shop.commit("v1.1.0")
    fault_of_the_start(1)
    with pytest.raises(ProofFailed):
        await ship(shop)
    service = await services.get_service(f"projects/{PROJECT}/locations/{REGION}/services/{shop.name}-web")
    assert service is not None
    assert "v1-0-0" in service.body["template"]["revision"]


async def test_a_missing_secret_stops_the_run_in_preflight(shop: App) -> None:
    shop.manifest("  web: {secrets: {KEY: no-such-secret}}")
    shop.commit("v1.1.0")
    with pytest.raises(SlipwayError, match="no-such-secret") as caught:
        await ship(shop)
    assert caught.value.cause is Cause.NOT_FOUND
    assert "gcloud secrets create no-such-secret" in caught.value.problem


async def test_a_development_version_is_refused_for_production(shop: App) -> None:
    shop.commit()
    with pytest.raises(VersionError, match="accepts release"):
        await ship(shop)


async def test_a_dirty_work_tree_is_refused_for_production(shop: App) -> None:
    (shop.folder / "web" / "main.py").write_text("changed")
    with pytest.raises(VersionError, match="differs from commit"):
        await ship(shop)


async def test_an_unknown_environment_is_named_with_the_ones_there_are(shop: App) -> None:
    with pytest.raises(ManifestError, match="prod") as caught:
        await deploy(Source(repository=str(shop.folder)), "prod")
    assert "production" in caught.value.remedy
