"""Artifact Registry v1: the images of a repository, what they consist of, and their end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

from google.cloud import artifactregistry_v1 as ar

from infra.gcp.calls.clients import client, delete, read
from infra.gcp.calls.paging import each
from infra.gcp.calls.rest import get_json

INDEXES = (
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
)
IMAGES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
MANIFESTS = ", ".join((*INDEXES, *IMAGES))


@dataclass(frozen=True, slots=True)
class DockerImage:
    """One manifest of a repository: an image, an index of images, or what is attached to one."""

    name: str  # projects/{project}/locations/{location}/repositories/{id}/dockerImages/{image}@{digest}
    media_type: str
    artifact_type: str  # of what is attached to an image; '' for images
    tags: tuple[str, ...]
    uploaded: datetime
    built: datetime | None  # as it says of itself
    size_bytes: int
    children: tuple[str, ...]  # digests; of an index

    @property
    def repository(self) -> str:
        return self.name.partition("/dockerImages/")[0]

    @property
    def image(self) -> str:
        """Its path in the repository; may contain slashes."""
        return unquote(self.name.rpartition("/")[2].partition("@")[0])

    @property
    def digest(self) -> str:
        return self.name.rpartition("@")[2]

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEXES


async def list_images(repository: str) -> AsyncIterator[DockerImage]:
    """Every manifest, tagged or not. Raises GoogleError, also half way."""
    request = {"parent": repository}
    async for found in each(
        "artifactregistry.dockerImages.list", _client().list_docker_images, request, "docker_images"
    ):
        yield _image(found)


async def get_image(name: str) -> DockerImage | None:
    found = await read("artifactregistry.dockerImages.get", _client().get_docker_image, {"name": name})
    return None if found is None else _image(ar.DockerImage.pb(found))


async def read_manifest(image: DockerImage) -> dict[str, Any]:
    """The manifest itself: https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md"""
    _, project, _, location, _, repository = image.repository.split("/")
    path = f"{project}/{repository}/{image.image}/manifests/{image.digest}"
    url = f"https://{location}-docker.pkg.dev/v2/{path}"
    return dict(await get_json("artifactregistry.docker.manifests.get", url, MANIFESTS))


async def delete_image(name: str, timeout_s: float) -> bool:
    """Deletes a manifest with its tags; False if it was gone already."""
    repository, _, rest = name.partition("/dockerImages/")
    image, _, digest = rest.partition("@")
    version = f"{repository}/packages/{quote(unquote(image), safe='')}/versions/{digest}"
    request = ar.DeleteVersionRequest(name=version, force=True)
    return await delete("artifactregistry.versions.delete", _client().delete_version, request, timeout_s)


def _client() -> ar.ArtifactRegistryAsyncClient:
    return client(ar.ArtifactRegistryAsyncClient)


def _image(found: Any) -> DockerImage:
    return DockerImage(
        name=found.name,
        media_type=found.media_type,
        artifact_type=found.artifact_type,
        tags=tuple(found.tags),
        uploaded=found.upload_time.ToDatetime(UTC),
        built=found.build_time.ToDatetime(UTC) if found.HasField("build_time") else None,
        size_bytes=found.image_size_bytes,
        children=tuple(child.digest for child in found.image_manifests),
    )
