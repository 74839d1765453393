"""The operations of Cloud SQL, and the backups that outlive their instances."""

from __future__ import annotations

from aiohttp import web

from infra.emulator.iam.json_apis import Door, LegacyError, Resource, known_only, paged, read_body
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call
from infra.emulator.sql.api import HOST, MOST_DAYS, api, backup_of
from infra.emulator.sql.state import Sql


class SqlOperations:
    def __init__(self, cloud: Cloud) -> None:
        self._sql, self._door = cloud.get(Sql), Door(cloud, HOST)

    @api("GET", "/operations/{operation}", "operations.get")
    async def get(self, _: web.Request, call: Call, project: str, operation: str) -> web.Response:
        """Whoever sees instances sees what is done to them."""
        project = self._door.admit(call, project, "cloudsql.instances.get").id
        found = self._sql.operations.get(f"{project}/{operation}")
        if found is None:
            raise LegacyError(404, "operationDoesNotExist", "The Cloud SQL instance operation does not exist.")
        return web.json_response(found)

    @api("GET", "/operations", "operations.list")
    async def list(self, request: web.Request, call: Call, project: str) -> web.Response:
        """The newest first."""
        project = self._door.admit(call, project, "cloudsql.instances.list").id
        wanted = request.query.get("instance", "")
        all_of_it = [each for each in self._sql.operations.list(f"{project}/") if wanted in ("", each["targetId"])]
        newest = sorted(all_of_it, key=lambda each: str(each["insertTime"]), reverse=True)
        numbered = {f"{number:09d}": each for number, each in enumerate(newest)}
        found, token = paged(request, list(numbered), str)
        answer: Resource = {"kind": "sql#operationsList", "items": [numbered[each] for each in found]}
        return web.json_response(answer | ({"nextPageToken": token} if token else {}))


class SqlBackups:
    """https://cloud.google.com/sql/docs/mysql/admin-api/rest/v1/Backups"""

    def __init__(self, cloud: Cloud) -> None:
        self._sql, self._door = cloud.get(Sql), Door(cloud, HOST)

    @api("GET", "/backups", "backups.list")
    async def list(self, request: web.Request, call: Call, project: str) -> web.Response:
        project = self._door.admit(call, project, "cloudsql.backupRuns.list").id
        if request.query.get("filter"):
            raise LegacyError(400, "invalidParameter", "Filters of backups are not emulated by the local cloud.")
        found, token = paged(request, list(self._sql.backups.list(f"{project}/")), lambda e: str(e["name"]), "pageSize")
        answer: Resource = {"backups": list(found)} if found else {}
        return web.json_response(answer | ({"nextPageToken": token} if token else {}))

    @api("GET", "/backups/{backup}", "backups.get")
    async def get(self, _: web.Request, call: Call, project: str, backup: str) -> web.Response:
        project = self._door.admit(call, project, "cloudsql.backupRuns.get").id
        return web.json_response(self._find(project, backup))

    @api("POST", "/backups", "backups.create")
    async def create(self, request: web.Request, call: Call, project: str) -> web.Response:
        project = self._door.admit(call, project, "cloudsql.backupRuns.create").id
        body = await read_body(request)
        known = frozenset({"instance", "description", "ttlDays", "expiryTime", "location", "kind", "name"})
        known_only(body, known, "backup")
        instance = self._sql.instance(project, str(body.get("instance", "")).rpartition("/")[2])
        days = str(body.get("ttlDays", ""))
        if not days.isdigit() or not 1 <= int(days) <= MOST_DAYS:
            raise LegacyError(400, "invalidParameter", f"ttlDays must be 1 to {MOST_DAYS}.")
        made = backup_of(instance, "ON_DEMAND", str(body.get("description", "")), int(days))

        def work() -> None:
            self._sql.backups.put(f"{project}/{made['name'].rpartition('/')[2]}", made)

        context = {"kind": "sql#backupContext", "name": made["name"]}
        return web.json_response(
            self._sql.start(
                "BACKUP_VOLUME", project, instance["name"], call.principal, work, "sql.backup", backupContext=context
            )
        )

    @api("DELETE", "/backups/{backup}", "backups.delete")
    async def delete(self, _: web.Request, call: Call, project: str, backup: str) -> web.Response:
        project = self._door.admit(call, project, "cloudsql.backupRuns.delete").id
        found = self._find(project, backup)

        def work() -> None:
            self._sql.backups.delete(f"{project}/{backup}")

        context = {"kind": "sql#backupContext", "name": found["name"]}
        return web.json_response(
            self._sql.start(
                "DELETE_BACKUP", project, found["instance"], call.principal, work, "sql.backup", backupContext=context
            )
        )

    def _find(self, project: str, backup: str) -> Resource:
        found = self._sql.backups.get(f"{project}/{backup}")
        if found is None:
            raise LegacyError(404, "backupDoesNotExist", "The backup does not exist.")
        return dict(found)
