"""Cloud Build v1, regional: builds and where their logs are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.cloud.devtools import cloudbuild_v1, cloudbuild_v2
from google.protobuf import json_format

from infra.gcp.calls.clients import READ, call, client
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.paging import each

FINISHED = frozenset({"SUCCESS", "FAILURE", "INTERNAL_ERROR", "TIMEOUT", "CANCELLED", "EXPIRED"})


@dataclass(frozen=True, slots=True)
class Step:
    id: str
    name: str
    status: str


@dataclass(frozen=True, slots=True)
class Build:
    id: str
    name: str  # projects/{project}/locations/{region}/builds/{id}
    status: str  # QUEUED, WORKING, or one of FINISHED
    detail: str
    log_bucket: str
    log_object: str
    log_url: str
    digests: Mapping[str, str]  # image:tag -> sha256:…
    steps: tuple[Step, ...]
    failure: str  # failureInfo type, e.g. PUSH_FAILED, with its detail
    tags: tuple[str, ...]

    @property
    def finished(self) -> bool:
        return self.status in FINISHED


def parent(project: str, region: str) -> str:
    return f"projects/{project}/locations/{region}"


async def trigger_texts(project: str, region: str) -> dict[str, list[str]]:
    """Whatever the build triggers of a region say, by their names: what they read is named somewhere in it.

    Raises GoogleError.
    """
    request = {"parent": parent(project, region), "project_id": project}
    method = client(cloudbuild_v1.CloudBuildAsyncClient).list_build_triggers
    found = each("cloudbuild.triggers.list", method, request, "triggers")
    return {trigger.name: list(_texts(json_format.MessageToDict(trigger))) async for trigger in found}


async def connection_texts(project: str, region: str) -> dict[str, list[str]]:
    """What a region's connections to git hosts say, by their names: their tokens are in secrets. Raises GoogleError.

    https://cloud.google.com/build/docs/automating-builds/github/connect-repo-github?generation=2nd-gen
    """
    method = client(cloudbuild_v2.RepositoryManagerAsyncClient).list_connections
    found = each("cloudbuild.connections.list", method, {"parent": parent(project, region)}, "connections")
    try:
        return {item.name.rpartition("/")[2]: list(_texts(json_format.MessageToDict(item))) async for item in found}
    except GoogleError as error:
        if error.status in ("NOT_FOUND", "INVALID_ARGUMENT"):  # Cloud Build is not in that region
            return {}
        raise


async def secrets_read(project: str, region: str, since: datetime) -> list[str]:
    """The versions of secrets that builds since then have read, whatever started them. Raises GoogleError."""
    query = f'create_time>="{since.isoformat()}"'
    request = {"parent": parent(project, region), "project_id": project, "filter": query}
    found = each("cloudbuild.builds.list", _client().list_builds, request, "builds")
    names = {name.version_name async for build in found for name in build.available_secrets.secret_manager}
    return sorted(names)


def _texts(body: Any) -> Iterator[str]:
    if isinstance(body, str):
        yield body
    for part in body.values() if isinstance(body, dict) else body if isinstance(body, list) else ():
        yield from _texts(part)


async def create_build(project: str, region: str, body: Mapping[str, Any]) -> Build:
    """`body` is the Build resource in JSON form. Answers as soon as the build is accepted."""
    request = cloudbuild_v1.CreateBuildRequest(
        parent=parent(project, region),
        project_id=project,
        build=cloudbuild_v1.Build.wrap(json_format.ParseDict(dict(body), cloudbuild_v1.Build.pb()())),
    )
    operation = await call(
        "cloudbuild.builds.create", client(cloudbuild_v1.CloudBuildAsyncClient).create_build, request
    )
    return _build(operation.metadata.build)


async def get_build(name: str) -> Build:
    """Raises GoogleError NOT_FOUND if there is no such build."""
    return _build(await call("cloudbuild.builds.get", _client().get_build, _by_name(name), retry=READ))


async def find_builds(project: str, region: str, query: str) -> list[Build]:
    """The newest builds that match `query` (Cloud Build's filter syntax), at most one page."""
    request = {"parent": parent(project, region), "project_id": project, "filter": query, "page_size": 20}
    pager = await call("cloudbuild.builds.list", _client().list_builds, request, retry=READ)
    return [_build(found) for found in pager.builds]


async def list_builds(project: str, region: str, query: str) -> list[Build]:
    """All builds that match `query`, however many."""
    request = {"parent": parent(project, region), "project_id": project, "filter": query}
    found = each("cloudbuild.builds.list", _client().list_builds, request, "builds")
    return [_build(cloudbuild_v1.Build.wrap(build)) async for build in found]


async def cancel_build(name: str) -> None:
    """Already finished or gone is success."""
    try:
        await call("cloudbuild.builds.cancel", _client().cancel_build, _by_name(name), retry=READ)
    except GoogleError as error:
        if error.status not in ("NOT_FOUND", "FAILED_PRECONDITION"):
            raise


async def default_account(project: str, region: str) -> str:
    """The e-mail of what builds run as that name no account; '' where Cloud Build uses none by default.

    https://cloud.google.com/build/docs/api/reference/rest/v1/projects.locations/getDefaultServiceAccount
    """
    request = {"name": f"{parent(project, region)}/defaultServiceAccount"}
    name = "cloudbuild.projects.locations.getDefaultServiceAccount"
    found = await call(name, _client().get_default_service_account, request, retry=READ)
    return str(found.service_account_email).rpartition("/")[2]


def _client() -> cloudbuild_v1.CloudBuildAsyncClient:
    return client(cloudbuild_v1.CloudBuildAsyncClient)


def _by_name(name: str) -> dict[str, str]:
    parts = name.split("/")
    return {"name": name, "project_id": parts[1], "id": parts[-1]}


def _build(found: cloudbuild_v1.Build) -> Build:
    failure = found.failure_info
    return Build(
        id=found.id,
        name=found.name,
        status=found.status.name,
        detail=found.status_detail,
        log_bucket=found.logs_bucket.removeprefix("gs://").split("/", 1)[0],
        log_object="/".join([*found.logs_bucket.removeprefix("gs://").split("/")[1:], f"log-{found.id}.txt"]),
        log_url=found.log_url,
        digests={image.name: image.digest for image in found.results.images},
        steps=tuple(Step(step.id, step.name, step.status.name) for step in found.steps),
        failure=f"{failure.type_.name}: {failure.detail}" if failure.type_ else "",
        tags=tuple(found.tags),
    )
