"""Many deploys of one app that are started together, each in a process of its own."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from infra.gcp import builds
from infra.gcp.run.revisions import list_revisions
from tasks.history.record import State
from tests.conftest import PROJECT, LocalCloud
from tests.e2e.conftest import REGION, App, program
from tests.e2e.machine import running_machine, start_deploy, until_ended
from tests.e2e.releases import DIRECT, describe, find, history, live

RUNS = 20
PATIENCE_S = 1500.0  # a run takes six seconds, and its process as long to start on a machine that starts twenty

pytestmark = [pytest.mark.usefixtures("cloud_env"), pytest.mark.timeout(2 * PATIENCE_S), pytest.mark.faults]


async def test_of_twenty_deploys_that_are_started_together_all_ship_one_after_the_other(
    app: App, cloud: LocalCloud, database: Path, tmp_path: Path
) -> None:
    app.write("web", program())
    describe(app, production=DIRECT)
    app.commit("v1.0.0")
    async with running_machine(cloud, tmp_path / "machine", database):
        started = [await start_deploy(app) for _ in range(RUNS)]
        ended = [await until_ended(each, PATIENCE_S) for each in started]
    assert [state.name for state in ended] == ["Completed"] * RUNS

    records = await history(app)
    assert {(record.version, record.state) for record in records} == {("v1.0.0", State.RELEASED)}
    assert sorted(record.run_id for record in records) == sorted(map(str, started))
    for later, earlier in pairwise(records):
        assert earlier.finished is not None
        assert earlier.finished <= later.started
    assert len(await builds.find_builds(PROJECT, REGION, f'tags="app-{app.name}"')) == 1
    versions = [revision.labels.get("slipway-version") for revision in await list_revisions((await find(app)).name)]
    assert versions.count("v1_0_0") == 1
    assert await live(app) == {"v1.0.0": 100}
