"""Cloud SQL Admin: instances and their backups, over REST.

https://cloud.google.com/sql/docs/mysql/admin-api/rest/v1/instances
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from infra.gcp.calls.clients import unless_gone
from infra.gcp.calls.rest import change, ended, find_json, pages

API = "https://sqladmin.googleapis.com/v1"
LONGEST_POLL_S = 5.0
FINAL_BACKUP_DAYS = 30


@dataclass(frozen=True, slots=True)
class Instance:
    """`name` is projects/{project}/instances/{id}."""

    name: str
    connection: str  # project:region:instance, as Cloud Run names it
    addresses: tuple[str, ...]
    created: datetime
    labels: Mapping[str, str]
    state: str  # RUNNABLE, PENDING_CREATE, MAINTENANCE …
    runs: bool  # its activation policy is not NEVER
    protected: bool  # Google refuses to delete it
    replicas: tuple[str, ...]
    primary: str  # of which it is a replica itself; '' for none
    hosts: tuple[str, ...]  # DNS names
    version: str  # of its settings


@dataclass(frozen=True, slots=True)
class BackupRun:
    """`name` is projects/{project}/instances/{instance}/backupRuns/{id}."""

    name: str
    on_demand: bool  # else Cloud SQL made it by its schedule, and takes it away again
    status: str  # SUCCESSFUL, FAILED, RUNNING, SKIPPED …
    description: str
    at: datetime | None  # when it was asked for
    labels: Mapping[str, str]  # of its instance


async def list_instances(project: str) -> list[Instance]:
    """Raises GoogleError, as all here; also where an answer says that it is not whole."""
    found = await pages("cloudsql.instances.list", f"{API}/projects/{project}/instances", "items", warnings=True)
    return [_instance(project, each) for each in found]


async def get_instance(name: str) -> Instance | None:
    body = await find_json("cloudsql.instances.get", f"{API}/{name}")
    return None if body is None else _instance(name.split("/")[1], body)


async def list_backups(instance: Instance) -> list[BackupRun]:
    found = await pages("cloudsql.backupRuns.list", f"{API}/{instance.name}/backupRuns", "items")
    return [_run(instance.name, each, instance.labels) for each in found]


async def get_backup(name: str, labels: Mapping[str, str]) -> BackupRun | None:
    body = await find_json("cloudsql.backupRuns.get", f"{API}/{name}")
    return None if body is None else _run(name.partition("/backupRuns/")[0], body, labels)


async def stop_instance(name: str, version: str, timeout_s: float) -> bool:
    """Nobody can connect until it is started again. False if it is gone; FAILED_PRECONDITION if it has changed."""
    body = {"settings": {"activationPolicy": "NEVER", "settingsVersion": version}}
    return await unless_gone(_done("cloudsql.instances.update", "PATCH", f"{API}/{name}", timeout_s, body))


async def delete_instance(name: str, timeout_s: float) -> bool:
    """After a last backup, which stays for 30 days and can be restored to another instance. False if it is gone."""
    query = {"enableFinalBackup": "true", "finalBackupTtlDays": FINAL_BACKUP_DAYS}
    url = f"{API}/{name}?{urlencode(query)}"
    return await unless_gone(_done("cloudsql.instances.delete", "DELETE", url, timeout_s))


async def delete_backup(name: str, timeout_s: float) -> bool:
    return await unless_gone(_done("cloudsql.backupRuns.delete", "DELETE", f"{API}/{name}", timeout_s))


async def _done(name: str, method: str, url: str, timeout_s: float, body: object = None) -> None:
    """Waits for the operation that the call starts; its failure is a GoogleError."""
    operation = await change(name, method, url, body)
    place = f"{API}/projects/{operation['targetProject']}/operations/{operation['name']}"
    await ended(name, "cloudsql.operations.get", place, timeout_s, LONGEST_POLL_S)


def _instance(project: str, body: Mapping[str, Any]) -> Instance:
    settings = body.get("settings", {})
    return Instance(
        f"projects/{project}/instances/{body['name']}",
        body.get("connectionName", ""),
        tuple(each["ipAddress"] for each in body.get("ipAddresses", ()) if each.get("ipAddress")),
        datetime.fromisoformat(body["createTime"]),
        settings.get("userLabels", {}),
        body.get("state", ""),
        settings.get("activationPolicy", "ALWAYS") != "NEVER",
        settings.get("deletionProtectionEnabled", False),
        tuple(body.get("replicaNames", ())),
        body.get("masterInstanceName", "").rpartition(":")[2],
        tuple(_hosts(body)),
        settings.get("settingsVersion", ""),
    )


def _hosts(body: Mapping[str, Any]) -> Iterator[str]:
    """https://cloud.google.com/sql/docs/mysql/configure-private-service-connect: with a dot at the end."""
    for said in (body.get("dnsName"), *(each.get("name") for each in body.get("dnsNames", ()))):
        if said:
            yield said.rstrip(".").lower()


def _run(instance: str, body: Mapping[str, Any], labels: Mapping[str, str]) -> BackupRun:
    at = body.get("enqueuedTime") or body.get("startTime")
    return BackupRun(
        f"{instance}/backupRuns/{body['id']}",
        body.get("type", "ON_DEMAND") == "ON_DEMAND",
        body.get("status", ""),
        body.get("description", ""),
        datetime.fromisoformat(at) if at else None,
        labels,
    )
