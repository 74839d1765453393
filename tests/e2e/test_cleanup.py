"""Clean-up against the local cloud: only what nothing needs goes, and nothing at all where an answer is doubtful."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
import pytest

from flows.cleanup import cleanup
from flows.deploy import deploy
from infra.gcp import fleet, images, storage
from tasks.retention_model import Entry
from tasks.source import Source
from tests.conftest import PROJECT, LocalCloud
from tests.e2e.conftest import REGION, App, program

pytestmark = pytest.mark.usefixtures("cloud_env")

SERVICES = "  web: {health: {body: ok, tries: 2, backoff_min: 0.1s, timeout: 5s, samples: 2}, public: true}"
RETENTION = "retention: {keep: 1, max_age: 30d, max_percent: 100}"
BUCKET = f"{PROJECT}-slipway"


@dataclass
class Old:
    """An app with releases that are long past."""

    app: App
    cloud: LocalCloud

    @property
    def source(self) -> Source:
        return Source(repository=str(self.app.folder))

    @property
    def repository(self) -> str:
        return f"projects/{PROJECT}/locations/{REGION}/repositories/{self.app.name}"

    @property
    def service(self) -> str:
        return f"projects/{PROJECT}/locations/{REGION}/services/{self.app.name}-web"

    async def ship(self, version: str) -> None:
        self.app.write("web", program(body=f"ok {version} of {self.app.name}"))
        self.app.commit(version)
        await deploy(self.source, "production")

    def age(self, days: float = 100) -> None:
        folders = {"images": f"{self.repository}/", "revisions": f"{self.service}/"}
        folders["objects"] = f"{BUCKET}/"
        for kind, prefix in folders.items():
            body = {"kind": kind, "prefix": prefix, "days": days}
            httpx.post(f"{self.cloud.admin}/age", json=body, trust_env=False).raise_for_status()

    async def images(self) -> set[str]:
        return {tag for each in [i async for i in images.list_images(self.repository)] for tag in each.tags if tag[0] == "v"}

    async def revisions(self) -> list[str]:
        found = await fleet.list_revisions(PROJECT, REGION)
        return sorted(each.labels.get("slipway-version", "") for each in found if each.service == self.service)

    async def journal(self, name: str) -> dict[str, str]:
        found = await storage.read_json(BUCKET, f"cleanup/{self.app.name}/{name}.journal.json")
        assert found
        return {entry["name"]: f"{entry['outcome']}: {entry['why']}" for entry in found[0]["entries"]}


@pytest.fixture
async def old(app: App, cloud: LocalCloud) -> Old:
    """Three releases, of which the last serves."""
    app.manifest(SERVICES, top=RETENTION)
    made = Old(app, cloud)
    for version in ("v1.0.0", "v1.1.0", "v1.2.0"):
        await made.ship(version)
    made.age()
    return made


async def test_a_dry_run_deletes_nothing(old: Old) -> None:
    await cleanup(old.source)
    assert await old.images() == {"v1.0.0", "v1.1.0", "v1.2.0"}
    assert len(await old.revisions()) == 4


async def test_what_no_release_needs_goes_and_the_journal_says_so(old: Old) -> None:
    name = await cleanup(old.source, dry_run=False)
    assert await old.images() == {"v1.1.0", "v1.2.0"}
    print(await old.journal(name), await old.revisions())

