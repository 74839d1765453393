"""What an instance consists of, and what Google refuses about it. Pure.

https://cloud.google.com/sql/docs/mysql/admin-api/rest/v1/instances#DatabaseInstance
"""

from __future__ import annotations

import re
import zlib
from typing import Any

from infra.emulator.iam.json_apis import LegacyError, Resource, known_only, timestamp
from infra.emulator.projects.projects import Project
from infra.emulator.sql.state import API

# https://cloud.google.com/sql/docs/mysql/create-instance: lowercase letters, numbers and hyphens; with the project's id
# and a colon at most 98 characters
NAME = re.compile(r"[a-z][a-z0-9-]{0,95}[a-z0-9]|[a-z]")
LONGEST = 98
VERSION = re.compile(r"(MYSQL|POSTGRES|SQLSERVER)_\w+")
INSTANCE = frozenset({
    "backendType", "databaseVersion", "diskEncryptionConfiguration", "etag", "failoverReplica", "gceZone",
    "instanceType", "kind", "maintenanceVersion", "masterInstanceName", "name", "onPremisesConfiguration", "project",
    "region", "replicaConfiguration", "rootPassword", "secondaryGceZone", "settings", "state", "connectionName",
    "createTime", "ipAddresses", "selfLink", "serviceAccountEmailAddress", "replicaNames", "tags", "ipv6Address",
    "maxDiskSize", "currentDiskSize", "serverCaCert", "databaseInstalledVersion", "satisfiesPzs",
})  # fmt: skip
POLICIES = ("ALWAYS", "NEVER", "ON_DEMAND")


def new_instance(project: Project, body: Resource) -> Resource:
    known_only(body, INSTANCE, "body")
    name, version = str(body.get("name", "")), str(body.get("databaseVersion") or "MYSQL_8_0")
    if not NAME.fullmatch(name) or len(f"{project.id}:{name}") > LONGEST:
        raise LegacyError(400, "invalidName", f"Invalid request: Incorrect Instance Name: {name}.")
    if not VERSION.fullmatch(version):
        raise LegacyError(400, "invalid", f"Invalid value at 'body.database_version': \"{version}\"")
    settings = dict(body.get("settings") or {})
    if not settings.get("tier"):
        raise LegacyError(400, "required", "Invalid request: Missing parameter: tier.")
    _check(settings)
    region = str(body.get("region") or "us-central1")
    number = zlib.crc32(f"{project.id}:{name}".encode())
    address = f"34.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    master = str(body.get("masterInstanceName", "")).rpartition(":")[2]
    made: Resource = {
        "kind": "sql#instance", "name": name, "project": project.id, "region": region, "databaseVersion": version,
        "backendType": "SECOND_GEN", "connectionName": f"{project.id}:{region}:{name}", "createTime": timestamp(),
        "instanceType": "READ_REPLICA_INSTANCE" if master else "CLOUD_SQL_INSTANCE", "gceZone": f"{region}-b",
        "selfLink": f"{API}/projects/{project.id}/instances/{name}",
        "serviceAccountEmailAddress": f"p{project.number}-{number:06x}@gcp-sa-cloud-sql.iam.gserviceaccount.com",
        "ipAddresses": [{"type": "PRIMARY", "ipAddress": address}],
        "settings": {
            "kind": "sql#settings", "activationPolicy": "ALWAYS", "pricingPlan": "PER_USE",
            "availabilityType": "ZONAL", "dataDiskType": "PD_SSD", "dataDiskSizeGb": "10", "storageAutoResize": True,
            "replicationType": "SYNCHRONOUS", "backupConfiguration": {"kind": "sql#backupConfiguration",
            "enabled": False, "startTime": "02:00"}, **settings,
        },
    }  # fmt: skip
    return made | ({"masterInstanceName": f"{project.id}:{master}"} if master else {})


def patched(there: Resource, changes: Resource) -> Resource:
    """Raises 412 where the settings are no longer those that the caller has seen."""
    known_only(changes, INSTANCE, "body")
    settings = dict(changes.get("settings") or {})
    _check(settings)
    seen = settings.pop("settingsVersion", None)
    if seen is not None and str(seen) != there["settings"]["settingsVersion"]:
        text = "The instance settings have changed since they were read: settingsVersion does not match."
        raise LegacyError(412, "staleData", text)
    merged: dict[str, Any] = {**there["settings"], **settings}
    for name in ("backupConfiguration", "ipConfiguration", "userLabels", "finalBackupConfig"):
        if isinstance(settings.get(name), dict):
            merged[name] = {**there["settings"].get(name, {}), **settings[name]}
    return {**there, "settings": merged}


def _check(settings: Resource) -> None:
    policy = settings.get("activationPolicy", "ALWAYS")
    if policy not in POLICIES:
        raise LegacyError(400, "invalid", f"Invalid value at 'body.settings.activation_policy': \"{policy}\"")


def deletable(instance: Resource) -> None:
    """https://cloud.google.com/sql/docs/mysql/deletion-protection, and no replicas: .../replication/manage-replicas"""
    if instance["settings"].get("deletionProtectionEnabled"):
        text = (
            "The instance is protected. Please disable the deletion protection and try again. To disable deletion "
            "protection, update the instance settings with deletionProtectionEnabled set to false."
        )
        raise LegacyError(400, "instanceDeletionProtected", text)
    if instance.get("replicaNames"):
        text = "The requested operation is not valid for this instance: it has replicas. Delete them first."
        raise LegacyError(400, "invalidOperation", text)
