"""Cloud Run v2: jobs, and running one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from google.api_core.operation_async import AsyncOperation as Operation
from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2
from google.protobuf import json_format

from infra.gcp.calls.attempts import PASSING
from infra.gcp.calls.clients import OPERATIONS, READ, call, client, finish, read
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.paging import each
from infra.gcp.calls.polling import until
from infra.gcp.run.templates import Workload, template_of
from infra.gcp.run.unknown import keep_unknown

__all__ = [
    "Execution",
    "Operation",
    "RunJob",
    "begin",
    "cancel",
    "cancel_execution",
    "ended",
    "ended_execution",
    "execution",
    "execution_of",
    "get_job",
    "list_executions",
    "list_jobs",
    "list_run_jobs",
    "named_execution",
    "start_job",
    "test_permissions",
    "validate_job",
    "write_job",
]
TOKENS = ("start_execution_token", "run_execution_token")
POLL_S, LONGEST_POLL_S = 0.2, 3.0


@dataclass(frozen=True, slots=True)
class RunJob:
    """A job as Cloud Run reports it."""

    name: str  # projects/{project}/locations/{region}/jobs/{id}
    etag: str
    labels: Mapping[str, str]
    template: Mapping[str, Any] = field(repr=False, compare=False)  # of its executions, v2 as JSON
    resource: Any = field(repr=False, compare=False)  # in protobuf, with fields of a newer API than this client

    @property
    def id(self) -> str:
        return self.name.rsplit("/", 1)[1]

    @property
    def body(self) -> dict[str, Any]:
        """All of it, v2 as JSON."""
        return json_format.MessageToDict(self.resource)


async def list_run_jobs(project: str, region: str) -> list[RunJob]:
    method = client(run_v2.JobsAsyncClient).list_jobs
    request = {"parent": f"projects/{project}/locations/{region}"}
    return [_job(run_v2.Job.wrap(found)) async for found in each("run.jobs.list", method, request, "jobs")]


async def get_job(name: str) -> RunJob | None:
    found = await read("run.jobs.get", client(run_v2.JobsAsyncClient).get_job, {"name": name})
    return None if found is None else _job(found)


async def write_job(
    name: str, template: Mapping[str, Any], labels: Mapping[str, str], over: RunJob | None, timeout_s: float
) -> RunJob:
    """Creates the job, or changes it where it is `over`, whose etag guards it and of which all else stays.

    An update has no mask, so it is the whole job that is sent.
    https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.jobs/patch
    When Google's answer is lost, the job itself is asked whether the change was made; it is never written twice.
    """
    message = _message(name, template, labels, over)
    method = "run.jobs.create" if over is None else "run.jobs.update"
    try:
        operation = await _send(method, message, update=over is not None)
        return _job(await finish(method, operation, timeout_s))
    except GoogleError as error:
        found = await get_job(name) if error.status in PASSING or error.method == OPERATIONS else None
        if found is None:
            raise
        if error.status == "ABORTED":  # it has changed since it was read, or Google had a reason of its own
            raise (replace(error, status="UNAVAILABLE") if found.etag == message.etag else error) from error
        if not _within(json_format.MessageToDict(message.template), found.template):
            raise
        return found


async def validate_job(name: str, template: Mapping[str, Any], labels: Mapping[str, str], over: RunJob | None) -> None:
    """Has Google look at what would be written, be the job there or not, and writes nothing. Raises GoogleError."""
    message = _message(name, template, labels, over)
    request = run_v2.UpdateJobRequest(job=run_v2.Job.wrap(message), validate_only=True, allow_missing=True)
    await call("run.jobs.update", client(run_v2.JobsAsyncClient).update_job, request, retry=READ)


async def test_permissions(job: str, permissions: Collection[str]) -> set[str]:
    """Which of these permissions the caller has on the job, whether it is there or not."""
    request = iam_policy_pb2.TestIamPermissionsRequest(resource=job, permissions=sorted(permissions))
    method = client(run_v2.JobsAsyncClient).test_iam_permissions
    return set((await call("run.jobs.testIamPermissions", method, request, retry=READ)).permissions)


async def begin(job: RunJob, token: str, timeout_s: float) -> str:
    """Begins the execution of the job that is called by the token, and answers its full name once it has started.

    One that is there already is taken for it: a name is given once, so that however often this is repeated, it is begun
    once. Raises GoogleError; ABORTED if somebody else has changed the job since it was read.
    https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.jobs, startExecutionToken
    https://github.com/GoogleCloudPlatform/magic-modules/pull/19060: "Resource 'job-token' already exists"
    """
    name = named_execution(job.name, token)
    if await _get_execution(name) is not None:
        return name
    message = _message(job.name, job.template, job.labels, job)
    message.start_execution_token = token
    try:
        await finish("run.jobs.update", await _send("run.jobs.update", message, update=True), timeout_s)
    except GoogleError:
        if await _get_execution(name) is None:
            raise
    return name


def named_execution(job: str, token: str) -> str:
    """The full name of the execution that a token stands for."""
    return f"{job}/executions/{job.rpartition('/')[2]}-{token}"


async def ended_execution(name: str, timeout_s: float) -> Execution:
    """The execution once it has ended, however it did. Raises GoogleError, DEADLINE_EXCEEDED if it takes longer."""

    async def look() -> Any:
        found = await _get_execution(name)
        if found is None:
            raise GoogleError("run.executions.get", "NOT_FOUND", f"{name} was deleted.")
        return found

    try:
        found = await until(
            look,
            lambda seen: seen.HasField("completion_time"),
            limit_s=timeout_s,
            pause_s=POLL_S,
            longest_s=LONGEST_POLL_S,
        )
    except TimeoutError:
        late = f"It has not ended after {timeout_s:.0f} s."
        raise GoogleError("run.executions.get", "DEADLINE_EXCEEDED", late) from None
    return execution(found)


async def cancel_execution(name: str) -> bool:
    """Whether it is there and is being cancelled, or has ended by itself. Raises GoogleError."""
    found = await _get_execution(name)
    if found is None:
        return False
    if not found.HasField("completion_time"):
        method = client(run_v2.ExecutionsAsyncClient).cancel_execution
        await call("run.executions.cancel", method, {"name": name}, retry=READ)
    return True


async def _get_execution(name: str) -> Any | None:
    method = client(run_v2.ExecutionsAsyncClient).get_execution
    found = await read("run.executions.get", method, {"name": name})
    return None if found is None else run_v2.Execution.pb(found)


async def _send(method: str, message: Any, *, update: bool) -> Operation:
    jobs, job = client(run_v2.JobsAsyncClient), run_v2.Job.wrap(message)
    if update:
        operation: Operation = await call(method, jobs.update_job, run_v2.UpdateJobRequest(job=job))
        return operation
    parent, _, job_id = message.name.rpartition("/jobs/")
    created: Operation = await call(
        method, jobs.create_job, run_v2.CreateJobRequest(parent=parent, job=job, job_id=job_id)
    )
    return created


def _message(name: str, template: Mapping[str, Any], labels: Mapping[str, str], over: RunJob | None) -> Any:
    """The whole job; no execution begins with it."""
    message = run_v2.Job.pb()()
    if over is not None:
        message.CopyFrom(over.resource)
        message.etag = over.etag
        for token in TOKENS:
            message.ClearField(token)
    message.name = name
    message.ClearField("template")
    json_format.ParseDict(dict(template), message.template)
    if over is not None:
        keep_unknown(message.template, over.resource.template)
    message.labels.clear()
    message.labels.update(labels)
    return message


def _job(found: run_v2.Job) -> RunJob:
    message = run_v2.Job.pb(found)
    body = json_format.MessageToDict(message.template)
    return RunJob(message.name, message.etag, dict(message.labels), body, message)


def _within(asked: object, there: object) -> bool:
    """Values of JSON: whether the one holds all of the other; what is not asked for may have been filled in."""
    if isinstance(asked, Mapping) and isinstance(there, Mapping):
        return all(key in there and _within(value, there[key]) for key, value in asked.items())
    if isinstance(asked, list) and isinstance(there, list):
        return len(asked) == len(there) and all(map(_within, asked, there))
    return asked == there


async def list_jobs(project: str, region: str) -> list[Workload]:
    method = client(run_v2.JobsAsyncClient).list_jobs
    request = {"parent": f"projects/{project}/locations/{region}"}
    return [
        Workload(found.name, template_of(found.template.template))
        async for found in each("run.jobs.list", method, request, "jobs")
    ]


async def list_executions(project: str, region: str) -> list[Workload]:
    """Those of all jobs that have not ended: each keeps the template it began with, whatever the job says by now.

    https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.jobs.executions/list
    """
    method = client(run_v2.ExecutionsAsyncClient).list_executions
    request = {"parent": f"projects/{project}/locations/{region}/jobs/-"}
    return [
        Workload(found.name, template_of(found.template))
        async for found in each("run.executions.list", method, request, "executions")
        if not found.HasField("completion_time")
    ]


@dataclass(frozen=True, slots=True)
class Execution:
    """How an execution has ended: how many of its tasks, and how."""

    name: str
    tasks: int
    succeeded: int
    failed: int = 0
    cancelled: int = 0

    @property
    def shortfall(self) -> str:
        """What is missing for it to have done its work, '' if nothing is.

        Only the counts tell: the operation of RunJob ends well also when somebody cancels the execution.
        https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.jobs.executions
        https://github.com/apache/airflow/issues/57791
        """
        if self.tasks and self.succeeded == self.tasks and not (self.failed or self.cancelled):
            return ""
        others = [f"{many} {how}" for how, many in (("failed", self.failed), ("cancelled", self.cancelled)) if many]
        return ", ".join([f"of {self.tasks} tasks {self.succeeded} succeeded", *others])


async def start_job(name: str) -> Operation:
    """Begins an execution of job `name`; `execution_of` tells its name. Raises GoogleError."""
    method = client(run_v2.JobsAsyncClient).run_job
    operation: Operation = await call("run.jobs.run", method, {"name": name})
    return operation


def execution_of(operation: Operation) -> str:
    """The full name of the execution that an operation of `start_job` stands for."""
    return str(operation.metadata.name)


async def ended(operation: Operation, timeout_s: float) -> Execution:
    """Waits for the execution. Raises GoogleError if it fails or takes longer; not if it is cancelled."""
    return execution(await finish("run.jobs.run", operation, timeout_s))


async def cancel(operation: Operation) -> None:
    """Has the execution cancelled unless it is known to have ended. Raises GoogleError.

    https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.jobs.executions/cancel
    """
    if not operation.operation.done:
        method = client(run_v2.ExecutionsAsyncClient).cancel_execution
        await call("run.executions.cancel", method, {"name": execution_of(operation)}, retry=READ)


def execution(found: Any) -> Execution:
    return Execution(found.name, found.task_count, found.succeeded_count, found.failed_count, found.cancelled_count)
