"""Jobs of the local Cloud Run: made, changed, refused and deleted as Google's API has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import run_v2
from google.protobuf import json_format

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_jobs import Jobs, a_job, completed, said
from tests.infra.emulator.emulated_run import HELLO, PARENT, QUICK, Own, new_name, short
from tests.infra.emulator.identities import new_identity

State = run_v2.Condition.State


@pytest.fixture
def jobs(cloud_env: dict[str, str]) -> Jobs:
    return Jobs()


def test_what_a_job_does_not_say_is_filled_in(jobs: Jobs) -> None:
    task = run_v2.TaskTemplate(containers=[run_v2.Container(image=HELLO)])
    job = jobs.create(run_v2.Job(template=run_v2.ExecutionTemplate(template=task)))
    filled: Any = job.template.template
    assert (job.template.task_count, job.template.parallelism, filled.max_retries) == (1, 0, 3)
    assert (filled.timeout.total_seconds(), dict(filled.containers[0].resources.limits)) == (
        600,
        {"cpu": "1000m", "memory": "512Mi"},
    )
    assert filled.execution_environment == run_v2.ExecutionEnvironment.EXECUTION_ENVIRONMENT_GEN2
    assert (job.terminal_condition.type_, job.terminal_condition.state) == ("Ready", State.CONDITION_SUCCEEDED)
    assert (job.generation, job.observed_generation, job.reconciling) == (1, 1, False)


def test_a_job_that_was_never_run_shows_that_it_has_no_execution(jobs: Jobs) -> None:
    """As google-api-python-client and Prefect's worker for pools of Cloud Run see it."""
    job = jobs.create()
    assert json_format.MessageToDict(run_v2.Job.pb(jobs.jobs.get_job(name=job.name)))["latestCreatedExecution"] == {}


def test_an_update_is_the_whole_job_and_its_etag_is_looked_at_only_if_it_is_sent(jobs: Jobs) -> None:
    job = jobs.create(a_job(WORD="a"))
    changed = a_job(WORD="b")
    changed.name, changed.labels["team"] = job.name, "red"
    updated = jobs.update(changed)
    assert (updated.generation, updated.labels["team"], updated.uid) == (2, "red", job.uid)
    assert updated.etag != job.etag
    changed.etag = job.etag
    with pytest.raises(GoogleAPICallError, match=r"version .* was specified but current version is"):
        jobs.update(changed)
    assert jobs.update(updated).generation == 2  # nothing is changed by it


def test_a_job_that_is_not_there_is_made_where_that_is_allowed(jobs: Jobs) -> None:
    job = a_job()
    job.name = f"{PARENT}/jobs/{new_name('missing')}"
    with pytest.raises(GoogleAPICallError, match=r"of kind 'JOB' in region 'europe-west1' .* does not exist"):
        jobs.update(job)
    assert jobs.update(job, allow_missing=True).generation == 1
    with pytest.raises(GoogleAPICallError, match="already exists"):
        jobs.create(job, short(job.name))


def test_a_job_is_looked_at_and_not_made(jobs: Jobs) -> None:
    job = a_job()
    job.name = f"{PARENT}/jobs/{new_name('asked')}"
    jobs.update(job, allow_missing=True, validate_only=True)
    jobs.jobs.create_job(run_v2.CreateJobRequest(parent=PARENT, job=a_job(), job_id="asked-too", validate_only=True))
    there = {short(found.name) for found in jobs.jobs.list_jobs(parent=PARENT)}
    assert not {short(job.name), "asked-too"} & there
    made = jobs.create()
    jobs.start(made, validate_only=True)
    assert jobs.jobs.get_job(name=made.name).execution_count == 0


def with_task(change: Callable[[Any], object]) -> run_v2.Job:
    job = a_job()
    change(job)
    return job


REFUSED: list[tuple[str, Callable[[Any], object]]] = [
    (r"ports: is not supported", lambda j: j.template.template.containers[0].ports.append({"container_port": 80})),
    (r"max_retries: must be between 0 and 10", lambda j: setattr(j.template.template, "max_retries", 11)),
    (r"timeout: must be between", lambda j: j.template.template.__setattr__("timeout", {"seconds": 604_801})),
    (r"task_count: must be between 1 and 10000", lambda j: setattr(j.template, "task_count", 10_001)),
    (r"must be one of 1, 2, 4, 6, 8", lambda j: j.template.template.containers[0].resources.limits.update(cpu="0.5")),
    (r"memory must be", lambda j: j.template.template.containers[0].resources.limits.update(memory="8Gi")),
    (
        r"reserved env names were provided: CLOUD_RUN_JOB",
        lambda j: j.template.template.containers[0].env.append({"name": "CLOUD_RUN_JOB", "value": "x"}),
    ),
    (r"reserved for the system", lambda j: j.labels.update({"run.googleapis.com/x": "y"})),
    (r"second generation", lambda j: setattr(j.template.template, "execution_environment", 1)),
    (r"less than 63", lambda j: setattr(j, "start_execution_token", "a" * 60)),
    (r"actAs", lambda j: setattr(j.template.template, "service_account", f"no@{PROJECT}.iam.gserviceaccount.com")),
]


@pytest.mark.parametrize(("said", "change"), REFUSED, ids=[said for said, _ in REFUSED])
def test_what_google_refuses_is_refused(jobs: Jobs, said: str, change: Callable[[Any], object]) -> None:
    with pytest.raises(GoogleAPICallError, match=said):
        jobs.create(with_task(change))


@pytest.mark.parametrize("name", ["Upper", "a" * 64, "ends-", "1st"])
def test_a_name_that_is_none_is_refused(jobs: Jobs, name: str) -> None:
    with pytest.raises(GoogleAPICallError, match=r"CreateJobRequest\.job_id"):
        jobs.create(name=name)


def test_a_job_without_its_image_or_secret_is_there_and_not_ready(jobs: Jobs) -> None:
    wanted, name = a_job(), new_name("bad")
    wanted.template.template.containers[0].image = image = f"europe-west1-docker.pkg.dev/{PROJECT}/none/app:v1"
    failure = jobs.failure(jobs.jobs.create_job(parent=PARENT, job=wanted, job_id=name))
    assert failure.message == f"Image '{image}' not found."
    job = jobs.jobs.get_job(name=f"{PARENT}/jobs/{name}")
    assert (job.terminal_condition.state, job.terminal_condition.message) == (State.CONDITION_FAILED, failure.message)
    execution = jobs.run(job)
    assert (completed(execution).state, execution.succeeded_count) == (State.CONDITION_FAILED, 0)
    secret: Any = a_job()
    secret.template.template.containers[0].env.append(
        {"name": "KEY", "value_source": {"secret_key_ref": {"secret": "nowhere", "version": "1"}}}
    )
    failure = jobs.failure(jobs.jobs.create_job(parent=PARENT, job=secret, job_id=new_name("bad")))
    assert "secrets/nowhere/versions/1" in failure.message


def test_overrides_need_a_right_of_their_own(jobs: Jobs, tmp_path: Path) -> None:
    job = jobs.create()
    invoker = new_identity(tmp_path, ["roles/run.invoker"])
    client = run_v2.JobsClient(credentials=invoker.credentials)
    client.run_job(name=job.name)
    with pytest.raises(GoogleAPICallError, match=r"run\.jobs\.runWithOverrides"):
        client.run_job(run_v2.RunJobRequest(name=job.name, overrides={"task_count": 2}))


def test_a_job_is_deleted_with_its_executions_and_what_runs_is_stopped(jobs: Jobs) -> None:
    job = jobs.create(a_job(SECONDS="60"))
    name = jobs.start(job).metadata.name
    jobs.until(name, lambda execution: execution.running_count == 1)
    jobs.jobs.delete_job(name=job.name).result(polling=QUICK)
    with pytest.raises(GoogleAPICallError, match="of kind 'EXECUTION'"):
        jobs.executions.get_execution(name=name)
    assert jobs.create(name=short(job.name)).execution_count == 0


@pytest.fixture
def own(cloud: LocalCloud, tmp_path: Path) -> Iterator[Own]:
    yield from Own.over(tmp_path / "cloud", cloud)


def test_an_execution_that_a_killed_emulator_had_under_way_comes_to_its_end(own: Own) -> None:
    with own.running(kill=True):
        jobs = Jobs()
        job = jobs.create(a_job(SECONDS="3"))
        operation = jobs.start(job)
        jobs.until(operation.metadata.name, lambda execution: execution.running_count == 1)
    with own.running():
        ended = Jobs().ended(operation.metadata.name)
        assert ended.succeeded_count == 1
        assert said(ended)[-1].split()[3] == "1"  # made again after the attempt that was cut off
        known = Jobs().jobs.transport.operations_client.get_operation(operation.operation.name)
        assert known.done and not known.HasField("error")
