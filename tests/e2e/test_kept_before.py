"""A release keeps what was there before it, and the papers of its images; who goes back is told where that is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml
from google.cloud import service_usage_v1, storage
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.deploy import deploy
from flows.rollback import rollback
from tasks.failures.errors import Vulnerable
from tasks.history.record import State
from tasks.history.store import read_history
from tasks.source.source import Source
from tests.conftest import PROJECT, LocalCloud
from tests.e2e.conftest import REGION, App, program
from tests.e2e.test_guarded import ADVISORY, SCANNING

WEB = "  web: {health: {body: ok, tries: 2, backoff_min: 0.1s, samples: 3}, public: true}"
RULES = "backup: {}\n    scan: {wait: 30s, sbom: require, provenance: require, audit: {}}"
BUCKET = f"{PROJECT}-slipway"


@pytest.fixture
def scanned(app: App, cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[App]:
    usage = service_usage_v1.ServiceUsageClient()
    usage.enable_service(request={"name": SCANNING}).result()
    app.write("web", program())
    app.manifest(WEB, RULES)
    app.commit("v1.0.0")
    yield app
    cloud.put("/advisories", {})
    usage.disable_service(request={"name": SCANNING}).result()


async def ship(app: App) -> None:
    await deploy(Source(repository=str(app.folder)), "production")


async def test_what_was_before_a_release_is_kept_and_named_to_who_goes_back(scanned: App, cloud: LocalCloud) -> None:
    await ship(scanned)
    scanned.write("web", program(body="ok, too"))
    scanned.commit("v1.1.0")
    await ship(scanned)
    [second, first] = await read_history(BUCKET, scanned.name, "production")
    [papers] = second.scans
    builder = "https://cloudbuild.googleapis.com/GoogleHostedWorker@v0.3"
    assert (papers.verdict, papers.provenance, papers.builder) == ("clean", "named", builder)
    assert papers.sbom.startswith(f"gs://artifactanalysis-{REGION}-") and papers.sbom_sha256
    assert first.backup is not None and second.backup is not None
    assert second.backup.things == (f"{REGION}/services/{scanned.name}-web.yaml",)
    name = f"{second.backup.configuration.removeprefix(f'gs://{BUCKET}/')}{second.backup.things[0]}"
    kept = yaml.safe_load(storage.Client().bucket(BUCKET).blob(name).download_as_text())
    assert kept["spec"]["template"]["metadata"]["name"] == first.targets[0].revision

    await rollback(Source(repository=str(scanned.folder)), "production")
    key = ArtifactFilter(key=ArtifactFilterKey(any_=[f"{scanned.name}-production-backup"]))
    async with get_client() as client:
        [told] = await client.read_artifacts(artifact_filter=key)
    assert f"Kept before v1.1.0: its configuration in {second.backup.configuration}" in str(told.data)
    assert f"gcloud run services replace {name.split('/')[3]}/{second.backup.things[0]}" in str(told.data)
    [back, *_] = await read_history(BUCKET, scanned.name, "production")
    assert [each.verdict for each in back.scans] == ["clean"]

    cloud.put("/advisories", {"advisories": [ADVISORY]})
    (scanned.folder / "web" / "requirements.txt").write_text("jinja2==3.1.2\n")
    scanned.commit("v1.2.0")
    with pytest.raises(Vulnerable, match=r"CVE-2026-1234 \(critical\) in jinja2 3\.1\.2") as refused:
        await ship(scanned)
    assert refused.value.state == "No build was started and nothing was deployed."
    [last, *_] = await read_history(BUCKET, scanned.name, "production")
    audited = [(each.image, each.verdict) for each in last.audits]
    assert (last.state, audited) == (State.FAILED, [("web/requirements.txt", "blocked")])
