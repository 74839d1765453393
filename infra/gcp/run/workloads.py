"""Cloud Run v2: all that runs in a project, whoever made it, and which images and accounts it needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.cloud import run_v2

from infra.gcp.calls.clients import call, client, finish, read
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.paging import each
from infra.gcp.calls.rest import get_json


@dataclass(frozen=True, slots=True)
class Workload:
    """A service, a revision, a job or a worker pool."""

    name: str  # projects/{project}/locations/{region}/services/{id}[/revisions/{id}], …/jobs/{id}, …/workerPools/{id}
    labels: Mapping[str, str]
    created: datetime
    etag: str
    images: tuple[str, ...]  # of all its containers, as they are written there
    account: str  # e-mail
    routes: Mapping[str, str]  # of a service: full name of a revision it leads to -> what for, "100 %" or "tag v1"
    routed: bool = False  # of a service: some revision is known to get traffic
    buckets: tuple[str, ...] = ()  # names of those that are mounted as volumes

    @property
    def id(self) -> str:
        return self.name.rpartition("/")[2]

    @property
    def project(self) -> str:
        return self.name.split("/")[1]

    @property
    def region(self) -> str:
        return self.name.split("/")[3]

    @property
    def service(self) -> str:
        """Of a revision: the full name of its service."""
        return self.name.partition("/revisions/")[0]


async def list_regions(project: str) -> tuple[str, ...]:
    """https://cloud.google.com/run/docs/reference/rest/v1/projects.locations/list"""
    regions: list[str] = []
    token = ""
    while True:
        url = f"https://run.googleapis.com/v1/projects/{project}/locations?pageSize=500&pageToken={token}"
        page = await get_json("run.locations.list", url)
        regions += [location["locationId"] for location in page.get("locations", [])]
        token = page.get("nextPageToken", "")
        if not token:
            return tuple(sorted(regions))


async def list_services(project: str, region: str) -> list[Workload]:
    method = client(run_v2.ServicesAsyncClient).list_services
    request = {"parent": f"projects/{project}/locations/{region}"}
    return [_service(found) async for found in each("run.services.list", method, request, "services")]


async def list_revisions(project: str, region: str) -> list[Workload]:
    """Of all services in the region."""
    return await _revisions(f"projects/{project}/locations/{region}/services/-")


async def list_revisions_of(service: str) -> list[Workload]:
    """Of one service, by its full name."""
    return await _revisions(service)


async def list_jobs(project: str, region: str) -> list[Workload]:
    method = client(run_v2.JobsAsyncClient).list_jobs
    request = {"parent": f"projects/{project}/locations/{region}"}
    return [_job(found) async for found in each("run.jobs.list", method, request, "jobs")]


async def list_worker_pools(project: str, region: str) -> list[Workload]:
    """The pools and their revisions: instances of a pool may be split between several."""
    method = client(run_v2.WorkerPoolsAsyncClient).list_worker_pools
    request = {"parent": f"projects/{project}/locations/{region}"}
    pools = [_pool(found) async for found in each("run.workerPools.list", method, request, "worker_pools")]
    return [*pools, *[revision for pool in pools for revision in await _revisions(pool.name)]]


async def get_service(name: str) -> Workload | None:
    found = await read("run.services.get", client(run_v2.ServicesAsyncClient).get_service, {"name": name})
    return None if found is None else _service(run_v2.Service.pb(found))


async def get_revision(name: str) -> Workload | None:
    found = await read("run.revisions.get", client(run_v2.RevisionsAsyncClient).get_revision, {"name": name})
    return None if found is None else _revision(run_v2.Revision.pb(found))


async def delete_revision(name: str, etag: str, timeout_s: float) -> bool:
    """False if it was gone already. Raises GoogleError ABORTED if it is not as `etag` says."""
    return await _delete(
        "run.revisions.delete", client(run_v2.RevisionsAsyncClient).delete_revision, name, etag, timeout_s
    )


async def delete_service(name: str, etag: str, timeout_s: float) -> bool:
    """With all its revisions; False if it was gone already."""
    return await _delete(
        "run.services.delete", client(run_v2.ServicesAsyncClient).delete_service, name, etag, timeout_s
    )


async def _delete(method: str, call_it: Any, name: str, etag: str, timeout_s: float) -> bool:
    try:
        operation = await call(method, call_it, {"name": name, "etag": etag})
        await finish(method, operation, timeout_s)
    except GoogleError as error:
        if error.status == "NOT_FOUND":
            return False
        raise
    return True


async def _revisions(parent: str) -> list[Workload]:
    method = client(run_v2.RevisionsAsyncClient).list_revisions
    return [_revision(found) async for found in each("run.revisions.list", method, {"parent": parent}, "revisions")]


def _service(found: Any) -> Workload:
    routes: dict[str, str] = {}
    for revision in (found.latest_created_revision, found.latest_ready_revision):
        if revision:
            routes[_full(found, revision)] = "its latest revision"
    targets = [*found.traffic, *found.traffic_statuses]
    for target in sorted(targets, key=lambda target: (target.percent, bool(target.tag))):
        revision = target.revision or found.latest_ready_revision
        if revision:
            what = f"{target.percent} % of its traffic" if target.percent else f"its tag {target.tag}"
            routes[_full(found, revision)] = what
    routed = any(target.percent for target in found.traffic_statuses)
    return _workload(found, found.template, routes, routed=routed)


def _full(service: Any, revision: str) -> str:
    return f"{service.name}/revisions/{revision.rpartition('/')[2]}"


def _revision(found: Any) -> Workload:
    return _workload(found, found)


def _job(found: Any) -> Workload:
    return _workload(found, found.template.template)


def _pool(found: Any) -> Workload:
    return _workload(found, found.template)


def _workload(found: Any, template: Any, routes: Mapping[str, str] | None = None, *, routed: bool = False) -> Workload:
    return Workload(
        name=found.name,
        labels=dict(found.labels),
        created=found.create_time.ToDatetime(UTC),
        etag=found.etag,
        images=_images(template.containers),
        account=template.service_account,
        routes=routes or {},
        routed=routed,
        buckets=tuple(volume.gcs.bucket for volume in template.volumes if volume.gcs.bucket),
    )


def _images(containers: Iterable[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(container.image for container in containers if container.image))
