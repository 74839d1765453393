"""Jobs of slipway.yaml: deployed with the services by digest, run by hooks in the new version, given back with it."""

from __future__ import annotations

import asyncio
import uuid
import zlib
from datetime import UTC, datetime
from typing import Any

import pytest

from flows.promote import promote
from flows.reconcile import reconcile
from infra.gcp.run import jobs
from infra.gcp.run.jobs import RunJob
from infra.gcp.storage import objects
from tasks.failures.errors import HookFailed
from tasks.history.job_record import JobRecord
from tasks.history.record import ReleaseRecord, State
from tasks.history.store import read_history, record_name
from tasks.model import Outcome
from tasks.rollout.job import recorded_job
from tasks.source.source import Source
from tests.conftest import PROJECT
from tests.e2e.conftest import REGION, App, program
from tests.e2e.releases import DIRECT, HEALTH, describe, go_back, live, new_app, ship
from tests.infra.emulator.emulated_jobs import Jobs, said

pytestmark = pytest.mark.usefixtures("cloud_env")

MIGRATION = """\
import os, sys, time
print("to VERSION as", os.environ["MODE"], flush=True)
time.sleep(SECONDS)
sys.exit(CODE)
"""
SETTINGS = "command: [python, migrate.py], max_retries: 0, env: {MODE: MODE}"
HOOK = "before: [{name: migrate, job: {name: migrate, timeout: 1m}}]"
PRODUCTION = DIRECT.removesuffix("}") + f", {HOOK}}}"


@pytest.fixture
def app(tmp_path: Any, request: pytest.FixtureRequest) -> App:
    return new_app(tmp_path, f"j{zlib.crc32(request.node.name.encode()):08x}")


def write(app: App, version: str, *, code: int = 0, seconds: int = 0, settings: str = SETTINGS) -> None:
    """A commit of this version whose migration says so, takes so long and ends so."""
    app.write("web", program())
    text = MIGRATION.replace("VERSION", version).replace("SECONDS", str(seconds)).replace("CODE", str(code))
    (app.folder / "web" / "migrate.py").write_text(text)
    job = settings.replace("MODE: MODE", f"MODE: {version}-mode")
    describe(app, f"  web: {{health: {HEALTH}}}\njobs:\n  migrate: {{{job}}}", production=PRODUCTION)
    app.commit(version)


async def job_of(app: App) -> RunJob:
    found = await jobs.get_job(f"projects/{PROJECT}/locations/{REGION}/jobs/{app.name}-migrate")
    assert found is not None
    return found


def version_of(job: RunJob) -> tuple[str, str, str]:
    """The version of its template and of the job itself, and the value of its variable."""
    (container,) = job.template["template"]["containers"]
    return job.template["labels"]["slipway-version"], job.labels["slipway-version"], container["env"][0]["value"]


async def newest(app: App) -> ReleaseRecord:
    return (await read_history(f"{PROJECT}-slipway", app.name, "production", limit=1))[0]


async def test_a_migration_runs_the_new_version_before_it_serves_and_a_rollback_brings_the_old_job_back(
    app: App,
) -> None:
    for version in ("v1.0.0", "v1.1.0"):
        write(app, version)
        released = await ship(app)
        record = await newest(app)
        (hook,) = record.hooks
        execution = Jobs().executions.get_execution(name=hook.execution)
        assert said(execution) == [f"to {version} as {version}-mode"]
        assert execution.template.containers[0].image == released.images[0].reference
        assert [(job.job, job.outcome, job.image) for job in record.jobs] == [
            ("migrate", Outcome.LIVE, released.images[0].reference)
        ]
        assert version_of(await job_of(app)) == (version.replace(".", "_"),) * 2 + (f"{version}-mode",)
        assert "mode" not in str(record.jobs)
    first = Jobs().jobs.get_job(name=(await job_of(app)).name)
    assert first.execution_count == 2
    await go_back(app)
    back = await job_of(app)
    assert version_of(back)[2] == "v1.0.0-mode"
    assert (await newest(app)).jobs[0].outcome is Outcome.LIVE


async def test_a_migration_that_fails_stops_the_release_and_the_job_is_as_it_was(app: App) -> None:
    write(app, "v1.0.0")
    await ship(app)
    before = await job_of(app)
    write(app, "v1.1.0", code=3)
    with pytest.raises(HookFailed, match="of 1 tasks 0 succeeded, 1 failed"):
        await ship(app)
    after = await job_of(app)
    assert version_of(after) == version_of(before)
    assert after.template["template"] == before.template["template"]
    assert await live(app) == {"v1.0.0": 100}
    record = await newest(app)
    assert (record.state, record.jobs[0].outcome, record.is_open) == (State.FAILED, Outcome.TAKEN_BACK, False)
    write(app, "v1.2.0")
    await ship(app)
    assert version_of(await job_of(app))[2] == "v1.2.0-mode"


async def test_who_cancels_a_release_stops_its_migration_and_the_job_is_as_it_was(app: App) -> None:
    write(app, "v1.0.0")
    await ship(app)
    before = await job_of(app)
    write(app, "v1.1.0", seconds=60)
    shipping = asyncio.create_task(ship(app))
    under_way = await running_execution(before.name)
    shipping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await shipping
    ended = Jobs().ended(under_way)
    assert (ended.cancelled_count, ended.succeeded_count) == (1, 0)
    assert version_of(await job_of(app)) == version_of(before)
    assert await live(app) == {"v1.0.0": 100}


async def running_execution(job: str) -> str:
    """The name of the job's execution that has a task running."""
    while True:
        found = await asyncio.to_thread(lambda: list(Jobs().executions.list_executions(parent=job)))
        for execution in found:
            if execution.running_count:
                return execution.name
        await asyncio.sleep(0.2)


async def test_a_job_with_an_image_of_its_own_is_built_and_runs_after_the_release(app: App) -> None:
    app.write("web", program())
    app.write("tidy", "import os; print('tidied as', os.environ['CLOUD_RUN_JOB'])")
    after = "after: [{name: tidy, job: {name: tidy, timeout: 1m}}]"
    production = DIRECT.removesuffix("}") + f", {after}}}"
    jobs_said = "jobs:\n  tidy: {source: tidy, max_retries: 0, tasks: 2}"
    describe(app, f"  web: {{health: {HEALTH}}}\n{jobs_said}", production=production)
    app.commit("v1.0.0")
    released = await ship(app)
    assert [image.service for image in released.images] == ["web", "tidy"]
    record = await newest(app)
    execution = Jobs().executions.get_execution(name=record.hooks[0].execution)
    assert said(execution) == [f"tidied as {app.name}-tidy"] * 2
    assert execution.template.containers[0].image == record.images["tidy"]


async def test_a_job_that_a_killed_run_has_written_is_reconciled(app: App) -> None:
    """Its record says what the job was, and not yet what the run has made of it."""
    write(app, "v1.0.0")
    await ship(app)
    first, before = await newest(app), await job_of(app)
    task = before.template["template"]
    (container,) = task["containers"]
    run_id = str(uuid.uuid4())
    changed = {
        **before.template,
        "labels": {**before.template["labels"], "slipway-run": run_id},
        "template": {**task, "containers": [{**container, "args": ["--killed"]}]},
    }
    await jobs.write_job(before.name, changed, before.labels, before, 60)
    owed = JobRecord(job="migrate", name=before.name, before=recorded_job(before.template), before_labels=before.labels)
    killed = first.model_copy(
        update={
            "version": "v1.1.0",
            "run_id": run_id,
            "state": State.STARTED,
            "started": datetime.now(UTC),
            "targets": (),
            "jobs": (owed,),
        }
    )
    await objects.write_json(f"{PROJECT}-slipway", record_name(killed), killed.model_dump(mode="json"), 0)
    assert await reconcile(Source(repository=str(app.folder)), "production") == 1
    assert (await job_of(app)).template["template"] == task
    settled = await newest(app)
    assert (settled.state, settled.jobs[0].outcome, settled.is_open) == (State.FAILED, Outcome.TAKEN_BACK, False)


async def test_a_release_that_fails_after_it_has_served_gives_its_jobs_back_with_the_traffic(app: App) -> None:
    write(app, "v1.0.0")
    await ship(app)
    before = await job_of(app)
    app.write("web", program())
    after = "after: [{name: smoke, job: {name: smoke, timeout: 1m}}]"
    smoke = "smoke: {command: [python, -c, 'raise SystemExit(1)'], max_retries: 0}"
    text = f"jobs:\n  migrate: {{{SETTINGS}, args: [--new]}}\n  {smoke}"
    production = DIRECT.removesuffix("}") + f", {HOOK}, {after}}}"
    describe(app, f"  web: {{health: {HEALTH}}}\n{text}", production=production)
    app.commit("v1.1.0")
    with pytest.raises(HookFailed, match=r"smoke \(after the release\)"):
        await ship(app)
    assert (await job_of(app)).template["template"] == before.template["template"]
    assert await live(app) == {"v1.0.0": 100}
    outcomes = {job.job: job.outcome for job in (await newest(app)).jobs}
    assert outcomes == {"migrate": Outcome.TAKEN_BACK, "smoke": Outcome.LEFT}  # there was no smoke before


async def test_a_promotion_deploys_the_jobs_of_the_release_that_was_proven(app: App) -> None:
    write(app, "v1.0.0")
    described = (app.folder / "slipway.yaml").read_text()
    staging = f"  staging: {{project: {PROJECT}, regions: [us-central1]}}\n"
    (app.folder / "slipway.yaml").write_text(described + staging)
    app.commit()
    app.git("tag", "-f", "v1.0.0")
    await ship(app, "staging")
    await promote(Source(repository=str(app.folder)), "production", "staging")
    job, record = await job_of(app), await newest(app)
    (container,) = job.template["template"]["containers"]
    assert container["image"] == record.images["web"] == record.jobs[0].image
    execution = Jobs().executions.get_execution(name=record.hooks[0].execution)
    assert said(execution) == ["to v1.0.0 as v1.0.0-mode"]
