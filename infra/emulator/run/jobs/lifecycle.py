"""What happens to a job: created, changed, run, deleted; the same for API v2 and for the Knative v1 doors."""

from __future__ import annotations

import uuid
from collections.abc import Coroutine
from functools import partial
from typing import Any

from google.rpc.code_pb2 import Code

from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError, already_exists, failed_precondition
from infra.emulator.projects.projects import Projects
from infra.emulator.run.acting import check_act_as
from infra.emulator.run.conditions import CommonReason, Failure, State, Unready, condition
from infra.emulator.run.jobs.attempts import TaskResolver
from infra.emulator.run.jobs.defaults import check_execution, check_job, check_job_id, fill_in, token_of
from infra.emulator.run.jobs.executions import Executions
from infra.emulator.run.jobs.names import JobName, new_suffix
from infra.emulator.run.jobs.overrides import overridden
from infra.emulator.run.jobs.state import ExecutionPb, JobPb, JobState
from infra.emulator.run.lifecycle import check_etag
from infra.emulator.run.names import etag, short

# What a caller may set; all else on a job is Run's own.
MUTABLE = (
    "labels", "annotations", "client", "client_version", "launch_stage", "binary_authorization", "template",
    "start_execution_token", "run_execution_token",
)  # fmt: skip
KEPT_S = 30 * 86400  # what is deleted expires after so long
MISSING = CommonReason.CONTAINER_MISSING


class JobLifecycle:
    def __init__(self, cloud: Cloud, state: JobState, executions: Executions, resolver: TaskResolver) -> None:
        self._cloud, self._state, self._executions, self._resolver = cloud, state, executions, resolver
        self._operations, self._behaviour = cloud.operations, cloud.behaviour

    def create(self, name: str, wanted: Any, principal: str, *, validate_only: bool = False) -> Any:
        """Answers the operation that makes a new job ready; `wanted` is what the caller sent."""
        check_job_id(JobName.parse(name).id)
        job = JobPb(name=name, uid=str(uuid.uuid4()), generation=1, creator=principal, last_modifier=principal)
        # Empty, and there: GoogleCloudPlatform/k8s-config-connector has recorded it (runjob/basicjob/_http.log), and
        # Prefect's worker of Cloud Run pools reads it.
        job.latest_created_execution.SetInParent()
        self._complete(job, wanted, principal)
        if name in self._state.jobs:
            raise already_exists(f"Resource '{short(name)}' already exists.")
        job.update_time.GetCurrentTime()
        job.create_time.CopyFrom(job.update_time)
        return self._submit(job, token_of(job), principal, validate_only)

    def update(self, name: str, wanted: Any, principal: str, *, validate_only: bool = False) -> Any:
        """Answers the operation that brings a job to `wanted`: the whole of it, as it shall be; there is no mask.

        https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.jobs/patch
        """
        before = self._state.job(name)
        check_etag(before, wanted.etag)
        if before.HasField("delete_time"):
            raise failed_precondition(f"Resource '{short(name)}' is being deleted.")
        job = JobPb.FromString(before.SerializeToString())
        self._complete(job, wanted, principal)
        if job != before:
            job.generation += 1
            job.last_modifier = principal
            job.update_time.GetCurrentTime()
        token = token_of(job) if token_of(job) != token_of(before) else ""
        return self._submit(job, token, principal, validate_only)

    def delete(self, name: str, etag: str = "", *, validate_only: bool = False) -> Any:
        job = self._state.job(name)
        check_etag(job, etag)
        if validate_only:
            return self._done(name, job)
        job.delete_time.GetCurrentTime()
        job.expire_time.FromSeconds(job.delete_time.seconds + KEPT_S)
        for execution in self._state.executions_of(name):
            self._executions.cancel(execution.name)
        self._state.delete_job(name)
        self._cloud.get(Policies).delete(name)
        return self._done(name, job)

    def run(self, name: str, overrides: Any, etag: str, principal: str, *, validate_only: bool = False) -> Any:
        """Answers the operation that ends with the execution. Each call begins another one."""
        job = self._state.job(name)
        check_etag(job, etag)
        template = overridden(job.template, overrides)
        check_execution(template, "overrides")
        if validate_only:
            return self._done(name, ExecutionPb(job=short(name), template=template.template))
        for token in ("start_execution_token", "run_execution_token"):
            job.ClearField(token)  # as the API does: GoogleCloudPlatform/magic-modules#19060
        self._state.jobs.put(name, job)
        execution = self._executions.begin(job, template, JobName.parse(name).execution(new_suffix()), principal)
        return self._start(execution, self._executions.ended(execution.name))

    def cancel_execution(self, name: str, etag: str = "", *, validate_only: bool = False) -> Any:
        execution = self._state.execution(name)
        check_etag(execution, etag)
        if execution.HasField("completion_time"):
            raise failed_precondition(f"Execution '{short(name)}' has already completed and cannot be cancelled.")
        if not validate_only:
            self._executions.cancel(name)
        return self._done(name, execution) if validate_only else self._start(execution, self._gone_quiet(name))

    def delete_execution(self, name: str, etag: str = "", *, validate_only: bool = False) -> Any:
        execution = self._state.execution(name)
        check_etag(execution, etag)
        if not validate_only:
            execution.delete_time.GetCurrentTime()
            execution.expire_time.FromSeconds(execution.delete_time.seconds + KEPT_S)
            self._executions.cancel(name)
            self._state.delete_execution(name)
        return self._done(name, execution)

    def resume(self) -> None:
        """After a restart: takes up what was under way, under the names of the operations that callers wait for."""
        self._executions.resume()
        begun = {job.name for job in self._state.jobs.list() if job.reconciling}
        for operation in self._operations.list("projects/"):
            execution, job = ExecutionPb(), JobPb()
            if operation.done:
                continue
            if operation.metadata.Unpack(execution) and execution.name in self._state.executions:
                work = self._executions.ended(execution.name)
                self._operations.start(operation.name, execution, work, partial(self._current, execution))
            elif operation.metadata.Unpack(job) and job.name in self._state.jobs:
                work = self._settle(job.name, "", self._pin(self._state.job(job.name)))
                self._operations.start(operation.name, job, work, partial(self._current, job))
                begun.discard(job.name)
        for name in begun:
            self._start(self._state.job(name), self._settle(name, "", self._pin(self._state.job(name))))

    def _complete(self, job: Any, wanted: Any, principal: str) -> None:
        """Takes over what the caller may set, fills in the rest and checks it all."""
        given = JobPb()
        given.CopyFrom(wanted)
        for field in JobPb.DESCRIPTOR.fields:
            (job if field.name in MUTABLE else given).ClearField(field.name)
        job.MergeFrom(given)
        name = JobName.parse(job.name)
        fill_in(job, self._cloud.get(Projects).find(name.project).number)
        check_job(job)
        check_act_as(self._cloud, name.project, job.template.template.service_account, principal)

    def _submit(self, job: Any, token: str, principal: str, validate_only: bool) -> Any:
        """`token`: of an execution that begins with this change, '' if none does."""
        name = JobName.parse(job.name)
        if token and name.execution(token) in self._state.executions:
            raise already_exists(f"Resource '{short(name.execution(token))}' already exists.")
        job.etag = etag(job)
        job.reconciling = not validate_only
        job.terminal_condition.CopyFrom(condition("Ready", State.CONDITION_PENDING))
        if validate_only:
            return self._done(job.name, job)
        self._state.jobs.put(job.name, job)
        failure = self._pin(job)
        if token:
            self._executions.begin(job, job.template, name.execution(token), principal)
        return self._start(self._state.job(job.name), self._settle(job.name, token, failure))

    def _pin(self, job: Any) -> Failure | None:
        """Finds the digest of the job's image: executions have that one, until the job is changed again.

        Answers why the job's executions could not start, None if they can.
        """
        task, project = job.template.template, JobName.parse(job.name).project
        self._state.pin_image(job.name, "")
        try:
            self._state.pin_image(job.name, self._resolver.image(JobName.parse(job.name).project, task))
            self._resolver.own_env(task, project)
        except Unready as unready:
            return unready.failure
        return None

    async def _settle(self, name: str, token: str, failure: Failure | None) -> Any:
        """Returns the job as it is then; raises the RpcError that its operation ends with."""
        generation = self._state.job(name).generation
        await self._behaviour.pause("run.job")
        if token and failure is None:
            execution = JobName.parse(name).execution(token)
            if self._state.job(name).WhichOneof("create_execution") == "run_execution_token":
                await self._executions.ended(execution)
            else:
                await self._executions.started(execution)
        job = self._state.job(name)
        if job.generation == generation:
            job.observed_generation = generation
            job.ClearField("reconciling")
            state = State.CONDITION_SUCCEEDED if failure is None else State.CONDITION_FAILED
            job.terminal_condition.CopyFrom(condition("Ready", state, failure))
            self._state.jobs.put(name, job)
        if failure is not None:
            raise RpcError(Code.NOT_FOUND if failure.reason == MISSING else Code.FAILED_PRECONDITION, failure.message)
        return job

    async def _gone_quiet(self, name: str) -> Any:
        try:
            return await self._executions.ended(name)
        except RpcError:  # it failed before it could be cancelled
            return self._state.execution(name)

    def _start(self, subject: Any, work: Coroutine[Any, Any, Any]) -> Any:
        operation = f"{JobName.parse(subject.name).parent}/operations/{self._operations.new_id()}"
        return self._operations.start(operation, subject, work, partial(self._current, subject))

    def _done(self, name: str, subject: Any) -> Any:
        operation = f"{JobName.parse(name).parent}/operations/{self._operations.new_id()}"
        return self._operations.done(operation, subject, subject)

    def _current(self, subject: Any) -> Any:
        """What an operation's metadata shows in the end: the subject as it is now, or as it last was."""
        table = self._state.jobs if subject.DESCRIPTOR is JobPb.DESCRIPTOR else self._state.executions
        return table.get(subject.name) or subject
