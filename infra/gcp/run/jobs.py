"""Cloud Run v2: jobs, and running one."""

from __future__ import annotations

from google.cloud import run_v2

from infra.gcp.calls.clients import call, client, finish
from infra.gcp.calls.paging import each
from infra.gcp.run.templates import Workload, template_of


async def list_jobs(project: str, region: str) -> list[Workload]:
    method = client(run_v2.JobsAsyncClient).list_jobs
    request = {"parent": f"projects/{project}/locations/{region}"}
    return [
        Workload(found.name, template_of(found.template.template))
        async for found in each("run.jobs.list", method, request, "jobs")
    ]


async def run_job(name: str, timeout_s: float) -> None:
    """Starts an execution of job `name` and waits. Raises GoogleError if it fails or takes longer."""
    operation = await call("run.jobs.run", client(run_v2.JobsAsyncClient).run_job, {"name": name})
    await finish("run.jobs.run", operation, timeout_s)
