"""Kubernetes Engine's clusters: https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters

A cluster of the local cloud has an API server of its own, or leads to one somewhere else: that is told over the admin
port, `PUT /clusters` with {"projects/P/locations/L/clusters/C": {"endpoint": "127.0.0.1:6443", "ca": "PEM"}}.
"""

from __future__ import annotations

import base64
import json
import zlib
from datetime import UTC, datetime
from typing import Any

from google.rpc.code_pb2 import Code
from pydantic import BaseModel, ConfigDict, TypeAdapter

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError, already_exists, not_found
from infra.emulator.kubernetes.discovery import VERSION
from infra.emulator.kubernetes.kinds import BUILT_IN
from infra.emulator.kubernetes.objects import Objects
from infra.emulator.kubernetes.server import ApiServer
from infra.emulator.projects.locations import REGIONS
from infra.emulator.projects.projects import Projects

# Of the block that RFC 2544 keeps for benchmarks: no such address is on the Internet.
NETWORK = "198.18"
MOST = 60
DNS_HOSTS = tuple(f"*.{region}.gke.goog" for region in REGIONS)
SYSTEM = ("default", "kube-node-lease", "kube-public", "kube-system", "gmp-public", "gmp-system", "gke-managed-system")


class Elsewhere(BaseModel):
    model_config = ConfigDict(extra="forbid")

    endpoint: str  # host or host:port, as it stands in https://
    ca: str = ""  # PEM


ELSEWHERE = TypeAdapter(dict[str, Elsewhere])


def addresses() -> list[str]:
    """Every endpoint that a cluster may get; a certificate has to name them all."""
    return [f"{NETWORK}.0.{number}" for number in range(1, MOST + 1)]


class Clusters:
    """Rows {name, endpoint, created, elsewhere?} by full name."""

    def __init__(self, cloud: Cloud, projects: Projects, objects: Objects) -> None:
        self._table = cloud.store.values("kubernetes.clusters")
        cloud.told["/clusters"] = self
        self._projects, self._objects = projects, objects
        self.authority = b""  # PEM of what has signed the API servers' certificate, known once the doors are open

    def create(self, name: str) -> dict[str, Any]:
        if name in self._table:
            raise already_exists(f"Already exists: {name}.")
        taken = {row["endpoint"] for row in self._table.list()}
        endpoint = next((each for each in addresses() if each not in taken), "")
        if not endpoint:
            raise RpcError(Code.RESOURCE_EXHAUSTED, f"The local cloud has addresses for {MOST} clusters.")
        row = {"name": name, "endpoint": endpoint, "created": datetime.now(UTC).isoformat(timespec="seconds")}
        self._table.put(name, row)
        server = ApiServer(name, self._objects)
        for namespace in SYSTEM:
            server.create(BUILT_IN["", "namespaces"], "", {"metadata": {"name": namespace}}, strict=False, dry=False)
        return row

    def delete(self, name: str) -> None:
        self.find(name)
        self._table.delete(name)
        self._objects.forget(name)

    def find(self, name: str) -> dict[str, Any]:
        row: dict[str, Any] | None = self._table.get(name)
        if row is None:
            raise not_found(f"Not found: {name}.")
        return row

    def within(self, project: str, location: str) -> list[dict[str, Any]]:
        """location: - for all."""
        start = f"projects/{project}/locations/"
        return list(self._table.list(start if location == "-" else f"{start}{location}/"))

    def at(self, host: str) -> str | None:
        """The cluster whose API server answers to this address or name."""
        rows = (row for row in self._table.list() if host in (row["endpoint"], self.dns_name(row["name"])))
        return next((row["name"] for row in rows), None)

    def dns_name(self, name: str) -> str:
        """https://cloud.google.com/kubernetes-engine/docs/concepts/network-isolation#dns-endpoint"""
        _, project, _, location, _, _ = name.split("/")
        region = "-".join(location.split("-")[:2])
        return f"gke-{zlib.crc32(name.encode()):08x}-{self._projects.find(project).number}.{region}.gke.goog"

    def shown(self, row: dict[str, Any]) -> dict[str, Any]:
        """The cluster as the API tells of it."""
        *_, location, _, short = row["name"].split("/")
        elsewhere = row.get("elsewhere")
        authority = elsewhere["ca"].encode() if elsewhere else self.authority
        endpoint = elsewhere["endpoint"] if elsewhere else row["endpoint"]
        dns = {"endpoint": self.dns_name(row["name"]), "allowExternalTraffic": True}
        return {
            "name": short,
            "location": location,
            "zone": location,
            "status": "RUNNING",
            "endpoint": endpoint,
            "createTime": row["created"],
            "currentMasterVersion": VERSION["gitVersion"].removeprefix("v"),
            "id": f"{zlib.crc32(row['name'].encode()):064x}",
            "selfLink": f"https://container.googleapis.com/v1/{row['name']}",
            "masterAuth": {"clusterCaCertificate": base64.b64encode(authority).decode()},
            "controlPlaneEndpointsConfig": {
                "dnsEndpointConfig": dns,
                "ipEndpointsConfig": {"enabled": True, "enablePublicEndpoint": True, "publicEndpoint": endpoint},
            },
            "resourceLabels": {},
        }

    def show(self) -> dict[str, Any]:
        """What leads elsewhere, for the admin port."""
        return {row["name"]: row["elsewhere"] for row in self._table.list() if row.get("elsewhere")}

    def take(self, body: bytes) -> None:
        """Instead of what was said before; a cluster that is not there yet is made."""
        wanted = ELSEWHERE.validate_json(body)
        for name in [name for name in wanted if name not in self._table]:
            self._projects.find(name)
            self.create(name)
        for row in list(self._table.list()):
            said = wanted.get(row["name"])
            row["elsewhere"] = json.loads(said.model_dump_json()) if said else None
            self._table.put(row["name"], row)
