"""The projects that exist, and which APIs each has enabled."""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass
from typing import Any

from google.rpc.code_pb2 import Code

from infra.emulator.kernel.behaviour import Behaviour
from infra.emulator.kernel.errors import RpcError, billing_disabled, service_disabled
from infra.emulator.kernel.store import Store

# The title is what Google's error texts call the API.
APIS = {
    "apigateway.googleapis.com": "API Gateway API",
    "apikeys.googleapis.com": "API Keys API",
    "artifactregistry.googleapis.com": "Artifact Registry API",
    "cloudasset.googleapis.com": "Cloud Asset API",
    "cloudbilling.googleapis.com": "Cloud Billing API",
    "cloudbuild.googleapis.com": "Cloud Build API",
    "cloudfunctions.googleapis.com": "Cloud Functions API",
    "cloudresourcemanager.googleapis.com": "Cloud Resource Manager API",
    "cloudscheduler.googleapis.com": "Cloud Scheduler API",
    "compute.googleapis.com": "Compute Engine API",
    "container.googleapis.com": "Kubernetes Engine API",
    "containeranalysis.googleapis.com": "Container Analysis API",
    "firestore.googleapis.com": "Cloud Firestore API",
    "iam.googleapis.com": "Identity and Access Management (IAM) API",
    "iamcredentials.googleapis.com": "IAM Service Account Credentials API",
    "logging.googleapis.com": "Cloud Logging API",
    "monitoring.googleapis.com": "Cloud Monitoring API",
    "orgpolicy.googleapis.com": "Organization Policy API",
    "policyanalyzer.googleapis.com": "Policy Analyzer API",
    "run.googleapis.com": "Cloud Run Admin API",
    "secretmanager.googleapis.com": "Secret Manager API",
    "serviceusage.googleapis.com": "Service Usage API",
    "sqladmin.googleapis.com": "Cloud SQL Admin API",
    "storage.googleapis.com": "Cloud Storage",
}
ALWAYS_ON = {"serviceusage.googleapis.com"}
# What these do costs money: without a billing account they can neither be enabled nor change anything.
PAID = {
    "artifactregistry.googleapis.com", "cloudbuild.googleapis.com", "cloudfunctions.googleapis.com",
    "compute.googleapis.com", "container.googleapis.com", "containerscanning.googleapis.com", "redis.googleapis.com",
    "run.googleapis.com", "secretmanager.googleapis.com", "sqladmin.googleapis.com", "vpcaccess.googleapis.com",
}  # fmt: skip
READING = (".get", ".list", ".getIamPolicy", ".access")


ORGANIZATION = "organizations/100000000001"  # the one that all projects are in


@dataclass(frozen=True)
class Project:
    id: str
    number: int


class Projects:
    def __init__(self, store: Store, behaviour: Behaviour) -> None:
        self._table = store.values("projects")
        self._apis = store.values("apis")  # "<project>/<api>" -> when it was enabled, seconds since the epoch
        self._behaviour = behaviour

    def create(self, project_id: str, *, billing: bool = True, apis: list[str] | None = None) -> Project:
        """Idempotent. The number is derived from the id so that it is the same after every reset."""
        number = 100_000_000_000 + zlib.crc32(project_id.encode())
        if project_id not in self._table:
            row = {"id": project_id, "number": number, "billing": billing, "name": project_id, "labels": {}}
            self._table.put(project_id, {**row, "created": time.time(), "etag": f"{time.time_ns():x}"})
            self._table.put(str(number), {"alias": project_id})
            for api in APIS if apis is None else apis:
                self._apis.put(f"{project_id}/{api}", 0.0)
        return Project(project_id, number)

    def all(self) -> list[Project]:
        return [Project(row["id"], row["number"]) for row in self._table.list() if "alias" not in row]

    def row(self, project_id: str) -> dict[str, Any]:
        """What is known of a project: id, number, billing, name, labels, created (seconds since the epoch), etag."""
        return dict(self._table.get(project_id) or {})

    def describe(self, project_id: str, *, name: str, labels: dict[str, str]) -> None:
        changed = {"name": name, "labels": labels, "etag": f"{time.time_ns():x}"}
        self._table.put(project_id, self.row(project_id) | changed)

    def exists(self, project_id: str) -> bool:
        return project_id in self._table

    def find(self, name: str) -> Project:
        """`name` is an id, a number or projects/{either}[/…]; an unknown project looks like a forbidden one."""
        key = name.removeprefix("projects/").split("/", 1)[0]
        row = self._table.get(key)
        if row and "alias" in row:
            row = self._table.get(row["alias"])
        if not row:
            raise RpcError(Code.PERMISSION_DENIED, f"Permission denied on resource project {key}.")
        return Project(row["id"], row["number"])

    def canonical(self, name: str) -> str:
        """projects/{number}/… as projects/{id}/…; other names as they are."""
        if not name.startswith("projects/"):
            return name
        _, _, rest = name.removeprefix("projects/").partition("/")
        return f"projects/{self.find(name).id}" + (f"/{rest}" if rest else "")

    def billing(self, project_id: str) -> bool:
        return bool((self._table.get(project_id) or {}).get("billing"))

    def set_billing(self, project_id: str, enabled: bool) -> None:
        self._table.put(project_id, {**(self._table.get(project_id) or {}), "billing": enabled})

    def require_billing(self, project: Project, api: str, permission: str) -> None:
        """Raises BILLING_DISABLED for a change that nobody would pay for; the permission it takes tells a change."""
        if api in PAID and permission and not permission.endswith(READING) and not self.billing(project.id):
            raise billing_disabled(api, APIS[api], project.id, project.number)

    def enable(self, project_id: str, api: str) -> None:
        if f"{project_id}/{api}" not in self._apis:
            self._apis.put(f"{project_id}/{api}", time.time())

    def disable(self, project_id: str, api: str) -> None:
        self._apis.delete(f"{project_id}/{api}")

    def enabled(self, project_id: str) -> set[str]:
        return {name.rsplit("/", 1)[1] for name in self._apis.names(f"{project_id}/")} | ALWAYS_ON

    def enabled_since(self, project_id: str, api: str) -> float | None:
        """Seconds since the epoch, 0 for from the beginning; None while it is off."""
        since: float | None = self._apis.get(f"{project_id}/{api}")
        return since

    def require(self, project: Project, api: str) -> None:
        """Raises SERVICE_DISABLED while `api` is off, or was enabled too recently to have propagated."""
        if api not in APIS or api in ALWAYS_ON:
            return
        since = self._apis.get(f"{project.id}/{api}")
        propagation = self._behaviour.latency_s.get("serviceusage.propagation", 0.0)
        if since is None or time.time() - since < propagation:
            raise service_disabled(api, APIS[api], project.id, project.number)
