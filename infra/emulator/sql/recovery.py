"""Point-in-time recovery: to which moment an instance can be brought back by now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aiohttp import web

from infra.emulator.iam.json_apis import Door, LegacyError, timestamp
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call
from infra.emulator.sql.api import HOST, api
from infra.emulator.sql.state import Sql

STAGE = "sql.recovery"  # by how many seconds the logs lag behind


class SqlRecovery:
    """https://cloud.google.com/sql/docs/mysql/admin-api/rest/v1/instances/getLatestRecoveryTime"""

    def __init__(self, cloud: Cloud) -> None:
        self._sql, self._door, self._behaviour = cloud.get(Sql), Door(cloud, HOST), cloud.behaviour

    @api("GET", "/instances/{instance}/getLatestRecoveryTime", "instances.getLatestRecoveryTime")
    async def latest(self, _: web.Request, call: Call, project: str, instance: str) -> web.Response:
        project = self._door.admit(call, project, "cloudsql.instances.get", f"instances/{instance}").id
        found = self._sql.instance(project, instance)
        kept = found["settings"].get("backupConfiguration") or {}
        logs = kept.get("pointInTimeRecoveryEnabled") or kept.get("binaryLogEnabled")
        if not kept.get("enabled") or not logs:
            raise LegacyError(400, "invalidRequest", "Point-in-time recovery is not enabled for the instance.")
        behind = timedelta(seconds=self._behaviour.latency_s.get(STAGE, 0.0))
        moment = max(datetime.now(UTC) - behind, datetime.fromisoformat(found["createTime"]))
        return web.json_response(
            {
                "kind": "sql#getLatestRecoveryTime",
                "latestRecoveryTime": timestamp(moment),
                "earliestRecoveryTime": found["createTime"],
            }
        )
