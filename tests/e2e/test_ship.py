"""The tag decides where a commit goes."""

from __future__ import annotations

import pytest

from flows.ship import ship
from tasks.model import Release
from tasks.source.source import Source
from tests.conftest import PROJECT, STAGING_PROJECT
from tests.e2e.conftest import REGION, App, program
from tests.e2e.releases import DIRECT, describe, live

pytestmark = pytest.mark.usefixtures("cloud_env")

STAGING = f"{{project: {STAGING_PROJECT}, regions: [{REGION}]}}"


async def test_a_release_ships_to_production_and_the_commit_after_it_to_staging(app: App) -> None:
    app.write("web", program())
    describe(app, staging=STAGING, production=DIRECT)
    app.commit("v1.0.0")
    source = Source(repository=str(app.folder))
    await ship(source)
    app.write("web", program(body="ok 2"))
    app.commit()
    after: Release = await ship(source)
    assert after.version.version.startswith("v1.0.0-dev.g")
    assert await live(app, project=PROJECT) == {"v1.0.0": 100}
    assert list((await live(app, project=STAGING_PROJECT)).values()) == [100]
