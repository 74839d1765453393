"""What the tests of clean-up share: an app with releases that are long past, and a look at what is left of it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from prefect import flow, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.deploy import deploy
from infra.gcp.artifacts import images
from infra.gcp.run import revisions
from infra.gcp.storage import objects
from tasks.cleanup.carry_out import carry_out
from tasks.cleanup.engine.model import Entry
from tasks.cleanup.propose import Proposal, propose
from tasks.cleanup.scope import Scope, read_scope
from tasks.request.request import workspace
from tasks.source.source import Source
from tests.conftest import PROJECT, LocalCloud
from tests.e2e.conftest import REGION, App, program

SERVICES = "  web: {health: {body: ok, tries: 2, backoff_min: 0.1s, timeout: 5s, samples: 2}, public: true}"
RETENTION = "retention: {keep: 3, max_age: 30d, max_percent: 100}"
BUCKET = f"{PROJECT}-slipway"


@contextlib.contextmanager
def pointed_at(cloud: LocalCloud) -> Iterator[None]:
    """This process's environment leads to the local cloud."""
    before = dict(os.environ)
    os.environ.update(cloud.env)
    yield
    os.environ.clear()
    os.environ.update(before)


@dataclass
class Old:
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
        """Everything of the app's gets so much older."""
        prefixes = [("images", f"{self.repository}/"), ("revisions", f"{self.service}/")]
        prefixes += [("objects", f"{BUCKET}/sources/{self.app.name}/"), ("objects", f"{BUCKET}/logs/")]
        for kind, prefix in prefixes:
            body = {"kind": kind, "prefix": prefix, "days": days}
            httpx.post(f"{self.cloud.admin}/age", json=body, trust_env=False).raise_for_status()

    def age_bucket(self, name: str, days: float = 3) -> None:
        body = {"kind": "buckets", "prefix": name, "days": days}
        httpx.post(f"{self.cloud.admin}/age", json=body, trust_env=False).raise_for_status()

    @contextlib.contextmanager
    def faults(self, *faults: dict[str, Any]) -> Iterator[None]:
        self.cloud.put("/faults", list(faults))
        try:
            yield
        finally:
            self.cloud.put("/faults", [])

    async def tags(self) -> set[str]:
        """The versions whose images are there."""
        found = [each async for each in images.list_images(self.repository)]
        return {tag for each in found for tag in each.tags if tag.startswith("v")}

    async def digests(self) -> set[str]:
        return {each.digest async for each in images.list_images(self.repository)}

    async def revisions(self) -> set[str]:
        """The versions whose revisions are there."""
        found = await revisions.list_revisions(self.service)
        return {each.labels["slipway-version"].replace("_", ".") for each in found if "slipway-version" in each.labels}

    async def journal(self, name: str) -> dict[str, str]:
        """CleanupOutcome and reason of each step, by name."""
        found = await objects.read_json(BUCKET, f"cleanup/{self.app.name}/{name}.journal.json")
        assert found
        return {entry["name"]: f"{entry['outcome']}: {entry['why']}" for entry in found[0]["entries"]}


async def artifact(key: str) -> list[dict[str, str]]:
    """The rows of the newest table of that key."""
    async with get_client() as client:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
        found = await client.read_artifacts(artifact_filter=wanted, sort="CREATED_DESC", limit=1)  # type: ignore[arg-type]
    return [dict(row) for row in json.loads(str(found[0].data))]


@flow
async def plan_then(source: Source, meanwhile: Callable[[Proposal], Any] | None = None) -> tuple[Entry, ...]:
    """Plans and carries out like the clean-up flow, with something happening in between."""
    async with workspace() as folder:
        scope: Scope = await read_scope(source, folder)
        proposal = await propose(scope, None)
        if meanwhile:
            await meanwhile(proposal)
        return await carry_out(scope, proposal)
