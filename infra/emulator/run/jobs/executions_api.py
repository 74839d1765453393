"""google.cloud.run.v2.Executions and google.cloud.run.v2.Tasks."""

from __future__ import annotations

from typing import Any

from google.cloud import run_v2

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.run.jobs.system import CloudJobs
from infra.emulator.run.paging import newest_first, page_of

EXECUTIONS, TASKS = "google.cloud.run.v2.Executions", "google.cloud.run.v2.Tasks"
ListExecutionsResponse: Any = run_v2.ListExecutionsResponse.pb()
ListTasksResponse: Any = run_v2.ListTasksResponse.pb()


class ExecutionsAndTasks:
    def __init__(self, cloud: Cloud) -> None:
        self._state, self._lifecycle = cloud.get(CloudJobs).state, cloud.get(CloudJobs).lifecycle

    @rpc(f"{EXECUTIONS}/GetExecution", permission="run.executions.get")
    async def get(self, request: Any, _: Call) -> Any:
        return self._state.execution(request.name)

    @rpc(f"{EXECUTIONS}/ListExecutions", permission="run.executions.list", resource="parent")
    async def list(self, request: Any, _: Call) -> Any:
        executions, token = newest_first(self._state.executions, request, "executions")
        return ListExecutionsResponse(executions=executions, next_page_token=token)

    @rpc(f"{EXECUTIONS}/DeleteExecution", permission="run.executions.delete")
    async def delete(self, request: Any, _: Call) -> Any:
        return self._lifecycle.delete_execution(request.name, request.etag, validate_only=request.validate_only)

    @rpc(f"{EXECUTIONS}/CancelExecution", permission="run.executions.cancel")
    async def cancel(self, request: Any, _: Call) -> Any:
        return self._lifecycle.cancel_execution(request.name, request.etag, validate_only=request.validate_only)

    @rpc(f"{TASKS}/GetTask", permission="run.tasks.get")
    async def get_task(self, request: Any, _: Call) -> Any:
        return self._state.task(request.name)

    @rpc(f"{TASKS}/ListTasks", permission="run.tasks.list", resource="parent")
    async def list_tasks(self, request: Any, _: Call) -> Any:
        tasks, token = page_of(self._state.tasks, request, "tasks")
        return ListTasksResponse(tasks=tasks, next_page_token=token)
