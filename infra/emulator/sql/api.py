"""Cloud SQL Admin v1 and v1beta4, which gcloud calls: the same resources under two paths.

https://cloud.google.com/sql/docs/mysql/admin-api/rest/v1/instances and .../rest/v1beta4/instances
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from infra.emulator.iam.json_apis import (
    Door,
    LegacyError,
    Resource,
    known_only,
    legacy_form,
    paged,
    read_body,
    timestamp,
)
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call, route
from infra.emulator.sql.resources import deletable, new_instance, patched
from infra.emulator.sql.state import API, Sql

HOST = "sqladmin.googleapis.com"
MOST_DAYS = 365


def api(verb: str, path: str, method: str) -> Callable[[Any], Any]:
    """Marks a route of both versions; v1beta4 is served below /sql/."""

    def mark(handler: Any) -> Any:
        for start in ("/v1", "/sql/v1beta4"):
            template = f"{start}/projects/{{project}}{path}"
            handler = route(verb, template, method=f"sql.{method}", host=HOST, form=legacy_form)(handler)
        return handler

    return mark


class Instances:
    def __init__(self, cloud: Cloud) -> None:
        self._sql, self._door = cloud.get(Sql), Door(cloud, HOST)

    def _admit(self, call: Call, project: str, verb: str, instance: str = "") -> str:
        rest = f"instances/{instance}" if instance else ""
        return self._door.admit(call, project, f"cloudsql.instances.{verb}", rest).id

    @api("GET", "/instances", "instances.list")
    async def list(self, request: web.Request, call: Call, project: str) -> web.Response:
        project = self._admit(call, project, "list")
        if request.query.get("filter"):
            raise LegacyError(400, "invalidParameter", "Filters of instances are not emulated by the local cloud.")
        found, token = paged(request, list(self._sql.instances.list(f"{project}/")), lambda each: str(each["name"]))
        return _listed("sql#instancesList", found, token)

    @api("GET", "/instances/{instance}", "instances.get")
    async def get(self, _: web.Request, call: Call, project: str, instance: str) -> web.Response:
        project = self._admit(call, project, "get", instance)
        return web.json_response(self._sql.instance(project, instance))

    @api("POST", "/instances", "instances.insert")
    async def insert(self, request: web.Request, call: Call, project: str) -> web.Response:
        found = self._door.admit(call, project, "cloudsql.instances.create")
        made = new_instance(found, await read_body(request))
        self._sql.refuse_taken(f"{found.id}/{made['name']}")
        if master := _short(made.get("masterInstanceName")):
            source = self._sql.instance(found.id, master)
            source["replicaNames"] = [*source.get("replicaNames", ()), made["name"]]
            self._sql.put(source)
        self._sql.put(made | {"state": "PENDING_CREATE"})

        def work() -> None:
            self._sql.put(made | {"state": "RUNNABLE"})

        kind = "CREATE_REPLICA" if made.get("masterInstanceName") else "CREATE"
        return web.json_response(self._sql.start(kind, found.id, made["name"], call.principal, work, "sql.instance"))

    @api("PATCH", "/instances/{instance}", "instances.patch")
    async def patch(self, request: web.Request, call: Call, project: str, instance: str) -> web.Response:
        project = self._admit(call, project, "update", instance)
        there, changes = self._sql.instance(project, instance), await read_body(request)
        changed = patched(there, changes)

        def work() -> None:
            self._sql.put(changed)

        return web.json_response(self._sql.start("UPDATE", project, instance, call.principal, work, "sql.instance"))

    @api("DELETE", "/instances/{instance}", "instances.delete")
    async def delete(self, request: web.Request, call: Call, project: str, instance: str) -> web.Response:
        project = self._admit(call, project, "delete", instance)
        there = self._sql.instance(project, instance)
        deletable(there)
        final = self._final(request, there)
        self._sql.refuse_busy(project, instance)

        def work() -> None:
            for backup in final:
                self._sql.backups.put(f"{project}/{backup['name'].rpartition('/')[2]}", backup)
            if master := _short(there.get("masterInstanceName")):
                source = self._sql.instance(project, master)
                source["replicaNames"] = [each for each in source.get("replicaNames", ()) if each != instance]
                self._sql.put(source)
            self._sql.forget(there)

        return web.json_response(self._sql.start("DELETE", project, instance, call.principal, work, "sql.instance"))

    @staticmethod
    def _final(request: web.Request, instance: Resource) -> Sequence[Resource]:
        """The backup that a delete makes first, if it is to: enableFinalBackup, for finalBackupTtlDays."""
        wanted = instance["settings"].get("finalBackupConfig", {})
        query = request.query
        if query.get("enableFinalBackup", str(wanted.get("enabled", False))).lower() != "true":
            return []
        days = query.get("finalBackupTtlDays") or str(wanted.get("retentionDays", 30))
        if not days.isdigit() or not 1 <= int(days) <= MOST_DAYS:
            raise LegacyError(400, "invalidParameter", f"finalBackupTtlDays must be 1 to {MOST_DAYS}.")
        return [backup_of(instance, "FINAL", query.get("finalBackupDescription", ""), int(days))]


class BackupRuns:
    """Of an instance, which they go with."""

    def __init__(self, cloud: Cloud) -> None:
        self._sql, self._door = cloud.get(Sql), Door(cloud, HOST)

    def _admit(self, call: Call, project: str, verb: str, instance: str) -> str:
        """An instance that is not there is told before what is below it."""
        found = self._door.admit(call, project, f"cloudsql.backupRuns.{verb}", f"instances/{instance}").id
        self._sql.instance(found, instance)
        return found

    @api("GET", "/instances/{instance}/backupRuns", "backupRuns.list")
    async def list(self, request: web.Request, call: Call, project: str, instance: str) -> web.Response:
        """The newest first: .../rest/v1/backupRuns/list"""
        project = self._admit(call, project, "list", instance)
        runs = sorted(self._sql.runs.list(f"{project}/{instance}/"), key=_newest_first)
        found, token = paged(request, runs, _newest_first)
        return _listed("sql#backupRunsList", found, token)

    @api("GET", "/instances/{instance}/backupRuns/{number}", "backupRuns.get")
    async def get(self, _: web.Request, call: Call, project: str, instance: str, number: str) -> web.Response:
        project = self._admit(call, project, "get", instance)
        return web.json_response(self._sql.run(project, instance, number))

    @api("POST", "/instances/{instance}/backupRuns", "backupRuns.insert")
    async def insert(self, request: web.Request, call: Call, project: str, instance: str) -> web.Response:
        project = self._admit(call, project, "create", instance)
        body = await read_body(request)
        known_only(body, frozenset({"description", "instance", "kind", "location", "type", "backupKind"}), "backup_run")
        there = self._sql.instance(project, instance)
        self._sql.refuse_busy(project, instance)
        if there["settings"].get("activationPolicy") == "NEVER":
            raise LegacyError(400, "invalidState", "The instance or operation is not in an appropriate state to handle "
                              "the request.")  # fmt: skip
        number, now = str(time.time_ns() // 1_000_000), timestamp()
        made: Resource = {
            "kind": "sql#backupRun", "id": number, "instance": instance, "type": "ON_DEMAND", "backupKind": "SNAPSHOT",
            "status": "RUNNING", "enqueuedTime": now, "startTime": now, "windowStartTime": now,
            "location": body.get("location", there["region"].partition("-")[0]),
            "databaseVersion": there["databaseVersion"],
            "selfLink": f"{API}/projects/{project}/instances/{instance}/backupRuns/{number}",
        }  # fmt: skip
        if body.get("description"):
            made["description"] = body["description"]
        key = f"{project}/{instance}/{number}"
        self._sql.runs.put(key, made)

        def work() -> None:
            self._sql.runs.put(key, made | {"status": "SUCCESSFUL", "endTime": timestamp()})

        context = {"kind": "sql#backupContext", "backupId": number}
        operation = self._sql.start(
            "BACKUP_VOLUME", project, instance, call.principal, work, "sql.backup", backupContext=context
        )
        return web.json_response(operation)

    @api("DELETE", "/instances/{instance}/backupRuns/{number}", "backupRuns.delete")
    async def delete(self, _: web.Request, call: Call, project: str, instance: str, number: str) -> web.Response:
        project = self._admit(call, project, "delete", instance)
        self._sql.run(project, instance, number)

        def work() -> None:
            self._sql.runs.delete(f"{project}/{instance}/{number}")

        context = {"kind": "sql#backupContext", "backupId": number}
        return web.json_response(
            self._sql.start(
                "DELETE_BACKUP", project, instance, call.principal, work, "sql.backup", backupContext=context
            )
        )


def backup_of(instance: Resource, kind: str, description: str, days: int) -> Resource:
    """A backup of the project's, which outlives its instance and goes by itself."""
    name, now = f"projects/{instance['project']}/backups/{uuid.uuid4()}", datetime.now(UTC)
    made: Resource = {
        "kind": "sql#backup", "name": name, "instance": instance["name"], "type": kind, "state": "SUCCESSFUL",
        "backupKind": "SNAPSHOT", "location": instance["region"].partition("-")[0], "databaseVersion":
        instance["databaseVersion"], "selfLink": f"https://{HOST}/v1/{name}", "ttlDays": str(days),
        "expiryTime": timestamp(now + timedelta(days=days)),
        "backupInterval": {"startTime": timestamp(now), "endTime": timestamp(now)},
    }  # fmt: skip
    if kind == "FINAL":
        made["instanceDeletionTime"] = timestamp(now)
    return made | ({"description": description} if description else {})


def _short(master: str | None) -> str:
    """project:name as name."""
    return (master or "").rpartition(":")[2]


def _newest_first(run: Resource) -> str:
    """Sorts by time, the newest before."""
    return f"{10**15 - int(run['id']):016d}"


def _listed(kind: str, found: Any, token: str) -> web.Response:
    answer: Resource = {"kind": kind}
    if found:
        answer["items"] = list(found)
    if token:
        answer["nextPageToken"] = token
    return web.json_response(answer)
