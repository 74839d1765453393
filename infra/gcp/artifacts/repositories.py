"""Artifact Registry v1: repositories, and which digest a tag names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from google.cloud import artifactregistry_v1 as ar
from google.protobuf import field_mask_pb2

from infra.gcp.calls.clients import READ, call, client, finish, read


@dataclass(frozen=True, slots=True)
class Repository:
    name: str  # projects/{project}/locations/{location}/repositories/{id}
    format: str
    immutable_tags: bool
    labels: dict[str, str]


async def get_repository(name: str) -> Repository | None:
    found = await read("artifactregistry.repositories.get", _client().get_repository, {"name": name})
    if found is None:
        return None
    return Repository(found.name, found.format_.name, found.docker_config.immutable_tags, dict(found.labels))


async def create_repository(name: str, labels: dict[str, str], timeout_s: float) -> None:
    """A Docker repository whose tags can never be moved."""
    parent, _, repository_id = name.rpartition("/repositories/")
    repository = ar.Repository(
        format_=ar.Repository.Format.DOCKER,
        docker_config=ar.Repository.DockerRepositoryConfig(immutable_tags=True),
        labels=labels,
        description="Images shipped by Slipway",
    )
    request = ar.CreateRepositoryRequest(parent=parent, repository_id=repository_id, repository=repository)
    operation = await call("artifactregistry.repositories.create", _client().create_repository, request)
    await finish("artifactregistry.repositories.create", operation, timeout_s)


async def set_immutable_tags(repository: str, *, immutable: bool) -> None:
    """Whether tags of the repository can be moved and deleted; repeatable."""
    request = ar.UpdateRepositoryRequest(
        repository=ar.Repository(
            name=repository, docker_config=ar.Repository.DockerRepositoryConfig(immutable_tags=immutable)
        ),
        update_mask=field_mask_pb2.FieldMask(paths=["docker_config.immutable_tags"]),
    )
    await call("artifactregistry.repositories.update", _client().update_repository, request, retry=READ)


async def digest_of(repository: str, image: str, tag: str) -> str | None:
    """The digest that `image:tag` names in the repository, None if there is no such tag."""
    name = f"{repository}/packages/{quote(image, safe='')}/tags/{tag}"
    found = await read("artifactregistry.tags.get", _client().get_tag, {"name": name})
    return None if found is None else str(found.version).rsplit("/", 1)[1]


async def image_exists(repository: str, image: str, digest: str) -> bool:
    name = f"{repository}/packages/{quote(image, safe='')}/versions/{digest}"
    return await read("artifactregistry.versions.get", _client().get_version, {"name": name}) is not None


async def create_tag(repository: str, image: str, tag: str, digest: str) -> None:
    """Names an existing digest. Raises GoogleError ALREADY_EXISTS if the tag names another one."""
    package = f"{repository}/packages/{quote(image, safe='')}"
    name = f"{package}/tags/{tag}"
    if await digest_of(repository, image, tag) == digest:
        return
    new = ar.Tag(name=name, version=f"{package}/versions/{digest}")
    request = ar.CreateTagRequest(parent=package, tag_id=tag, tag=new)
    await call("artifactregistry.tags.create", _client().create_tag, request)


def _client() -> Any:
    return client(ar.ArtifactRegistryAsyncClient)
