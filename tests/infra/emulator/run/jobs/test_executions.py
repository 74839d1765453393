"""Executions really run: their tasks, retries, time-outs, and what becomes of them when somebody cancels."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud import run_v2
from google.protobuf import duration_pb2

from tests.infra.emulator.emulated_jobs import Jobs, a_job, completed, said
from tests.infra.emulator.emulated_run import QUICK, short

pytestmark = pytest.mark.usefixtures("cloud_env")
State, Reason = run_v2.Condition.State, run_v2.Condition.ExecutionReason


def counts(execution: run_v2.Execution) -> tuple[int, int, int, int]:
    return (execution.succeeded_count, execution.failed_count, execution.cancelled_count, execution.retried_count)


def test_every_task_runs_and_knows_its_place() -> None:
    jobs = Jobs()
    job = jobs.create(a_job(tasks=3, parallelism=2, WORD="hello"))
    operation = jobs.start(job)
    execution = operation.result(polling=QUICK)
    assert counts(execution) == (3, 0, 0, 0)
    assert (execution.parallelism, completed(execution).state) == (2, State.CONDITION_SUCCEEDED)
    name, own = short(job.name), short(execution.name)
    assert said(execution) == [f"{name} {own} {index} 0 3 False hello" for index in range(3)]
    tasks = list(jobs.tasks.list_tasks(parent=execution.name))
    assert [(task.index, task.retried, task.last_attempt_result.exit_code) for task in tasks] == [
        (index, 0, 0) for index in range(3)
    ]
    assert jobs.jobs.get_job(name=job.name).latest_created_execution.name == own


def test_a_task_that_fails_is_tried_again() -> None:
    jobs, wanted = Jobs(), a_job(CODES="1,0")
    wanted.template.template.max_retries = 2
    execution = jobs.run(jobs.create(wanted))
    assert counts(execution) == (1, 0, 0, 1)
    assert [line.split()[3] for line in said(execution)] == ["0", "1"]


def test_a_task_that_fails_for_good_fails_the_execution_and_its_operation() -> None:
    jobs, wanted = Jobs(), a_job(CODES="3")
    wanted.template.template.max_retries = 1
    operation = jobs.start(jobs.create(wanted))
    failure = jobs.failure(operation)
    execution = jobs.executions.get_execution(name=operation.metadata.name)
    assert counts(execution) == (0, 1, 0, 1)
    text = f"Task {short(execution.name)}-task0 failed with message: The container exited with an error."
    assert (completed(execution).message, failure.message) == (text, text)
    assert completed(execution).execution_reason == Reason.NON_ZERO_EXIT_CODE
    (task,) = jobs.tasks.list_tasks(parent=execution.name)
    assert task.last_attempt_result.exit_code == 3
    assert "Container called exit(3)." in said(execution, "varlog/system")


def test_when_one_task_fails_the_others_are_cut_off() -> None:
    code = "import os, sys, time; time.sleep(0 if os.environ['CLOUD_RUN_TASK_INDEX'] == '1' else 60); sys.exit(1)"
    execution = Jobs().run(Jobs().create(a_job(code, tasks=2)))
    assert counts(execution) == (0, 1, 1, 0)


def test_an_attempt_ends_when_its_time_is_over() -> None:
    jobs = Jobs()
    execution = jobs.run(jobs.create(a_job(timeout_s=1, SECONDS="60")))
    assert counts(execution) == (0, 1, 0, 0)
    assert "The configured timeout was reached." in completed(execution).message
    assert any("maximum timeout of 1 seconds" in line for line in said(execution, "varlog/system"))


def test_a_cancelled_execution_is_stopped_and_its_operation_ends_well() -> None:
    """https://github.com/apache/airflow/issues/57791"""
    jobs = Jobs()
    operation = jobs.start(jobs.create(a_job(tasks=2, parallelism=1, SECONDS="60")))
    name = operation.metadata.name
    jobs.until(name, lambda execution: execution.running_count == 1)
    jobs.executions.cancel_execution(name=name).result(polling=QUICK)
    execution = operation.result(polling=QUICK)
    assert counts(execution) == (0, 0, 2, 0)
    assert completed(execution).execution_reason == Reason.CANCELLED
    again = pytest.raises(Exception, match="already completed")
    with again:
        jobs.executions.cancel_execution(name=name)


def test_one_execution_may_have_other_arguments_variables_tasks_and_time() -> None:
    jobs = Jobs()
    overrides = run_v2.RunJobRequest.Overrides(
        task_count=2,
        timeout=duration_pb2.Duration(seconds=7),
        container_overrides=[{"env": [{"name": "WORD", "value": "other"}]}],
    )
    execution = jobs.run(jobs.create(a_job(WORD="own", CODES="0")), overrides=overrides)
    assert (execution.task_count, execution.template.timeout.seconds) == (2, 7)
    assert {line.split()[-1] for line in said(execution)} == {"other"}


@pytest.mark.parametrize("kind", ["start_execution_token", "run_execution_token"])
def test_a_token_begins_an_execution_of_that_name_once(kind: str) -> None:
    jobs, wanted = Jobs(), a_job()
    setattr(wanted, kind, "first")
    job = jobs.create(wanted)
    execution = jobs.ended(f"{job.name}/executions/{short(job.name)}-first")
    assert counts(execution) == (1, 0, 0, 0)
    job.labels["team"] = "red"
    assert jobs.update(job).execution_count == 1
    jobs.run(job)
    renewed: Any = jobs.jobs.get_job(name=job.name)
    assert getattr(renewed, kind) == ""
    setattr(renewed, kind, "first")
    with pytest.raises(Exception, match=f"Resource '{short(execution.name)}' already exists"):
        jobs.update(renewed)


def test_executions_are_listed_newest_first_and_deleted() -> None:
    jobs = Jobs()
    job = jobs.create()
    names = [jobs.run(job).name for _ in range(2)]
    assert [found.name for found in jobs.executions.list_executions(parent=job.name)] == names[::-1]
    jobs.executions.delete_execution(name=names[0]).result(polling=QUICK)
    assert [found.name for found in jobs.executions.list_executions(parent=job.name)] == names[1:]
