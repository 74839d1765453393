"""Cloud Logging: the last lines that a revision's container wrote, how its instances ended, and lines of our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2AsyncClient

from infra.gcp.calls.clients import ONCE, READ, call, client

# The type of the resource that writes a log, and the label by which it is known:
# https://cloud.google.com/logging/docs/api/v2/resource-list
SERVICE = ("cloud_run_revision", "service_name")
WORKER_POOL = ("cloud_run_worker_pool", "worker_pool_name")
JOB = ("cloud_run_job", "job_name")
EXECUTION = "run.googleapis.com/execution_name"  # by which lines of a job tell of which execution they are
# How Cloud Run tells that an instance ended which it did not end itself.
ENDS = ("Container called exit(", "Container terminated on signal", "probe failed", "Memory limit of")
MOST_ENDS = 20


async def last_lines(
    project: str, owner: str, revision: str, limit: int = 20, of: tuple[str, str] = SERVICE
) -> list[str]:
    """Oldest first; only text the container wrote itself, no request logs. owner: its service, pool, or the job whose
    execution is meant instead of a revision.
    """
    query = (
        f"{_of(of, owner, revision)}"
        f' AND (logName="projects/{project}/logs/run.googleapis.com%2Fstderr"'
        f' OR logName="projects/{project}/logs/run.googleapis.com%2Fstdout")'
    )
    return await _texts(project, query, limit)


async def ended_instances(project: str, pool: str, revision: str, since: datetime) -> list[str]:
    """What Cloud Run itself says of instances of a worker pool's revision that ended by themselves, oldest first.

    The container's exit, a probe that failed, memory that was used up:
    https://cloud.google.com/run/docs/troubleshooting, https://cloud.google.com/run/docs/logging#container-logs
    """
    said = " OR ".join(f'textPayload:"{words}"' for words in ENDS)
    query = (
        f"{_of(WORKER_POOL, pool, revision)}"
        f' AND logName="projects/{project}/logs/run.googleapis.com%2Fvarlog%2Fsystem"'
        f' AND timestamp>="{since.isoformat()}" AND severity>="WARNING" AND ({said})'
    )
    return await _texts(project, query, MOST_ENDS)


@dataclass(frozen=True, slots=True)
class WrittenLine:
    """One line to be written. id: of two with the same one, Cloud Logging keeps one."""

    id: str
    at: datetime
    severity: str
    message: str
    labels: Mapping[str, str]
    trace: str = ""  # lines with the same one are shown together


async def write_lines(project: str, log: str, lines: Sequence[WrittenLine]) -> None:
    """To a log of the project: https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries/write."""
    entries: list[dict[str, Any]] = [
        {
            "insert_id": line.id,
            "timestamp": line.at,
            "severity": line.severity,
            "text_payload": line.message,
            "labels": dict(line.labels),
            "trace": f"projects/{project}/traces/{line.trace}" if line.trace else "",
        }
        for line in lines
    ]
    request = {
        "log_name": f"projects/{project}/logs/{log}",
        "resource": {"type": "global", "labels": {"project_id": project}},
        "entries": entries,
        "partial_success": True,
    }
    await call("logging.entries.write", client(LoggingServiceV2AsyncClient).write_log_entries, request, retry=ONCE)


def _of(of: tuple[str, str], owner: str, revision: str) -> str:
    kind, label = of
    run = f'labels."{EXECUTION}"' if of is JOB else "resource.labels.revision_name"
    return f'resource.type="{kind}" AND resource.labels.{label}="{owner}" AND {run}="{revision}"'


async def _texts(project: str, query: str, limit: int) -> list[str]:
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
