"""Buckets of an app's projects: one that has been empty for a week and that nobody names may go.

What is deleted from it can be restored by then. Those that Google's own products made for themselves are never ours.
What waits for its first object is empty, too: what any variable, build trigger, function or log sink names is in use.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase

from infra.gcp.calls.errors import GoogleError
from infra.gcp.log_config import Sink
from infra.gcp.storage import buckets
from tasks.cleanup.engine.model import DAY_S, Action, Item, Kind, Traits
from tasks.cleanup.kinds.adapter import Claim, Found, Keys, Look, Reference, ResourceKind
from tasks.cleanup.kinds.log_sinks import all_sinks
from tasks.cleanup.kinds.secrets import all_readers, read_by
from tasks.cleanup.memory import Memory
from tasks.failures.roles import Need
from tasks.model import Request
from tasks.names import resources
from tasks.names.labels import owner_of
from tasks.names.provisioned import bucket_name

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
_WORD = re.compile(r"[a-z0-9][a-z0-9._-]*[a-z0-9]")
_HOST = ".storage.googleapis.com"


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
        named = [name for request in look.requests for name in defined(request)]
        items = [bucket_item(each, look.app) for each in found]
        claims = [Claim("slipway.yaml", tuple(Reference(BUCKET, name) for name in named))]
        if look.requests[0].manifest.retention.foreign_of(BUCKET) == "delete":
            looked = [item if _name(item) in named else await _unless_full(item) for item in items]
            items = [_settled(item, look.memory, listing.read) for item in looked]
            claims += await _told(project, look)
        else:
            items = [replace(item, prepared=None) for item in items]
        return Found(tuple(items), tuple(claims), (listing,))

    def keys(self, look: Look, items: Sequence[Item]) -> Keys:
        """By name, in any text; those of projects that are not listed are left alone anyway."""
        listed = {_name(item): item.key for item in items}
        return lambda text: tuple(listed[name] for name in named_in(text) if name in listed)

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


def defined(request: Request) -> Iterable[str]:
    """The buckets of an environment that slipway.yaml has, also those that provisioning makes and that wait for use."""
    yield request.settings.bucket
    made = request.settings.provision
    for key, said in made.buckets.items() if made else ():
        yield (said and said.name) or bucket_name(request.project, request.app, key)
    for part in request.parts:
        yield from (each.bucket for each in part.volumes.values() if each.bucket)
        yield from part.env.values()  # any of them may name one


async def _told(project: str, look: Look) -> Iterable[Claim]:
    """What builds, functions and logs are told to read or write; who cannot be asked may need any of them."""
    try:
        readers, sinks = await asyncio.gather(look.once(all_readers(project)), _sinks(project, look))
    except GoogleError as error:
        unseen = f"builds, functions or logs of {project}, which cannot be seen ({error.status})"
        return (Claim(unseen, (), any_of=(BUCKET,)),)
    led = (Claim(f"log sink {resources.last(each.name)}", (Reference(BUCKET, each.destination),)) for each in sinks)
    return (*read_by(readers, BUCKET), *led)


async def _sinks(project: str, look: Look) -> Sequence[Sink]:
    try:
        return await look.once(all_sinks(project))
    except GoogleError as error:
        if error.reason == "SERVICE_DISABLED":
            return ()
        raise


def named_in(text: str) -> Iterable[str]:
    """What in a text may be the name of a bucket: NAME, gs://NAME/…, https://NAME.storage.googleapis.com/…"""
    return dict.fromkeys(each.removesuffix(_HOST) for each in _WORD.findall(text))


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
