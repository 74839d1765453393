"""The v1 paths by which gcloud speaks of jobs, executions and tasks: by namespace, on a region's own host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call, route
from infra.emulator.projects.projects import Projects
from infra.emulator.run.jobs.state import ExecutionPb, JobPb
from infra.emulator.run.jobs.system import CloudJobs
from infra.emulator.run.knative import jobs_in, jobs_out
from infra.emulator.run.knative.requests import HOST, Gate, body_of, check_version, deleted, is_dry, page, within
from infra.emulator.run.names import short
from infra.emulator.run.state import missing

NAMESPACE = "/apis/run.googleapis.com/v1/namespaces/{namespace}"


def _door(verb: str, path: str, method: str) -> Callable[[Any], Any]:
    return route(verb, NAMESPACE + path, method=f"run.{method}", host=HOST)


class KnativeJobs:
    def __init__(self, cloud: Cloud) -> None:
        self._state, self._lifecycle = cloud.get(CloudJobs).state, cloud.get(CloudJobs).lifecycle
        self._projects, self._gate = cloud.get(Projects), Gate(cloud)

    @_door("GET", "/jobs", "namespaces.jobs.list")
    async def list_jobs(self, request: web.Request, call: Call, namespace: str) -> web.Response:
        """On the global host those of every region, as gcloud asks for them without one."""
        parent = self._gate.admit(call, namespace, "-" if call.host.startswith(HOST) else "", "run.jobs.list")
        number = self._projects.find(namespace).number
        found = (jobs_out.job(job, number) for job in within(self._state.jobs, parent, "jobs"))
        return page(request, "Job", found, jobs_out.API)

    @_door("POST", "/jobs", "namespaces.jobs.create")
    async def create_job(self, request: web.Request, call: Call, namespace: str) -> web.Response:
        parent = self._gate.admit(call, namespace, "", "run.jobs.create")
        body = await body_of(request)
        name = f"{parent}/jobs/{(body.get('metadata') or {}).get('name', '')}"
        operation = self._lifecycle.create(name, jobs_in.job(body), call.principal, validate_only=is_dry(request))
        return self._job(_subject(operation, JobPb))

    @_door("GET", "/jobs/{name}", "namespaces.jobs.get")
    async def get_job(self, _: web.Request, call: Call, namespace: str, name: str) -> web.Response:
        parent = self._gate.admit(call, namespace, "", "run.jobs.get", f"jobs/{name}")
        return self._job(self._state.job(f"{parent}/jobs/{name}"))

    @_door("PUT", "/jobs/{name}", "namespaces.jobs.replaceJob")
    async def replace_job(self, request: web.Request, call: Call, namespace: str, name: str) -> web.Response:
        parent = self._gate.admit(call, namespace, "", "run.jobs.update", f"jobs/{name}")
        body = await body_of(request)
        full = f"{parent}/jobs/{name}"
        check_version(self._state.job(full), body)
        operation = self._lifecycle.update(full, jobs_in.job(body), call.principal, validate_only=is_dry(request))
        return self._job(_subject(operation, JobPb))

    @_door("DELETE", "/jobs/{name}", "namespaces.jobs.delete")
    async def delete_job(self, _: web.Request, call: Call, namespace: str, name: str) -> web.Response:
        parent = self._gate.admit(call, namespace, "", "run.jobs.delete", f"jobs/{name}")
        job = self._state.job(f"{parent}/jobs/{name}")
        self._lifecycle.delete(job.name)
        return deleted(job, "job")

    @_door("POST", "/jobs/{name}:run", "namespaces.jobs.run")
    async def run_job(self, request: web.Request, call: Call, namespace: str, name: str) -> web.Response:
        body = await body_of(request) if request.can_read_body else {}
        permission = "run.jobs.runWithOverrides" if body.get("overrides") else "run.jobs.run"
        parent = self._gate.admit(call, namespace, "", permission, f"jobs/{name}")
        operation = self._lifecycle.run(f"{parent}/jobs/{name}", jobs_in.overrides(body), "", call.principal)
        return self._execution(_subject(operation, ExecutionPb))

    @_door("GET", "/executions", "namespaces.executions.list")
    async def list_executions(self, request: web.Request, call: Call, namespace: str) -> web.Response:
        location = "-" if call.host.startswith(HOST) else ""
        parent = self._gate.admit(call, namespace, location, "run.executions.list")
        number = self._projects.find(namespace).number
        newest_first = sorted(
            within(self._state.executions, parent, "executions"), key=lambda e: -int(e.create_time.ToNanoseconds())
        )
        found = (jobs_out.execution(execution, number) for execution in newest_first)
        return page(request, "Execution", found, jobs_out.API)

    @_door("GET", "/executions/{name}", "namespaces.executions.get")
    async def get_execution(self, _: web.Request, call: Call, namespace: str, name: str) -> web.Response:
        parent = self._gate.admit(call, namespace, "", "run.executions.get", f"executions/{name}")
        return self._execution(self._state.execution(self._find(parent, name)))

    @_door("DELETE", "/executions/{name}", "namespaces.executions.delete")
    async def delete_execution(self, _: web.Request, call: Call, namespace: str, name: str) -> web.Response:
        parent = self._gate.admit(call, namespace, "", "run.executions.delete", f"executions/{name}")
        execution = self._state.execution(self._find(parent, name))
        self._lifecycle.delete_execution(execution.name)
        return deleted(execution, "execution")

    @_door("POST", "/executions/{name}:cancel", "namespaces.executions.cancel")
    async def cancel_execution(self, _: web.Request, call: Call, namespace: str, name: str) -> web.Response:
        parent = self._gate.admit(call, namespace, "", "run.executions.cancel", f"executions/{name}")
        full = self._find(parent, name)
        self._lifecycle.cancel_execution(full)
        return self._execution(self._state.execution(full))

    @_door("GET", "/tasks", "namespaces.tasks.list")
    async def list_tasks(self, request: web.Request, call: Call, namespace: str) -> web.Response:
        parent = self._gate.admit(call, namespace, "", "run.tasks.list")
        number = self._projects.find(namespace).number
        found = (jobs_out.task(task, number) for task in within(self._state.tasks, parent, "tasks"))
        return page(request, "Task", found, jobs_out.API)

    @_door("GET", "/tasks/{name}", "namespaces.tasks.get")
    async def get_task(self, _: web.Request, call: Call, namespace: str, name: str) -> web.Response:
        parent = self._gate.admit(call, namespace, "", "run.tasks.get", f"tasks/{name}")
        for full in self._state.tasks.names(f"{parent}/jobs/"):
            if short(full) == name:
                return web.json_response(jobs_out.task(self._state.task(full), self._projects.find(namespace).number))
        raise missing(f"{parent}/tasks/{name}", "TASK")

    def _find(self, parent: str, name: str) -> str:
        """The full name of an execution: names of executions are unique in their region."""
        for full in self._state.executions.names(f"{parent}/jobs/"):
            if short(full) == name:
                return full
        raise missing(f"{parent}/executions/{name}", "EXECUTION")

    def _job(self, job: Any) -> web.Response:
        return web.json_response(jobs_out.job(job, self._projects.find(job.name).number))

    def _execution(self, execution: Any) -> web.Response:
        return web.json_response(jobs_out.execution(execution, self._projects.find(execution.name).number))


def _subject(operation: Any, kind: Any) -> Any:
    subject = kind()
    operation.metadata.Unpack(subject)
    return subject
