"""Instances, backups and operations by project, as JSON in the API's words.

Of an instance one administrative operation is under way at a time:
https://cloud.google.com/sql/docs/mysql/project-constraints#concurrent-operations
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from infra.emulator.iam.json_apis import LegacyError, Resource, timestamp
from infra.emulator.kernel.cloud import Cloud

API = "https://sqladmin.googleapis.com/sql/v1beta4"
# The name of a deleted instance is taken for a week: https://cloud.google.com/sql/docs/mysql/delete-instance
TAKEN_S = 7 * 86400.0
BUSY = (
    "Operation failed because another operation was already in progress. Try your request after the current operation "
    "is complete."
)


class Sql:
    def __init__(self, cloud: Cloud) -> None:
        self.instances = cloud.store.values("sql-instances")  # project/name
        self.runs = cloud.store.values("sql-backup-runs")  # project/instance/id
        self.backups = cloud.store.values("sql-backups")  # project/id: those that outlive their instance
        self.operations = cloud.store.values("sql-operations")  # project/name
        self._taken = cloud.store.values("sql-taken")  # project/name -> when it was deleted
        self._cloud = cloud

    def instance(self, project: str, name: str) -> Resource:
        found = self.instances.get(f"{project}/{name}")
        if found is None:
            raise LegacyError(404, "instanceDoesNotExist", "The Cloud SQL instance does not exist.")
        return dict(found)

    def put(self, instance: Resource) -> Resource:
        """Under a new etag and version of its settings."""
        settings = instance["settings"]
        settings["settingsVersion"] = str(int(settings.get("settingsVersion", "0")) + 1)
        instance["etag"] = uuid.uuid4().hex
        self.instances.put(f"{instance['project']}/{instance['name']}", instance)
        return instance

    def forget(self, instance: Resource) -> None:
        """Its backups go with it, unless they are to stay:
        https://cloud.google.com/sql/docs/mysql/backup-recovery/backups#retained-backups
        """
        key = f"{instance['project']}/{instance['name']}"
        self.instances.delete(key)
        if not instance["settings"].get("retainBackupsOnDelete"):
            self.runs.clear(f"{key}/")
        self._taken.put(key, time.time())

    def refuse_taken(self, key: str) -> None:
        deleted = self._taken.get(key)
        if key in self.instances or (deleted is not None and time.time() - deleted < TAKEN_S):
            text = (
                "The Cloud SQL instance already exists. When you delete an instance, you can't reuse the name of the "
                "deleted instance until one week from the deletion date."
            )
            raise LegacyError(409, "instanceAlreadyExists", text)

    def run(self, project: str, instance: str, number: str) -> Resource:
        self.instance(project, instance)
        found = self.runs.get(f"{project}/{instance}/{number}")
        if found is None:
            raise LegacyError(404, "backupRunDoesNotExist", "Backup run does not exist.")
        return dict(found)

    def refuse_busy(self, project: str, instance: str) -> None:
        under_way = (each for each in self.operations.list(f"{project}/") if each["targetId"] == instance)
        if any(each["status"] != "DONE" for each in under_way):
            raise LegacyError(409, "operationInProgress", BUSY)

    def start(
        self, kind: str, project: str, instance: str, user: str, work: Callable[[], Any], stage: str, **more: Any
    ) -> Resource:
        """An operation that does `work` when it has taken as long as its stage does, and then is DONE."""
        self.refuse_busy(project, instance)
        name, now = str(uuid.uuid4()), timestamp()
        operation: Resource = {
            "kind": "sql#operation", "name": name, "operationType": kind, "status": "PENDING", "user": user,
            "insertTime": now, "targetId": instance, "targetProject": project,
            "targetLink": f"{API}/projects/{project}/instances/{instance}",
            "selfLink": f"{API}/projects/{project}/operations/{name}", **more,
        }  # fmt: skip
        key = f"{project}/{name}"
        self.operations.put(key, operation)

        async def later() -> None:
            self.operations.put(key, operation | {"status": "RUNNING", "startTime": now})
            await self._cloud.behaviour.pause(stage)
            done = operation | {"status": "DONE", "startTime": now}
            try:
                work()
            except LegacyError as error:
                one = {"kind": "sql#operationError", "code": error.reason, "message": error.status.message}
                done["error"] = {"kind": "sql#operationErrors", "errors": [one]}
            self.operations.put(key, done | {"endTime": timestamp()})

        self._cloud.background.spawn(later())
        return operation
