"""Artifact Registry v1: repositories, and which digest a tag names."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from google.cloud import artifactregistry_v1 as ar
from google.iam.v1 import iam_policy_pb2
from google.protobuf import field_mask_pb2

from infra.gcp.calls.clients import READ, call, client, finish, read
from infra.gcp.calls.paging import each
from infra.gcp.calls.rest import listed

HOST = "artifactregistry.googleapis.com"
FIELD = "repositories"
AT_ONCE = 16


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


async def list_repositories(project: str) -> list[str]:
    """Full names, of any format, wherever Artifact Registry is.

    https://cloud.google.com/artifact-registry/docs/reference/rest/v1/projects.locations/list
    """
    locations = await listed(
        "artifactregistry.locations.list", f"https://{HOST}/v1/projects/{project}/locations", "locations"
    )
    gate = asyncio.Semaphore(AT_ONCE)

    async def within(location: str) -> list[str]:
        request = {"parent": f"projects/{project}/locations/{location}"}
        async with gate:
            method = _client().list_repositories
            return [found.name async for found in each("artifactregistry.repositories.list", method, request, FIELD)]

    answers = await asyncio.gather(*(within(location["locationId"]) for location in locations))
    return [name for names in answers for name in names]


async def policy(name: str) -> dict[str, set[str]]:
    """The repository's own IAM policy: members by role; none where it is gone."""
    request = iam_policy_pb2.GetIamPolicyRequest(resource=name)
    request.options.requested_policy_version = 3  # https://cloud.google.com/iam/docs/policies#versions
    found = await read("artifactregistry.repositories.getIamPolicy", _client().get_iam_policy, request)
    members: dict[str, set[str]] = {}
    for binding in found.bindings if found else ():
        members.setdefault(binding.role, set()).update(binding.members)
    return members


async def policy_members(name: str) -> frozenset[str]:
    """Everybody whom the repository's IAM policy names; nobody where it is gone."""
    return frozenset().union(*(await policy(name)).values())


async def test_permissions(name: str, permissions: Collection[str]) -> set[str]:
    """Which of these permissions the caller has on the repository."""
    request = iam_policy_pb2.TestIamPermissionsRequest(resource=name, permissions=sorted(permissions))
    method = _client().test_iam_permissions
    answer = await call("artifactregistry.repositories.testIamPermissions", method, request, retry=READ)
    return set(answer.permissions)


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
