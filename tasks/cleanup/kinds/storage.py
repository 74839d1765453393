"""What an app keeps in Cloud Storage as items of clean-up: build sources, build logs, and buckets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from infra.gcp import builds
from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage import buckets, objects
from infra.gcp.storage.buckets import OwnedBucket
from infra.gcp.storage.objects import StoredObject
from tasks.cleanup.engine.model import Item, Kind, Use
from tasks.cleanup.found import Found, Memory, listed
from tasks.model import Request
from tasks.names.labels import owner_of

LOGS = "logs/log-"  # where Cloud Build puts them: see tasks.build_request


def sources_prefix(app: str) -> str:
    return f"sources/{app}/"


def required_storage(requests: Sequence[Request]) -> tuple[str, ...]:
    buckets_of = tuple(dict.fromkeys(request.settings.bucket for request in requests))
    projects = tuple(dict.fromkeys(request.project for request in requests))
    return (
        *(_sources(bucket) for bucket in buckets_of),
        *(_logs(bucket) for bucket in buckets_of),
        *(_buckets(project) for project in projects),
    )


async def find_sources(request: Request, memory: Memory) -> Found:
    """Archives by what is in them; the newest of each service stay, as a build may ask for them any time."""
    bucket, prefix = request.settings.bucket, sources_prefix(request.app)
    source = _sources(bucket)
    found, listing = await listed(source, _objects(bucket, prefix), memory.floor(source))
    items = (
        _item(Kind.SOURCE, bucket, each, f"{each.name.removeprefix(prefix).partition('/')[0]} in {bucket}", request.app)
        for each in found
    )
    return Found(tuple(items), listings=(listing,))


async def find_logs(request: Request, memory: Memory) -> Found:
    """Logs of the app's own builds: several apps may share the bucket, and the file does not say whose it is."""
    bucket, source = request.settings.bucket, _logs(request.settings.bucket)
    found, listing = await listed(source, _objects(bucket, LOGS), memory.floor(source))
    made, of_builds = await listed(f"builds for {bucket}", _builds(request))
    ours = {f"{LOGS}{each}.txt" for each in made}
    items = (
        _item(Kind.LOG, bucket, each, f"{request.app} in {bucket}", request.app) for each in found if each.name in ours
    )
    return Found(tuple(items), listings=(listing, of_builds))


async def _objects(bucket: str, prefix: str) -> Sequence[StoredObject]:
    """Nothing in a bucket that does not exist yet."""
    try:
        return await objects.list_objects(bucket, prefix)
    except GoogleError as error:
        if error.status == "NOT_FOUND":
            return ()
        raise


async def _builds(request: Request) -> Sequence[str]:
    found = await builds.list_builds(request.project, request.build_region, f'tags="app-{request.app}"')
    return [each.id for each in found if each.finished]


def _item(kind: Kind, bucket: str, found: StoredObject, group: str, app: str) -> Item:
    return Item(
        kind,
        f"gs://{bucket}/{found.name}",
        group,
        owner=app,
        uploaded=found.created,
        etag=str(found.generation),
        size_bytes=found.size_bytes,
    )


async def object_again(before: Item) -> Item | None:
    bucket, _, name = before.name.removeprefix("gs://").partition("/")
    found = await objects.find_object(bucket, name)
    if found is None:
        return None
    return replace(before, uploaded=found.created, etag=str(found.generation), size_bytes=found.size_bytes)


async def find_buckets(project: str, requests: Sequence[Request], memory: Memory, *, deletable: bool) -> Found:
    """All buckets of a project. With `deletable` also whether anything is in them: only empty ones may go."""
    source = _buckets(project)
    found, listing = await listed(source, buckets.list_buckets(project), memory.floor(source))
    named = {request.settings.bucket for request in requests}
    items = [bucket_item(each, requests[0].app) for each in found]
    if deletable:
        items = [item if _name(item) in named else await _unless_full(item) for item in items]
    uses = [Use("slipway.yaml", tuple(item.name for item in items if _name(item) in named), live=False)]
    return Found(tuple(items), tuple(uses), (listing,))


def bucket_item(found: OwnedBucket, app: str) -> Item:
    return Item(
        Kind.BUCKET,
        f"gs://{found.name}",
        "",
        owner=owner_of(found.labels, app),
        uploaded=found.created,
        labels=found.labels,
        etag=str(found.metageneration),
        prepared=found.soft_delete_since,
    )


async def bucket_again(before: Item) -> Item | None:
    found = await buckets.find_bucket(_name(before))
    if found is None:
        return None
    fresh = bucket_item(found, before.owner or "")
    return await _unless_full(fresh)


async def _unless_full(item: Item) -> Item:
    try:
        empty = await buckets.is_empty(_name(item))
    except GoogleError as error:
        return replace(item, locked=f"it cannot be told whether it is empty: {error.status}")
    return item if empty else replace(item, locked="it is not empty")


def _name(item: Item) -> str:
    return item.name.removeprefix("gs://")


def _sources(bucket: str) -> str:
    return f"build sources in gs://{bucket}"


def _logs(bucket: str) -> str:
    return f"build logs in gs://{bucket}"


def _buckets(project: str) -> str:
    return f"buckets of {project}"
