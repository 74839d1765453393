"""Pushes to and pulls from our own Artifact Registry, as the build's service account."""

from __future__ import annotations

from collections.abc import Callable

from google.rpc.code_pb2 import Code

from infra.emulator.artifacts.images import Images
from infra.emulator.artifacts.manifests import parse_manifest
from infra.emulator.artifacts.references import parse_reference
from infra.emulator.builds.records import FailureType
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError
from infra.emulator.projects.projects import Projects

HOST = "artifactregistry.googleapis.com"
Output = Callable[[str], None]


class PushError(Exception):
    """`str()` is what `docker push` prints last; `kind` is a FailureInfo type."""

    def __init__(self, text: str, kind: int = FailureType.PUSH_FAILED) -> None:
        super().__init__(text)
        self.kind = kind


class Registry:
    def __init__(self, cloud: Cloud, account: str) -> None:
        self.cloud, self.account, self.images = cloud, account, cloud.get(Images)
        self._projects, self._policies = cloud.get(Projects), cloud.get(Policies)

    def check(self, reference: str, permission: str) -> None:
        """Raises PushError with the texts of real registries."""
        try:
            repository = parse_reference(reference).repository
            self._projects.require(self._projects.find(repository), HOST)
            allowed = self._policies.allowed(self.account, permission, repository)
        except RpcError as error:
            raise PushError(f"denied: {error.status.message}", FailureType.PUSH_NOT_AUTHORIZED) from error
        if not allowed:
            text = f"denied: Permission '{permission}' denied on resource '{repository}' (or it may not exist)."
            raise PushError(text, FailureType.PUSH_NOT_AUTHORIZED)
        try:
            self.images.catalogue.repository(repository)
        except RpcError as error:
            raise PushError(f'name unknown: Repository "{repository.rsplit("/", 1)[-1]}" not found') from error

    def push(self, manifest: bytes, reference: str, output: Output) -> str:
        """Puts an image whose blobs are stored under the reference's tag; answers its digest. Raises PushError."""
        parsed = parse_reference(reference)
        output(f"The push refers to repository [{reference.rsplit('@', 1)[0].rsplit(':', 1)[0]}]")
        self.check(reference, "artifactregistry.repositories.uploadArtifacts")
        for layer in parse_manifest(manifest).layers:
            output(f"{layer['digest'].removeprefix('sha256:')[:12]}: Pushed")
        try:
            digest = self.images.push(reference, manifest)
        except RpcError as error:
            kind = "manifest invalid" if error.status.code == Code.FAILED_PRECONDITION else "unknown"
            raise PushError(f"{kind}: {error.status.message}") from error
        output(f"{parsed.tag}: digest: {digest} size: {len(manifest)}")
        return digest

    def pull(self, reference: str, output: Output) -> bytes:
        """The manifest that the reference stands for. Raises PushError."""
        self.check(reference, "artifactregistry.repositories.downloadArtifacts")
        try:
            found = self.images.resolve(reference)
        except RpcError as error:
            text = f"manifest for {reference} not found: manifest unknown: {error.status.message}"
            raise PushError(text) from error
        output(f"Digest: {found.digest}")
        output(f"Status: Downloaded newer image for {reference}")
        return self.images.blobs.read(found.digest)
