"""Cloud Logging: the last lines that a revision's container wrote."""

from __future__ import annotations

from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2AsyncClient

from infra.gcp.calls.clients import READ, call, client


async def last_lines(project: str, service: str, revision: str, limit: int = 20) -> list[str]:
    """Oldest first; only text the container wrote itself, no request logs."""
    query = (
        'resource.type="cloud_run_revision"'
        f' AND resource.labels.service_name="{service}"'
        f' AND resource.labels.revision_name="{revision}"'
        f' AND (logName="projects/{project}/logs/run.googleapis.com%2Fstderr"'
        f' OR logName="projects/{project}/logs/run.googleapis.com%2Fstdout")'
    )
    request = {
        "resource_names": [f"projects/{project}"],
        "filter": query,
        "order_by": "timestamp desc",
        "page_size": limit,
    }
    pager = await call(
        "logging.entries.list", client(LoggingServiceV2AsyncClient).list_log_entries, request, retry=READ
    )
    return [entry.text_payload for entry in reversed(list(pager.entries)[:limit]) if entry.text_payload]
