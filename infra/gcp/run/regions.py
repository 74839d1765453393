"""Cloud Run: where it is."""

from __future__ import annotations

from infra.gcp.calls.rest import get_json


async def list_regions(project: str) -> tuple[str, ...]:
    """Where Cloud Run is: https://cloud.google.com/run/docs/reference/rest/v1/projects.locations/list"""
    regions: list[str] = []
    token = ""
    while True:
        url = f"https://run.googleapis.com/v1/projects/{project}/locations?pageSize=500&pageToken={token}"
        page = await get_json("run.locations.list", url)
        regions += [location["locationId"] for location in page.get("locations", [])]
        token = page.get("nextPageToken", "")
        if not token:
            return tuple(sorted(regions))
