"""Jobs that are given back, or brought to what a record wants, on the local cloud."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import jobs
from infra.gcp.run.jobs import RunJob
from tasks.history.job_record import JobRecord
from tasks.model import Outcome
from tasks.rollout.job import desired_job, recorded_job, same_job
from tasks.rollout.jobs import bring_job, from_then, give_job_back
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_jobs import Jobs
from tests.infra.emulator.emulated_run import HELLO, PARENT, new_name
from tests.tasks.builders import a_request, a_version

pytestmark = pytest.mark.usefixtures("cloud_env")
TEXT = f"""
app: NAME
services: {{web: {{}}}}
jobs: {{tidy: {{env: {{MODE: WORD}}}}}}
environments: {{production: {{project: {PROJECT}, regions: [europe-west1]}}}}
"""
UPDATE, LATE_S = "google.cloud.run.v2.Jobs/UpdateJob", 0.7
RUN = "0f3a6f0e-6a56-4b0c-9a35-3f6f4f0f6f0e"


class Image:
    """Google's own, which has no digest here."""

    reference = HELLO


@pytest.fixture
def faults(cloud: LocalCloud) -> Iterator[LocalCloud]:
    yield cloud
    cloud.put("/faults", [])


async def written(app: str, word: str, over: RunJob | None, version: str = "v1.0.0") -> RunJob:
    """The job as a release of this version writes it."""
    request = a_request(text=TEXT.replace("NAME", app).replace("WORD", word))
    image: Any = Image()
    template = desired_job(request, a_version(version), image, "tidy", {}, over)
    return await jobs.write_job(request.run_job("tidy"), template, request.labels, over, 60)


async def released() -> tuple[str, RunJob, RunJob, JobRecord]:
    """The app, the job before and after a release, and what its record says of it."""
    app = new_name("app")
    before = await written(app, "first", None)
    after = await written(app, "second", before, "v1.1.0")
    known = JobRecord(
        job="tidy",
        name=before.name,
        before=recorded_job(before.template),
        before_labels=dict(before.labels),
        template=recorded_job(after.template),
        outcome=Outcome.LIVE,
    )
    return app, before, after, known


async def now(job: RunJob) -> RunJob:
    found = await jobs.get_job(job.name)
    assert found is not None
    return found


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "its run died before that"])
async def test_a_job_is_given_back_with_the_values_of_its_variables(recorded: bool) -> None:
    _, before, _, known = await released()
    known = known if recorded else known.model_copy(update={"template": {}})
    ending = await give_job_back(known, RUN)
    assert (ending.outcome, (await now(before)).template["template"]) == (
        Outcome.TAKEN_BACK,
        before.template["template"],
    )
    assert (await give_job_back(known, RUN)).outcome is Outcome.UNTOUCHED


async def test_what_somebody_else_has_made_of_it_since_is_left() -> None:
    _, before, _, known = await released()
    found = Jobs().jobs.get_job(name=before.name)
    found.template.template.max_retries = 1
    Jobs().update(found)
    ending = await give_job_back(known, RUN)
    assert (ending.outcome, ending.said) == (Outcome.LEFT, "somebody else has changed it since")
    assert (await now(before)).template["template"]["maxRetries"] == 1


async def test_a_job_that_was_not_there_before_stays_and_one_that_is_gone_is_not_made_again() -> None:
    _, before, _, known = await released()
    ending = await give_job_back(known.model_copy(update={"before": None}), RUN)
    assert (ending.outcome, "there was none before" in ending.said) == (Outcome.LEFT, True)
    Jobs().jobs.delete_job(name=before.name).result()
    assert (await give_job_back(known, RUN)).outcome is Outcome.UNTOUCHED


async def test_a_job_that_cannot_be_given_back_is_still_owed(faults: LocalCloud) -> None:
    _, _, _, known = await released()
    faults.put("/faults", [{"method": UPDATE, "code": "PERMISSION_DENIED"}])
    ending = await give_job_back(known, RUN)
    assert (ending.outcome, ending.is_owed) == (Outcome.FAILED, True)
    faults.put("/faults", [{"method": UPDATE, "code": "UNAVAILABLE", "times": 1}])
    assert (await give_job_back(ending, RUN)).outcome is Outcome.TAKEN_BACK


async def test_a_write_that_is_carried_out_after_its_caller_has_gone_does_not_win(faults: LocalCloud) -> None:
    app, before, _, known = await released()
    await give_job_back(known, RUN)
    so_far = faults.faulted().get(UPDATE, 0)
    faults.put("/faults", [{"method": UPDATE, "drop": "late", "delay_s": LATE_S, "times": 1}])
    writing = asyncio.ensure_future(written(app, "third", await now(before), "v1.2.0"))
    while faults.faulted().get(UPDATE, 0) == so_far:  # noqa: ASYNC110 - the cloud does not tell
        await asyncio.sleep(0.02)
    writing.cancel()
    with suppress(asyncio.CancelledError, GoogleError):
        await writing
    ending = await give_job_back(known.model_copy(update={"template": {}}), RUN)
    assert ending.outcome in (Outcome.UNTOUCHED, Outcome.TAKEN_BACK)  # on a slow machine it has arrived by then
    await asyncio.sleep(LATE_S)
    assert same_job((await now(before)).template, before.template)


async def test_a_rollback_brings_it_to_what_an_earlier_release_had_and_back_again() -> None:
    _, before, after, known = await released()
    earlier = known.model_copy(update={"template": known.before, "labels": known.before_labels})
    wanted = from_then(earlier, after)
    ending = await bring_job(wanted)
    assert ending.outcome is Outcome.LIVE
    live = await now(before)
    assert same_job(live.template, before.template)
    assert live.labels["slipway-version"] == before.template["labels"]["slipway-version"]
    undone = await give_job_back(wanted, "another run")
    assert (undone.outcome, same_job((await now(before)).template, after.template)) == (Outcome.TAKEN_BACK, True)


async def test_a_value_that_nobody_knows_is_not_made_up() -> None:
    _, before, after, known = await released()
    found = Jobs().jobs.get_job(name=before.name)
    del found.template.annotations["slipway-values"]
    Jobs().update(found)
    ending = await give_job_back(known, RUN)
    assert (ending.outcome, "nobody knows what MODE was" in ending.said) == (Outcome.LEFT, True)
    assert (await now(before)).template["template"] == after.template["template"]


async def test_a_job_is_in_its_region_under_its_name() -> None:
    text = TEXT.replace("NAME", "shop").replace("{env: {MODE: WORD}}", "{name: nightly, region: us-central1}")
    assert a_request(text=text).run_job("tidy") == f"projects/{PROJECT}/locations/us-central1/jobs/nightly"
    assert a_request(text=TEXT.replace("NAME", "shop")).run_job("tidy") == f"{PARENT}/jobs/shop-tidy"
