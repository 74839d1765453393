"""Executions: their tasks run side by side and again when they fail, until all have ended or somebody cancels."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from google.api.launch_stage_pb2 import LaunchStage
from google.cloud import run_v2
from google.rpc.code_pb2 import Code

from infra.emulator.kernel.behaviour import Behaviour
from infra.emulator.kernel.errors import RpcError
from infra.emulator.kernel.operations import Background
from infra.emulator.run.conditions import State, Unready
from infra.emulator.run.jobs import conditions
from infra.emulator.run.jobs.attempts import Attempts
from infra.emulator.run.jobs.conditions import ExecutionReason, Result
from infra.emulator.run.jobs.names import JobName, execution_of, task_of
from infra.emulator.run.jobs.state import ExecutionPb, JobState, TaskPb, refer_to
from infra.emulator.run.names import etag, short

AT_ONCE = 16  # tasks of one execution that this machine runs side by side, however many may
_TASK_TEMPLATE = run_v2.TaskTemplate.pb().DESCRIPTOR
SHARED = sorted(set(_TASK_TEMPLATE.fields_by_name) & set(TaskPb.DESCRIPTOR.fields_by_name))


class Course:
    """An execution under way."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()  # no attempt goes on, and none begins
        self.cancelled = False  # by a user
        self.unready: Unready | None = None  # why no container could start
        self.work: asyncio.Task[None] | None = None


class Executions:
    def __init__(self, state: JobState, attempts: Attempts, behaviour: Behaviour, background: Background) -> None:
        self._state, self._attempts, self._behaviour, self._background = state, attempts, behaviour, background
        self._courses: dict[str, Course] = {}

    def begin(self, job: Any, template: Any, name: str, principal: str) -> Any:
        """Stores a new execution of the job, has it run, and answers it. `template`: the job's, with overrides."""
        execution = _new_execution(job, template, name, principal)
        self._state.executions.put(name, execution)
        if image := self._state.image(job.name):
            self._state.pin_image(name, image)
        self._state.count_execution(execution)
        for index in range(execution.task_count):
            self._state.tasks.put(task_of(name, index), _new_task(execution, index))
        self._go(name)
        return execution

    def resume(self) -> None:
        """After a restart: what was under way goes on; attempts that were cut off are made again."""
        for execution in self._state.executions.list():
            if not execution.HasField("completion_time"):
                self._go(execution.name)

    async def ended(self, name: str) -> Any:
        """The execution once it has ended. Raises what its operation ends with: RpcError, not if it was cancelled."""
        course = self._courses.get(name)
        if course is not None and course.work is not None:
            await asyncio.shield(course.work)
        execution = self._state.execution(name)
        completed = conditions.condition_of(execution, "Completed")
        if completed.state == State.CONDITION_FAILED and completed.execution_reason != ExecutionReason.CANCELLED:
            raise RpcError(Code.INTERNAL, completed.message)
        return execution

    async def started(self, name: str) -> Any:
        """The execution once its tasks run, or it has ended. Raises RpcError if it could not start."""
        while True:
            execution = self._state.execution(name)
            if execution.HasField("start_time"):
                return execution
            if execution.HasField("completion_time"):
                return await self.ended(name)
            await asyncio.sleep(0.02)

    def cancel(self, name: str) -> None:
        """Has it stop; what runs gets a SIGTERM and then ten seconds."""
        course = self._courses.get(name)
        if course is not None:
            course.cancelled = True
            course.stop.set()
            self._change(name, _mark_cancelling)

    async def stop_all(self) -> None:
        """The emulator itself stops: everything is cut off, and goes on after its restart."""
        works = [course.work for course in self._courses.values() if course.work is not None]
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        self._courses.clear()

    def forget(self) -> None:
        """All state is gone."""
        for course in self._courses.values():
            if course.work is not None:
                course.work.cancel()
        self._courses.clear()

    def _go(self, name: str) -> None:
        course = self._courses[name] = Course()
        course.work = self._background.spawn(self._run(name, course))
        course.work.add_done_callback(lambda _: self._courses.pop(name, None))

    async def _run(self, name: str, course: Course) -> None:
        await self._behaviour.pause("run.execution")
        execution = self._state.execution(name)
        side_by_side = asyncio.Semaphore(min(execution.parallelism, AT_ONCE))
        open_tasks = [task for task in self._state.tasks_of(name) if not task.HasField("completion_time")]
        async with asyncio.TaskGroup() as group:
            for task in open_tasks:
                group.create_task(self._in_turn(task.name, course, side_by_side))
        if name in self._state.executions:
            self._change(name, lambda execution: _conclude(execution, self._state.tasks_of(name), course))

    async def _in_turn(self, task: str, course: Course, side_by_side: asyncio.Semaphore) -> None:
        async with side_by_side:
            if not course.stop.is_set():
                await self._run_task(task, course)

    async def _run_task(self, name: str, course: Course) -> None:
        execution, task = self._state.execution(execution_of(name)), self._state.task(name)
        attempt = task.retried + 1 if task.HasField("start_time") else 0
        while True:
            self._note(name, partial(_begin, attempt=attempt))
            try:
                result = await self._attempts.run(execution, task.index, attempt, course.stop)
            except Unready as unready:
                course.unready, result = unready, Result(Code.INTERNAL, 0, unready.failure.message)
            if name not in self._state.tasks:  # deleted meanwhile
                return
            again = not result.good and attempt < task.max_retries and not course.stop.is_set() and not course.unready
            self._note(name, partial(_record, result=result, final=not again))
            if not again:
                break
            attempt += 1
        if not result.good:  # https://cloud.google.com/run/docs/configuring/max-retries
            course.stop.set()

    def _note(self, task: str, change: Callable[[Any], None]) -> None:
        """Changes a task, and the counts of its execution with it."""
        found = self._state.task(task)
        change(found)
        found.update_time.GetCurrentTime()
        self._state.tasks.put(task, found)
        execution = execution_of(task)
        self._change(execution, lambda message: _count(message, self._state.tasks_of(execution)))

    def _change(self, name: str, change: Callable[[Any], None]) -> None:
        execution = self._state.execution(name)
        change(execution)
        execution.update_time.GetCurrentTime()
        execution.etag = etag(execution)
        self._state.executions.put(name, execution)
        job = self._state.jobs.get(str(JobName.parse(name)))
        if job is not None and job.latest_created_execution.name == short(name):
            refer_to(job, execution)
            self._state.jobs.put(job.name, job)


def _new_execution(job: Any, template: Any, name: str, principal: str) -> Any:
    execution = ExecutionPb(
        name=name,
        uid=str(uuid.uuid4()),
        creator=principal,
        generation=1,
        labels=dict(template.labels),
        annotations=dict(template.annotations),
        launch_stage=LaunchStage.GA,
        job=short(job.name),
        task_count=template.task_count,
        parallelism=min(template.parallelism or template.task_count, template.task_count),
        template=template.template,
        reconciling=True,
        log_uri=conditions.log_uri(name),
    )
    execution.create_time.GetCurrentTime()
    execution.update_time.CopyFrom(execution.create_time)
    conditions.pend(execution, "Completed", "ResourcesAvailable", "Started")
    execution.etag = etag(execution)
    return execution


def _new_task(execution: Any, index: int) -> Any:
    task = TaskPb(
        name=task_of(execution.name, index),
        uid=str(uuid.uuid4()),
        generation=1,
        labels=dict(execution.labels),
        job=execution.job,
        execution=short(execution.name),
        index=index,
        reconciling=True,
        log_uri=execution.log_uri,
    )
    for name in SHARED:
        field, value = TaskPb.DESCRIPTOR.fields_by_name[name], getattr(execution.template, name)
        if field.is_repeated:
            getattr(task, name).MergeFrom(value)
        elif field.message_type is None:
            setattr(task, name, value)
        elif execution.template.HasField(name):
            getattr(task, name).CopyFrom(value)
    task.create_time.GetCurrentTime()
    task.scheduled_time.CopyFrom(task.create_time)
    task.update_time.CopyFrom(task.create_time)
    conditions.pend(task, "Completed", "Started")
    task.etag = etag(task)
    return task


def _begin(task: Any, attempt: int) -> None:
    task.retried = attempt
    if not task.HasField("start_time"):
        task.start_time.GetCurrentTime()
    conditions.succeed(task, "Started")
    conditions.set_condition(task, "Completed", State.CONDITION_RECONCILING)


def _record(task: Any, result: Result, *, final: bool) -> None:
    attempt = task.last_attempt_result
    attempt.exit_code = result.exit_code
    attempt.status.code, attempt.status.message = result.code, result.message
    if not final:
        return
    task.completion_time.GetCurrentTime()
    task.ClearField("reconciling")
    task.observed_generation = task.generation
    if result.good:
        conditions.succeed(task, "Completed")
    elif result.code == Code.CANCELLED:
        conditions.fail(task, "Completed", result.message, ExecutionReason.CANCELLED)
    else:
        conditions.fail(task, "Completed", result.message, ExecutionReason.NON_ZERO_EXIT_CODE)


def _count(execution: Any, tasks: list[Any]) -> None:
    """How many tasks stand how."""
    ended = [task for task in tasks if task.HasField("completion_time")]
    codes = [task.last_attempt_result.status.code for task in ended]
    execution.succeeded_count = codes.count(Code.OK)
    execution.cancelled_count = codes.count(Code.CANCELLED)
    execution.failed_count = len(codes) - execution.succeeded_count - execution.cancelled_count
    execution.retried_count = sum(1 for task in tasks if task.retried)
    execution.running_count = sum(1 for task in tasks if task.HasField("start_time")) - len(ended)
    if execution.running_count and not execution.HasField("start_time"):
        execution.start_time.GetCurrentTime()
        conditions.succeed(execution, "ResourcesAvailable", "Provisioned imported containers.")
        conditions.succeed(execution, "Started", "Started deployed execution.")
        conditions.set_condition(execution, "Completed", State.CONDITION_RECONCILING)


def _mark_cancelling(execution: Any) -> None:
    text = "The execution is being cancelled."
    conditions.set_condition(
        execution, "Completed", State.CONDITION_RECONCILING, text, reason=ExecutionReason.CANCELLING
    )


def _conclude(execution: Any, tasks: list[Any], course: Course) -> None:
    """Writes into the execution how it has ended."""
    if course.cancelled:  # also those that had not begun
        execution.cancelled_count = execution.task_count - execution.succeeded_count - execution.failed_count
    execution.completion_time.GetCurrentTime()
    execution.ClearField("reconciling")
    execution.observed_generation = execution.generation
    failed = next((task for task in tasks if _failed(task)), None)
    if execution.succeeded_count == execution.task_count:
        conditions.succeed(execution, "Completed", "Execution completed successfully.")
    elif course.cancelled:
        conditions.fail(execution, "Completed", "The execution was cancelled.", ExecutionReason.CANCELLED)
    elif course.unready is not None:
        failure = course.unready.failure
        conditions.fail(execution, "Completed", failure.message, common=failure.reason)
    elif failed is not None:
        text = f"Task {short(failed.name)} failed with message: {failed.last_attempt_result.status.message}"
        conditions.fail(execution, "Completed", text, ExecutionReason.NON_ZERO_EXIT_CODE)


def _failed(task: Any) -> bool:
    return bool(task.HasField("completion_time")) and task.last_attempt_result.status.code not in (
        Code.OK,
        Code.CANCELLED,
    )
