"""An app of a job and a worker pool alone: shipped, changed by somebody else and refreshed, and gone back to."""

from __future__ import annotations

from typing import Any

import pytest

from flows.drift import drift
from infra.gcp.run import jobs, worker_pools
from infra.gcp.run.jobs import RunJob
from tasks.failures.errors import RollbackRefused
from tasks.history.record import State
from tasks.source.source import Source
from tests.conftest import PROJECT
from tests.e2e.conftest import REGION, App
from tests.e2e.releases import DIRECT, go_back, history, new_app, ship
from tests.infra.emulator.emulated_pools import WORKER

pytestmark = pytest.mark.usefixtures("cloud_env")
PARENT = f"projects/{PROJECT}/locations/{REGION}"


@pytest.fixture
def app(tmp_path: Any) -> App:
    return new_app(tmp_path, "alone")


def write(app: App, version: str) -> None:
    app.write("work", WORKER)
    (app.folder / "slipway.yaml").write_text(
        f"app: {app.name}\n"
        f"jobs: {{tidy: {{source: work, command: [python, -c, 'print(1)'], env: {{MODE: {version}}}}}}}\n"
        f"worker_pools: {{mailer: {{source: work, watch: 1s, env: {{WORD: {version}}}}}}}\n"
        f"environments: {{production: {DIRECT}}}\n"
    )
    app.commit(version)


async def job_of(app: App) -> RunJob:
    found = await jobs.get_job(f"{PARENT}/jobs/{app.name}-tidy")
    assert found is not None
    return found


async def mode_of(app: App) -> str:
    return str((await job_of(app)).template["template"]["containers"][0]["env"][0]["value"])


async def test_an_app_may_be_of_jobs_and_worker_pools_alone(app: App) -> None:
    write(app, "v1.0.0")
    await ship(app)
    with pytest.raises(RollbackRefused):
        await go_back(app)
    write(app, "v1.1.0")
    assert {image.service for image in (await ship(app)).images} == {"tidy", "mailer"}
    assert await mode_of(app) == "v1.1.0"

    there = await job_of(app)
    theirs = {**there.template, "template": {**there.template["template"], "maxRetries": 9}}
    theirs["template"]["containers"] = [
        {**theirs["template"]["containers"][0], "env": [{"name": "MODE", "value": "x"}]}
    ]
    await jobs.write_job(there.name, theirs, there.labels, there, 60)
    assert await drift(Source(repository=str(app.folder)), "production", refresh=True) == 1
    restored = await job_of(app)
    assert (await mode_of(app), restored.template["template"]["maxRetries"]) == (
        "v1.1.0",
        9,
    )  # what it never said stays

    await go_back(app)
    newest, *_ = await history(app)
    assert (newest.action, newest.version, newest.state, newest.is_open) == (
        "rollback",
        "v1.0.0",
        State.RELEASED,
        False,
    )
    assert await mode_of(app) == "v1.0.0"
    pool = await worker_pools.get_pool(f"{PARENT}/workerPools/{app.name}-mailer")
    assert pool is not None
    assert pool.asked == {newest.pools[0].revision: 100}
    assert "v1-0-0" in newest.pools[0].revision
