"""Buckets of an app's projects: one that has been empty for a week and that nobody names may go.

What is deleted from it can be restored by then. Those that Google's own products made for themselves are never ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase

from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage import buckets
from tasks.cleanup.engine.model import DAY_S, Action, Item, Kind, Traits
from tasks.cleanup.kinds.adapter import Claim, Found, Keys, Look, Reference, ResourceKind
from tasks.cleanup.memory import Memory
from tasks.failures.roles import Need
from tasks.model import Request
from tasks.names.labels import owner_of

BUCKET = Kind("bucket")
SOFT_DELETE = Action("turn on soft delete")  # what is deleted later can be restored for a while

# Made by Google's products, which use them again without asking: https://cloud.google.com/functions/docs/building,
# https://cloud.google.com/build/docs/build-config-file-schema#logsbucket, https://cloud.google.com/run/docs/deploying-source-code,
# https://cloud.google.com/appengine/docs/standard/using-cloud-storage, https://firebase.google.com/docs/storage/web/start
GOOGLES = (
    "*.appspot.com",  # App Engine's default and staging buckets, gcr.io's artifacts.PROJECT.appspot.com
    "*.firebasestorage.app",
    "gcf-*",  # gcf-v2-sources-…, gcf-v2-uploads-…, gcf-sources-…
    "run-sources-*",
    "*_cloudbuild",
    "*_clouddeploy",
    "artifactanalysis-*",
    "dataflow-staging-*",
    "dataproc-staging-*",
    "dataproc-temp-*",
    "cloud-ai-platform-*",
    "cloudai-platform-*",
    "vertex-ai-*",
    "*-blueprint-config",
    "dataprep-staging-*",
    "datafusion-*",
    "us.artifacts.*",
    "eu.artifacts.*",
    "asia.artifacts.*",
)


class Buckets(ResourceKind):
    kind = BUCKET
    traits = Traits(standing=True, first=SOFT_DELETE, settle_s=7 * DAY_S)
    dated_by_us = True
    needs = (Need("storage.buckets.list", "roles/storage.admin", "find buckets that slipway.yaml does not know"),)

    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        return (_source(project) for project in dict.fromkeys(request.project for request in requests))

    async def list(self, look: Look) -> Found:
        return Found.merged(await asyncio.gather(*(self._in(project, look) for project in look.projects)))

    async def _in(self, project: str, look: Look) -> Found:
        """Where buckets may be deleted at all, also whether anything is in them: only empty ones may go."""
        found, listing = await look.listed(_source(project), buckets.list_buckets, project)
        named = [request.settings.bucket for request in look.requests]
        items = [bucket_item(each, look.app) for each in found]
        if look.requests[0].manifest.retention.foreign_of(BUCKET) == "delete":
            looked = [item if _name(item) in named else await _unless_full(item) for item in items]
            items = [_settled(item, look.memory, listing.read) for item in looked]
        else:
            items = [replace(item, prepared=None) for item in items]
        claim = Claim("slipway.yaml", tuple(Reference(BUCKET, name) for name in named))
        return Found(tuple(items), (claim,), (listing,))

    def keys(self, look: Look, items: Sequence[Item]) -> Keys:
        """Others leave out `gs://`; those of projects that are not listed are left alone anyway."""
        listed = {_name(item): item.key for item in items}
        return lambda name: (listed[name],) if name in listed else ()

    async def again(self, before: Item) -> Item | None:
        found = await buckets.get_bucket(_name(before))
        if found is None:
            return None
        now = await _unless_full(bucket_item(found, before.owner or ""))
        return replace(now, prepared=before.prepared if now.prepared and not now.locked else None)

    async def first(self, item: Item) -> bool:
        return await buckets.turn_on_soft_delete(_name(item))

    async def delete(self, item: Item) -> bool:
        return await buckets.delete_bucket(_name(item), int(item.etag))

    def undo_first(self, item: Item) -> str:
        return f"gcloud storage buckets update {item.name} --clear-soft-delete"


def bucket_item(found: buckets.Bucket, app: str) -> Item:
    return Item(
        BUCKET,
        f"gs://{found.name}",
        "",
        owner=owner_of(found.labels, app),
        uploaded=found.created,
        labels=found.labels,
        etag=str(found.metageneration),
        locked="Google's own" if is_googles(found.name) else "",
        prepared=found.soft_delete_since,
    )


def is_googles(name: str) -> bool:
    """Whether a product of Google's made the bucket for itself, by its name."""
    return any(fnmatchcase(name, glob) for glob in GOOGLES)


def _settled(item: Item, memory: Memory, now: datetime) -> Item:
    """Soft delete is on for years by default: what counts is since when clean-up has seen the bucket empty as well."""
    if item.prepared is None or item.locked:
        return replace(item, prepared=None)
    return replace(item, prepared=max(item.prepared, memory.disabled.get(item.name, now)))


async def _unless_full(item: Item) -> Item:
    if item.locked:
        return item
    try:
        empty = await buckets.is_empty(_name(item))
    except GoogleError as error:
        return replace(item, locked=f"it cannot be told whether it is empty: {error.status}")
    return item if empty else replace(item, locked="it is not empty")


def _name(item: Item) -> str:
    return item.name.removeprefix("gs://")


def _source(project: str) -> str:
    return f"buckets of {project}"
