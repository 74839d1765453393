"""Secret Manager's state: secrets, their versions and payloads, by project id and name."""

from __future__ import annotations

import base64
import time
from typing import Any

import google_crc32c
from google.cloud.secretmanager_v1.types import Secret, SecretVersion
from google.rpc.code_pb2 import Code

from infra.emulator.kernel.errors import RpcError, already_exists, failed_precondition, not_found
from infra.emulator.kernel.store import Store
from infra.emulator.projects.projects import Projects

SecretPb: Any = Secret.pb()
VersionPb: Any = SecretVersion.pb()
State = SecretVersion.State


class Secrets:
    """Keys are projects/{id}/secrets/{name}[/versions/{n}]; answers carry the project's number, as Google's do."""

    def __init__(self, store: Store, projects: Projects) -> None:
        self.table = store.messages("secrets", SecretPb)
        self.versions = store.messages("secret-versions", VersionPb)
        self._payloads = store.values("secret-payloads")  # version -> base64
        self._projects = projects

    def shown(self, name: str) -> str:
        """A resource's name with the project's number."""
        _, project, rest = name.split("/", 2)
        return f"projects/{self._projects.find(project).number}/{rest}"

    def access(self, project_id: str, name: str, version: str = "latest") -> bytes:
        """The payload of a version (a number or `latest`); raises NOT_FOUND, or FAILED_PRECONDITION if not enabled."""
        found = self.find_version(f"projects/{project_id}/secrets/{name}/versions/{version}")
        return self.payload(found)

    def payload(self, version: VersionPb) -> bytes:
        if version.state != State.ENABLED:
            raise failed_precondition(
                f"Secret Version [{self.shown(version.name)}] is in {State(version.state).name} state."
            )
        return base64.b64decode(str(self._payloads.get(version.name)))

    def create(self, name: str, secret: SecretPb) -> SecretPb:
        if name in self.table:
            raise already_exists(f"Secret [{self.shown(name)}] already exists.")
        secret.name = name
        secret.create_time.GetCurrentTime()
        self.put(secret)
        return secret

    def put(self, secret: SecretPb) -> None:
        """Stores a secret under a new etag."""
        secret.etag = new_etag()
        self.table.put(secret.name, secret)

    def find(self, name: str) -> SecretPb:
        secret = self.table.get(name)
        if secret is None:
            raise not_found(f"Secret [{self.shown(name)}] not found.")
        return secret

    def delete(self, name: str) -> None:
        for version in self.versions.names(f"{name}/versions/"):
            self.versions.delete(version)
            self._payloads.delete(version)
        self.table.delete(name)

    def add_version(self, secret: str, data: bytes, checked: bool = False) -> VersionPb:
        """`checked`: whether the caller sent a checksum along."""
        self.find(secret)
        count = len(self.versions.names(f"{secret}/versions/"))
        version = VersionPb(name=f"{secret}/versions/{count + 1}", state=State.ENABLED, etag=new_etag())
        version.create_time.GetCurrentTime()
        version.replication_status.automatic.SetInParent()
        version.client_specified_payload_checksum = checked
        self._payloads.put(version.name, base64.b64encode(data).decode())
        self.versions.put(version.name, version)
        return version

    def find_version(self, name: str) -> VersionPb:
        secret, _, number = name.partition("/versions/")
        if number == "latest":
            newest = max(self.list_versions(secret), key=lambda v: number_of(v.name), default=None)
            if newest is None:
                raise not_found(f"Secret [{self.shown(secret)}] not found or has no versions.")
            return newest
        version = self.versions.get(name)
        if version is None:
            raise not_found(f"Secret Version [{self.shown(name)}] not found.")
        return version

    def list_versions(self, secret: str) -> list[VersionPb]:
        return list(self.versions.list(f"{secret}/versions/"))

    def set_state(self, name: str, state: int, etag: str) -> VersionPb:
        """Moves a version to `state`; a destroyed one never comes back."""
        version = self.find_version(name)
        check_etag(version.etag, etag)
        if version.state == State.DESTROYED:
            raise failed_precondition(f"Secret Version [{self.shown(version.name)}] is in DESTROYED state.")
        version.state, version.etag = state, new_etag()
        if state == State.DESTROYED:
            version.destroy_time.GetCurrentTime()
            self._payloads.delete(version.name)
        self.versions.put(version.name, version)
        return version


def number_of(version: str) -> int:
    return int(version.rsplit("/", 1)[1])


def new_etag() -> str:
    return f'"{time.time_ns() // 1000:x}"'


def check_etag(current: str, given: str) -> None:
    if given and given.strip('"') != current.strip('"'):
        raise RpcError(Code.ABORTED, "The etag provided in the request does not match the resource's current etag.")


def checksum(data: bytes) -> int:
    return int(google_crc32c.value(data))
