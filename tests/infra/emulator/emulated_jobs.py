"""Jobs on the local Cloud Run, as the official clients make them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import run_v2
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
from google.protobuf import duration_pb2

from tests.conftest import PROJECT
from tests.infra.emulator.emulated_run import HELLO, PARENT, QUICK, container, new_name, short

# Says where it is, and ends as its first argument says for each attempt: 1,0 fails once.
SCRIPT = """
import os, sys, time
attempt = int(os.environ["CLOUD_RUN_TASK_ATTEMPT"])
print(" ".join(os.environ[f"CLOUD_RUN_{name}"] for name in ("JOB", "EXECUTION", "TASK_INDEX", "TASK_ATTEMPT",
      "TASK_COUNT")), "PORT" in os.environ, os.environ.get("WORD", ""), flush=True)
codes = (os.environ.get("CODES") or "0").split(",")
time.sleep(float(os.environ.get("SECONDS", "0")))
sys.exit(int(codes[min(attempt, len(codes) - 1)]))
"""


def a_job(code: str = SCRIPT, *, tasks: int = 1, parallelism: int = 0, timeout_s: int = 60, **env: str) -> run_v2.Job:
    """A job without retries; set `max_retries` on its task template for some."""
    variables = [run_v2.EnvVar(name=name, value=value) for name, value in env.items()]
    task = run_v2.TaskTemplate(
        containers=[container(code, env=variables)],
        max_retries=0,
        timeout=duration_pb2.Duration(seconds=timeout_s),
    )
    return run_v2.Job(template=run_v2.ExecutionTemplate(task_count=tasks, parallelism=parallelism, template=task))


class Jobs:
    """The clients, and what most tests do with them."""

    def __init__(self) -> None:
        self.jobs, self.executions, self.tasks = run_v2.JobsClient(), run_v2.ExecutionsClient(), run_v2.TasksClient()

    def create(self, job: run_v2.Job | None = None, name: str = "") -> run_v2.Job:
        operation = self.jobs.create_job(parent=PARENT, job=job or a_job(), job_id=name or new_name("job"))
        created: run_v2.Job = operation.result(polling=QUICK)
        return created

    def update(self, job: run_v2.Job, **options: Any) -> run_v2.Job:
        request = run_v2.UpdateJobRequest(job=job, **options)
        updated: run_v2.Job = self.jobs.update_job(request).result(polling=QUICK)
        return updated

    def start(self, job: run_v2.Job, **request: Any) -> Any:
        """The operation of a new execution, whose metadata is the execution."""
        return self.jobs.run_job(run_v2.RunJobRequest(name=job.name, **request))

    def run(self, job: run_v2.Job, **request: Any) -> run_v2.Execution:
        """An execution that has ended, however it did."""
        return self.ended(self.start(job, **request).metadata.name)

    def ended(self, name: str) -> run_v2.Execution:
        return self.until(name, lambda execution: bool(execution.completion_time))

    def until(self, name: str, holds: Callable[[run_v2.Execution], bool]) -> run_v2.Execution:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            execution = self.executions.get_execution(name=name)
            if holds(execution):
                return execution
            time.sleep(0.05)
        raise AssertionError(f"{name} did not come so far")

    def failure(self, operation: Any) -> GoogleAPICallError:
        with pytest.raises(GoogleAPICallError) as raised:
            operation.result(polling=QUICK)
        return raised.value


def completed(execution: run_v2.Execution) -> run_v2.Condition:
    return next(condition for condition in execution.conditions if condition.type_ == "Completed")


def said(execution: run_v2.Execution, log: str = "stdout") -> list[str]:
    """What the tasks of an execution have written, sorted."""
    condition = (
        f'resource.type="cloud_run_job" AND labels."run.googleapis.com/execution_name"="{short(execution.name)}" '
        f'AND log_id("run.googleapis.com/{log}")'
    )
    entries = LoggingServiceV2Client().list_log_entries(resource_names=[f"projects/{PROJECT}"], filter=condition)
    return sorted(entry.text_payload for entry in entries)


__all__ = ["HELLO", "Jobs", "a_job", "completed", "said"]
