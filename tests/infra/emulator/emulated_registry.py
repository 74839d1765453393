"""What the tests of Artifact Registry share: its clients, and an OCI client small enough to see every request."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import json
import os
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from google.api_core.retry import Retry
from google.cloud import artifactregistry_v1 as ar

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.discovery import Checked

LOCATION = "us-central1"
PARENT = f"projects/{PROJECT}/locations/{LOCATION}"
HOST = f"{LOCATION}-docker.pkg.dev"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
QUICK = Retry(initial=0.01, maximum=0.05, timeout=30)
_numbers = itertools.count()


def new_repository(*, immutable: bool = False) -> str:
    """Creates a repository of its own for a test; answers its resource name."""
    repository = ar.Repository(
        format_=ar.Repository.Format.DOCKER,
        docker_config=ar.Repository.DockerRepositoryConfig(immutable_tags=immutable),
    )
    repository_id = f"repository-{next(_numbers)}"
    client = ar.ArtifactRegistryClient()
    operation = client.create_repository(parent=PARENT, repository_id=repository_id, repository=repository)
    return str(operation.result(timeout=30).name)


def rest(cloud: LocalCloud, api: str = "artifactregistry") -> Checked:
    """A REST session with an API, as gcloud's user; every answer is held against the discovery document."""
    return Checked(base_url=f"https://{api}.googleapis.com", headers=authorization(cloud))


def authorization(cloud: LocalCloud) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(cloud)}"}


def token(cloud: LocalCloud) -> str:
    return (cloud.data / "gcloud-token").read_text()


def plain_door(cloud: LocalCloud) -> str:
    return str(json.loads((cloud.data / "emulator.json").read_text())["http"])


def layer_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(out.getvalue(), mtime=0)


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class OciClient:
    """Pushes by hand, request by request. `name` is PROJECT/REPOSITORY/IMAGE."""

    cloud: LocalCloud
    base_url: str = f"https://{HOST}"
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        headers = authorization(self.cloud)
        self.http = httpx.Client(base_url=self.base_url, headers=headers, timeout=30)

    def blob(self, name: str, data: bytes) -> dict[str, Any]:
        """Uploads at once; answers the descriptor's digest and size."""
        digest = digest_of(data)
        answer = self.http.post(f"/v2/{name}/blobs/uploads/", params={"digest": digest}, content=data)
        assert answer.status_code == 201, answer.text
        return {"digest": digest, "size": len(data)}

    def manifest(self, name: str, *, layer: bytes = b"", created: str = "2026-01-02T03:04:05Z") -> bytes:
        """An image's manifest, its blobs uploaded."""
        config = {"os": "linux", "architecture": "amd64", "created": created, "rootfs": {"type": "layers"}}
        config_type, layer_type = (
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.oci.image.layer.v1.tar+gzip",
        )
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": config_type, **self.blob(name, json.dumps(config).encode())},
            "layers": [{"mediaType": layer_type, **self.blob(name, layer or layer_of({"app": os.urandom(8)}))}],
        }
        return json.dumps(document).encode()

    def push(self, name: str, reference: str = "", **options: str) -> str:
        """A new image under a tag, or untagged; answers its digest."""
        manifest = self.manifest(name, **options)  # type: ignore[arg-type]
        answer = self.put(name, reference or digest_of(manifest), manifest)
        assert answer.status_code == 201, answer.text
        return digest_of(manifest)

    def put(self, name: str, reference: str, manifest: bytes, media_type: str = OCI_MANIFEST) -> httpx.Response:
        headers = {"Content-Type": media_type}
        return self.http.put(f"/v2/{name}/manifests/{reference}", content=manifest, headers=headers)

    def push_index(self, name: str, tag: str, children: dict[str, str]) -> str:
        """A multi-architecture image of manifests (by architecture) that are there."""
        manifests = [
            {"mediaType": OCI_MANIFEST, "digest": child, "size": 1, "platform": {"os": "linux", "architecture": arch}}
            for arch, child in children.items()
        ]
        index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).encode()
        answer = self.put(name, tag, index, OCI_INDEX)
        assert answer.status_code == 201, answer.text
        return digest_of(index)


def image_name(repository: str, image: str = "app") -> str:
    """The registry's name of an image: PROJECT/REPOSITORY/IMAGE."""
    return f"{PROJECT}/{repository.rpartition('/')[2]}/{image}"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def error(answer: httpx.Response) -> tuple[int, str, str]:
    """HTTP status, code and message of a refusal in the registry's form."""
    (only,) = answer.json()["errors"]
    return answer.status_code, only["code"], only["message"]
