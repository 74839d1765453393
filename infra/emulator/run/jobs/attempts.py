"""One attempt of a task: its container started, watched and ended."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from pathlib import Path
from typing import Any

from infra.emulator.kernel.errors import RpcError
from infra.emulator.logs.entries import Logs
from infra.emulator.run.conditions import Failure, Unready, image_denied
from infra.emulator.run.jobs.conditions import (
    Result,
    by_exit,
    cancelled,
    image_missing,
    secret_unreadable,
    timed_out,
)
from infra.emulator.run.jobs.names import JobName, task_of
from infra.emulator.run.jobs.state import JobState
from infra.emulator.run.journal import structured
from infra.emulator.run.machines import Machines
from infra.emulator.run.names import short
from infra.emulator.run.networks import Networks
from infra.emulator.run.runtime import Instance, Sink, begin
from infra.emulator.run.runtimes import Runtimes
from infra.emulator.run.workload import Denied, Surroundings, Unreadable, Workload


class TaskResolver:
    """Turns a task's template into its workload: the first container, as executions of a job's own have one."""

    def __init__(self, around: Surroundings, state: JobState) -> None:
        self._around, self._state = around, state

    def image(self, project: str, task: Any) -> str:
        """The digest of the template's image, for a job of the project. Raises Unready."""
        image = task.containers[0].image
        try:
            return self._around.pull(project, image)
        except Denied as denied:
            raise Unready(image_denied(str(denied))) from denied
        except RpcError as error:
            raise Unready(image_missing(image)) from error

    def own_env(self, task: Any, project: str) -> dict[str, str]:
        """What the template says of its variables, secrets read. Raises Unready."""
        env = {}
        for index, variable in enumerate(task.containers[0].env):
            env[variable.name] = variable.value
            if variable.HasField("value_source"):
                reference = variable.value_source.secret_key_ref
                try:
                    env[variable.name] = self._around.secret(project, reference, task.service_account)
                except Unreadable as error:
                    raise Unready(_unreadable(index, error, task.service_account)) from error
        return env

    def resolve(self, execution: Any, index: int, attempt: int) -> Workload:
        """The image is the one that the job had when the execution began. Raises Unready.

        https://cloud.google.com/run/docs/container-contract#jobs-env-vars
        """
        name = JobName.parse(execution.name)
        image = self._state.image(execution.name) or self.image(execution.name.split("/")[1], execution.template)
        env = {
            "CLOUD_RUN_JOB": name.id,
            "CLOUD_RUN_EXECUTION": short(execution.name),
            "CLOUD_RUN_TASK_INDEX": str(index),
            "CLOUD_RUN_TASK_ATTEMPT": str(attempt),
            "CLOUD_RUN_TASK_COUNT": str(execution.task_count),
            **self.own_env(execution.template, name.project),
        }
        task = task_of(execution.name, index)
        account = execution.template.service_account
        return self._around.workload(task, execution.template.containers[0], image, env, 0, account)


class Attempts:
    def __init__(
        self,
        resolver: TaskResolver,
        runtimes: Runtimes,
        networks: Networks,
        machines: Machines,
        logs: Logs,
        folder: Path,
    ) -> None:
        self._resolver, self._runtimes, self._networks = resolver, runtimes, networks
        self._machines, self._logs, self._folder = machines, logs, folder

    async def run(self, execution: Any, index: int, attempt: int, stop: asyncio.Event) -> Result:
        """Runs the container until it ends, its time is over or `stop` is set. Raises Unready if it cannot start."""
        workload = self._resolver.resolve(execution, index, attempt)
        folder = self._folder / uuid.uuid4().hex
        folder.mkdir(parents=True)
        try:
            instance = await self._start(workload, folder, execution, (index, attempt))
            limit_s = execution.template.timeout.ToTimedelta().total_seconds()
            return await self._watch(instance, limit_s, execution, (index, attempt), stop)
        except (OSError, RuntimeError, RpcError) as error:
            raise Unready(Failure(f"Cloud Run error: {error}")) from error
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _start(self, workload: Workload, folder: Path, execution: Any, place: tuple[int, int]) -> Instance:
        runtime, why = await self._runtimes.choose(workload)
        self._say(execution, place, f"Starting a container with the {runtime.name} runtime: {why}.")
        sink, metadata = self._sink(execution, place), self._machines.of(workload)
        return await begin(runtime, workload, folder, sink, self._networks, metadata)

    async def _watch(
        self, instance: Instance, limit_s: float, execution: Any, place: tuple[int, int], stop: asyncio.Event
    ) -> Result:
        stopping = asyncio.create_task(stop.wait())
        hurry = True
        try:
            await asyncio.wait({instance.ended, stopping}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            hurry = False
        finally:
            stopping.cancel()
            ended = instance.ended.done()
            await instance.stop(hurry=hurry)
            if instance.network:
                self._networks.close(instance.network)
        if ended:
            code = instance.ended.result()
            self._say(execution, place, f"Container called exit({code}).", "WARNING" if code else "INFO")
            return by_exit(code)
        if stop.is_set():
            return cancelled()
        self._say(
            execution,
            place,
            f"Terminating task because it has reached the maximum timeout of {limit_s:.0f} seconds. To change this "
            "limit, see https://cloud.google.com/run/docs/configuring/task-timeout",
            "ERROR",
        )
        return timed_out()

    def _sink(self, execution: Any, place: tuple[int, int]) -> Sink:
        def write(stream: str, line: str) -> None:
            if line:
                text, severity = structured(line)
                self._write(execution, place, f"run.googleapis.com/{stream}", text, severity)

        return write

    def _say(self, execution: Any, place: tuple[int, int], text: str, severity: str = "INFO") -> None:
        """Run's own remark about an attempt."""
        self._write(execution, place, "run.googleapis.com/varlog/system", text, severity)

    def _write(
        self, execution: Any, place: tuple[int, int], log_id: str, text: str | dict[str, Any], severity: str
    ) -> None:
        """As https://cloud.google.com/run/docs/logging has entries of jobs."""
        name, (index, attempt) = JobName.parse(execution.name), place
        labels = {
            "run.googleapis.com/execution_name": short(execution.name),
            "run.googleapis.com/task_index": str(index),
            "run.googleapis.com/task_attempt": str(attempt),
        }
        resource = {"job_name": name.id, "location": name.location}
        self._logs.write(name.project, log_id, "cloud_run_job", resource, text, severity, labels)


def _unreadable(index: int, error: Unreadable, account: str) -> Failure:
    field = f"spec.template.spec.template.spec.containers[0].env[{index}].value_from.secret_key_ref.name"
    return secret_unreadable(field, error.version, account, denied=error.denied)
