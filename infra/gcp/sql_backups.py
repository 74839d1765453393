"""Cloud SQL Admin: what of a database can be gone back to, and backups that outlive their instance.

https://cloud.google.com/sql/docs/mysql/admin-api/rest/v1/Backups. In plain REST: the client package speaks gRPC alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.rest import change, find_json, get_json, listed

API = "https://sqladmin.googleapis.com/v1"
# Of an instance one administrative operation is under way at a time:
# https://cloud.google.com/sql/docs/mysql/project-constraints#concurrent-operations
BUSY = "operationInProgress"


@dataclass(frozen=True, slots=True)
class Database:
    """`name` is projects/{project}/instances/{id}."""

    name: str
    recoverable: bool  # to any moment of the last days
    runs: bool


@dataclass(frozen=True, slots=True)
class Backup:
    """`name` is projects/{project}/backups/{id}."""

    name: str
    state: str  # ENQUEUED, RUNNING, SUCCESSFUL, FAILED …
    error: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """`name` is projects/{project}/operations/{id}; backup: the full name of what it makes, '' until that is known."""

    name: str
    done: bool
    error: str
    backup: str


async def get_database(name: str) -> Database | None:
    """None if it is not there. Raises GoogleError, as all here."""
    found = await find_json("cloudsql.instances.get", f"{API}/{name}")
    if found is None:
        return None
    settings = found.get("settings") or {}
    kept = settings.get("backupConfiguration") or {}
    logs = kept.get("pointInTimeRecoveryEnabled") or kept.get("binaryLogEnabled")  # the latter is MySQL's
    return Database(name, bool(kept.get("enabled") and logs), settings.get("activationPolicy", "ALWAYS") != "NEVER")


async def latest_recovery(name: str) -> datetime | None:
    """The last moment that can be gone back to by now; None where nobody says.

    https://cloud.google.com/sql/docs/mysql/admin-api/rest/v1/instances/getLatestRecoveryTime
    """
    found = await get_json("cloudsql.instances.get", f"{API}/{name}/getLatestRecoveryTime")
    when = found.get("latestRecoveryTime")
    return datetime.fromisoformat(when) if when else None


async def begin_backup(name: str, description: str, days: int) -> Operation:
    """Asked for once. Raises GoogleError, with BUSY as its reason while another operation is under way."""
    project = name.split("/")[1]
    body = {"instance": name, "description": description, "ttlDays": str(days)}
    return _operation(await change("cloudsql.backups.createBackup", "POST", f"{API}/projects/{project}/backups", body))


async def get_operation(name: str) -> Operation:
    return _operation(await get_json("cloudsql.operations.get", f"{API}/{name}"))


async def find_backup(instance: str, description: str) -> Backup | None:
    """The newest of the instance that is described so; descriptions are ours alone when they name a run."""
    project, short = instance.split("/")[1], instance.rpartition("/")[2]
    found = await listed("cloudsql.backups.list", f"{API}/projects/{project}/backups", "backups")
    of_it = (each for each in found if str(each.get("instance", "")).rpartition("/")[2] == short)
    mine = (each for each in of_it if each.get("description") == description)
    newest = max(mine, key=lambda each: str((each.get("backupInterval") or {}).get("startTime", "")), default=None)
    if newest is None:
        return None
    error = newest.get("error") or {}
    return Backup(str(newest["name"]), str(newest.get("state", "")), str(error.get("message", "")))


def is_busy(error: GoogleError) -> bool:
    """Whether it is another operation that is in the way: 409, in the past 403."""
    return error.http_status in (403, 409) and (error.reason == BUSY or "another operation" in error.message.lower())


def _operation(found: Mapping[str, Any]) -> Operation:
    errors = (found.get("error") or {}).get("errors") or ()
    said = "; ".join(str(each.get("message") or each.get("code")) for each in errors)
    name = f"projects/{found['targetProject']}/operations/{found['name']}"
    return Operation(name, found.get("status") == "DONE", said, str((found.get("backupContext") or {}).get("name", "")))
