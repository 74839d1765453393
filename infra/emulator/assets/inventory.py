"""What Cloud Asset Inventory knows: what there is, and for a while what there was.

"Search results are eventually consistent": https://cloud.google.com/asset-inventory/docs/search-resources. Deleted
things are found for up to a day and more, here for the stage `assets.lag` of the latency profile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from infra.emulator.apikeys.state import ApiKeys
from infra.emulator.compute.state import Compute
from infra.emulator.iam.json_apis import Resource, timestamp
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.logs.config import LogConfig
from infra.emulator.projects.projects import Project, Projects
from infra.emulator.secrets.state import Secrets
from infra.emulator.sql.state import Sql

Source = Callable[[Project], Iterable[Resource]]


class Assets:
    def __init__(self, cloud: Cloud) -> None:
        self._seen = cloud.store.values("assets")  # project/type/name -> the asset, and when it was last there
        self._projects, self._behaviour = cloud.get(Projects), cloud.behaviour
        self._sources: list[Source] = [
            secrets_of(cloud.get(Secrets)),
            keys_of(cloud.get(ApiKeys)),
            databases_of(cloud.get(Sql)),
            networks_of(cloud.get(Compute)),
            logs_of(cloud.get(LogConfig)),
        ]

    def of(self, project: Project) -> list[Resource]:
        """All of the project's, by name."""
        now, prefix = time.time(), f"{project.id}/"
        for source in self._sources:
            for asset in source(project):
                self._seen.put(f"{prefix}{asset['assetType']}/{asset['name']}", {"asset": asset, "at": now})
        limit = now - self._behaviour.latency_s.get("assets.lag", 0.0)
        for key in self._seen.names(prefix):
            if (self._seen.get(key) or {"at": 0.0})["at"] < limit:
                self._seen.delete(key)
        return sorted((each["asset"] for each in self._seen.list(prefix)), key=lambda asset: str(asset["name"]))


def secrets_of(secrets: Secrets) -> Source:
    def find(project: Project) -> Iterable[Resource]:
        start = f"projects/{project.id}/secrets/"
        for found in secrets.table.list(start):
            yield _asset(project, "secretmanager", "Secret", secrets.shown(found.name), "global", dict(found.labels))
        for found in secrets.versions.list(start):
            yield _asset(project, "secretmanager", "SecretVersion", secrets.shown(found.name), "global")

    return find


def keys_of(keys: ApiKeys) -> Source:
    def find(project: Project) -> Iterable[Resource]:
        for found in keys.of(f"projects/{project.id}/locations/global"):
            if not found.HasField("delete_time"):
                name = f"projects/{project.number}/{found.name.split('/', 2)[2]}"
                yield _asset(project, "apikeys", "Key", name, "global", title=found.display_name)

    return find


def databases_of(sql: Sql) -> Source:
    """Named by the id of the project: https://cloud.google.com/asset-inventory/docs/resource-name-format"""

    def find(project: Project) -> Iterable[Resource]:
        for found in sql.instances.list(f"{project.id}/"):
            name, labels = f"projects/{project.id}/instances/{found['name']}", found["settings"].get("userLabels", {})
            yield _asset(project, "sqladmin", "Instance", name, found["region"], labels, host="cloudsql")

    return find


def logs_of(config: LogConfig) -> Source:
    def find(project: Project) -> Iterable[Resource]:
        for found in config.buckets_of(project.id):
            name = f"projects/{project.number}/{found.name.split('/', 2)[2]}"
            yield _asset(project, "logging", "LogBucket", name, found.name.split("/")[3])
        for found in config.sinks_of(project.id):
            yield _asset(project, "logging", "LogSink", f"projects/{project.number}/sinks/{found.name}", "global")

    return find


# https://cloud.google.com/asset-inventory/docs/asset-types
TYPES = {
    "firewalls": "Firewall", "forwardingRules": "ForwardingRule", "targetHttpProxies": "TargetHttpProxy",
    "targetHttpsProxies": "TargetHttpsProxy", "targetTcpProxies": "TargetTcpProxy", "urlMaps": "UrlMap",
    "targetSslProxies": "TargetSslProxy", "backendServices": "BackendService", "addresses": "Address",
    "networkEndpointGroups": "NetworkEndpointGroup", "sslCertificates": "SslCertificate", "instances": "Instance",
}  # fmt: skip
GLOBAL = {"ForwardingRule": "GlobalForwardingRule", "Address": "GlobalAddress"}


def networks_of(compute: Compute) -> Source:
    """Global forwarding rules and addresses have types of their own."""

    def find(project: Project) -> Iterable[Resource]:
        for collection, kind in TYPES.items():
            for name, found in compute.of(project.id, collection):
                place = name.split("/")[2:4]
                own = GLOBAL.get(kind, kind) if place[0] == "global" else kind
                location = "global" if place[0] == "global" else place[1]
                yield _asset(project, "compute", own, name, location, found.get("labels"))

    return find


def _asset(
    project: Project,
    api: str,
    kind: str,
    name: str,
    location: str,
    labels: Mapping[str, str] | None = None,
    *,
    title: str = "",
    host: str = "",
) -> Resource:
    asset: dict[str, Any] = {
        "name": f"//{host or api}.googleapis.com/{name}",
        "assetType": f"{api}.googleapis.com/{kind}",
        "project": f"projects/{project.number}",
        "displayName": title or name.rpartition("/")[2],
        "location": location,
        "updateTime": timestamp(),
        "parentFullResourceName": f"//cloudresourcemanager.googleapis.com/projects/{project.id}",
        "parentAssetType": "cloudresourcemanager.googleapis.com/Project",
    }
    return asset | ({"labels": dict(labels)} if labels else {})
