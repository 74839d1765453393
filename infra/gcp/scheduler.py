"""Cloud Scheduler: what is called when, in its JSON form."""

from __future__ import annotations

from typing import Any

from infra.gcp.calls.rest import listed


async def list_jobs(project: str, location: str) -> list[dict[str, Any]]:
    """https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs. Raises GoogleError."""
    url = f"https://cloudscheduler.googleapis.com/v1/projects/{project}/locations/{location}/jobs"
    return await listed("cloudscheduler.jobs.list", url, "jobs")
