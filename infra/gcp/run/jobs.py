"""Cloud Run jobs: run one and wait for it to succeed."""

from __future__ import annotations

from google.cloud import run_v2

from infra.gcp.calls.clients import call, client, finish


async def run_job(name: str, timeout_s: float) -> None:
    """Starts an execution of job `name` and waits. Raises GoogleError if it fails or takes longer."""
    operation = await call("run.jobs.run", client(run_v2.JobsAsyncClient).run_job, {"name": name})
    await finish("run.jobs.run", operation, timeout_s)
