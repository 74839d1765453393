"""What Cloud Run remembers of jobs: the jobs, their executions, and the tasks of those."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.cloud import run_v2

from infra.emulator.kernel.store import Store
from infra.emulator.run.jobs.names import JobName
from infra.emulator.run.state import missing

JobPb: Any = run_v2.Job.pb()
ExecutionPb: Any = run_v2.Execution.pb()
TaskPb: Any = run_v2.Task.pb()


class JobState:
    def __init__(self, store: Store) -> None:
        self.jobs = store.messages("run.jobs", JobPb)
        self.executions = store.messages("run.executions", ExecutionPb)
        self.tasks = store.messages("run.tasks", TaskPb)
        self._images = store.values("run.job-images")  # job or execution -> the digest reference of its image

    def job(self, name: str) -> Any:
        """A private copy; raises NOT_FOUND in Run's words."""
        return _found(self.jobs.get(name), name, "JOB")

    def execution(self, name: str) -> Any:
        return _found(self.executions.get(name), name, "EXECUTION")

    def task(self, name: str) -> Any:
        return _found(self.tasks.get(name), name, "TASK")

    def executions_of(self, job: str) -> Iterator[Any]:
        return self.executions.list(f"{job}/executions/")

    def tasks_of(self, execution: str) -> list[Any]:
        """In the order of their indices."""
        return sorted(self.tasks.list(f"{execution}/tasks/"), key=lambda task: int(task.index))

    def image(self, owner: str) -> str:
        """The image of a job or of an execution, by digest; '' if there was none to be found."""
        return str((self._images.get(owner) or {}).get("image", ""))

    def pin_image(self, owner: str, image: str) -> None:
        self._images.put(owner, {"image": image})

    def delete_execution(self, name: str) -> None:
        self.tasks.clear(f"{name}/tasks/")
        self._images.delete(name)
        self.executions.delete(name)

    def delete_job(self, name: str) -> None:
        for execution in self.executions.names(f"{name}/executions/"):
            self.delete_execution(execution)
        self._images.delete(name)
        self.jobs.delete(name)

    def count_execution(self, execution: Any) -> None:
        """Writes into the job that it has one execution more, the newest."""
        job = self.job(str(JobName.parse(execution.name)))
        job.execution_count += 1
        refer_to(job, execution)
        self.jobs.put(job.name, job)


def refer_to(job: Any, execution: Any) -> None:
    """Shows the execution as the job's newest."""
    reference = job.latest_created_execution
    reference.name = execution.name.rpartition("/")[2]
    reference.create_time.CopyFrom(execution.create_time)
    reference.completion_status = status_of(execution)
    if execution.HasField("completion_time"):
        reference.completion_time.CopyFrom(execution.completion_time)
    else:
        reference.ClearField("completion_time")


def status_of(execution: Any) -> int:
    """https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.jobs#ExecutionReference"""
    status = run_v2.ExecutionReference.CompletionStatus
    if not execution.HasField("completion_time"):
        return int(status.EXECUTION_RUNNING if execution.HasField("start_time") else status.EXECUTION_PENDING)
    if execution.succeeded_count == execution.task_count:
        return int(status.EXECUTION_SUCCEEDED)
    return int(status.EXECUTION_FAILED if execution.failed_count else status.EXECUTION_CANCELLED)


def _found(message: Any, name: str, kind: str) -> Any:
    if message is None:
        raise missing(name, kind)
    return message
