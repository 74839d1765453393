"""A release that costs too much, and one with a vulnerability in its image: refused, overridden, recorded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.cloud import service_usage_v1
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.deploy import deploy
from infra.gcp.run import services
from tasks.failures.errors import TooExpensive, Vulnerable
from tasks.history.record import State
from tasks.history.store import read_history
from tasks.model import Override
from tasks.source.source import Source
from tests.conftest import PROJECT, LocalCloud
from tests.e2e.conftest import REGION, App, program

SCANNING = f"projects/{PROJECT}/services/containerscanning.googleapis.com"
WEB = "  web: {health: {body: ok, tries: 2, backoff_min: 0.1s, samples: 3}, public: true, min_instances: 1}"
ADVISORY = {
    "id": "CVE-2026-1234",
    "affected": [
        {"package": {"ecosystem": "PyPI", "name": "jinja2"}, "ranges": [{"events": [{"fixed": "3.1.3"}]}]},
    ],
    "database_specific": {"severity": "CRITICAL"},
}
ADA = Override(who="Ada", why="the shop is down")


@pytest.fixture
def guarded(app: App, cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[App]:
    """An app in whose image there is a package with a vulnerability that is not known yet."""
    usage = service_usage_v1.ServiceUsageClient()
    usage.enable_service(request={"name": SCANNING}).result()
    app.write("web", program())
    package = app.folder / "web" / "lib" / "jinja2-3.1.2.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: Jinja2\nVersion: 3.1.2\n")
    app.manifest(WEB, "cost: {max_floor: 5}\n    scan: {wait: 10s}")
    app.commit("v1.0.0")
    yield app
    cloud.put("/advisories", {})
    usage.disable_service(request={"name": SCANNING}).result()


async def ship(app: App, override: Override | None = None) -> None:
    await deploy(Source(repository=str(app.folder)), "production", override=override)


async def told(app: App, name: str) -> str:
    """The newest artifact of this name."""
    key = ArtifactFilter(key=ArtifactFilterKey(any_=[f"{app.name}-production-{name}"]))
    async with get_client() as client:
        found = await client.read_artifacts(artifact_filter=key)
    return str(max(found, key=lambda each: str(each.created)).data)


async def test_what_is_too_expensive_or_vulnerable_ships_in_somebodys_name_only(
    guarded: App, cloud: LocalCloud
) -> None:
    with pytest.raises(TooExpensive, match=r"production would cost 9\.86 USD \(\+9\.86\)"):
        await ship(guarded)
    assert not await read_history(f"{PROJECT}-slipway", guarded.name, "production")

    guarded.manifest(WEB, "cost: {max_floor: 20}\n    scan: {wait: 10s}")
    guarded.commit("v1.0.1")
    cloud.put("/advisories", {"advisories": [ADVISORY]})
    with pytest.raises(Vulnerable, match=r"CVE-2026-1234 \(critical\) in jinja2 3\.1\.2, fixed in 3\.1\.3"):
        await ship(guarded)
    [refused, *_] = await read_history(f"{PROJECT}-slipway", guarded.name, "production")
    assert (refused.state, [scan.verdict for scan in refused.scans]) == (State.FAILED, ["blocked"])
    service = await services.get_service(f"projects/{PROJECT}/locations/{REGION}/services/{guarded.name}-web")
    assert service is None or "slipway-version" not in service.body["template"].get("labels", {})
    assert "CVE-2026-1234" in await told(guarded, "vulnerabilities")

    await ship(guarded, ADA)
    [shipped, *_] = await read_history(f"{PROJECT}-slipway", guarded.name, "production")
    assert (shipped.state, str(shipped.override)) == (State.RELEASED, str(ADA))
    assert [scan.verdict for scan in shipped.scans] == ["blocked"]
    assert "| service web in europe-west1 | 9.86 USD (+9.86) |" in await told(guarded, "release")
