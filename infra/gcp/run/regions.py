"""Cloud Run: where it is."""

from __future__ import annotations

from infra.gcp.calls.rest import listed


async def list_regions(project: str) -> tuple[str, ...]:
    """Where Cloud Run is: https://cloud.google.com/run/docs/reference/rest/v1/projects.locations/list"""
    url = f"https://run.googleapis.com/v1/projects/{project}/locations"
    return tuple(sorted(location["locationId"] for location in await listed("run.locations.list", url, "locations")))
