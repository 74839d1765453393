"""What the fault matrices share: the faults, an app to ship under them, and what must hold afterwards."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from flows.deploy import deploy
from infra.gcp import builds
from infra.gcp.artifacts import repositories
from infra.gcp.run import services
from infra.gcp.run.revisions import list_revisions
from tasks.failures.errors import SlipwayError
from tasks.model import Release
from tasks.names import resources
from tasks.source.source import Source
from tests.conftest import PROJECT
from tests.e2e.conftest import REGION, App, program

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
