"""Buckets of an app's projects: an empty one that nobody names may go, a week after deletes in it can be undone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace

from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage import buckets
from tasks.cleanup.engine.model import Action, Item, Kind, Traits
from tasks.cleanup.kinds.adapter import Claim, Found, Keys, Look, Reference, ResourceKind
from tasks.failures.roles import Need
from tasks.model import Request
from tasks.names.labels import owner_of

BUCKET = Kind("bucket")
SOFT_DELETE = Action("turn on soft delete")  # what is deleted later can be restored for a while


class Buckets(ResourceKind):
    kind = BUCKET
    traits = Traits(standing=True, first=SOFT_DELETE)
    needs = (Need("storage.buckets.list", "roles/storage.admin", "find buckets that slipway.yaml does not know"),)

    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        return (_source(project) for project in dict.fromkeys(request.project for request in requests))

    async def list(self, look: Look) -> Found:
        return Found.together(await asyncio.gather(*(self._in(project, look) for project in look.projects)))

    async def _in(self, project: str, look: Look) -> Found:
        """Where buckets may be deleted at all, also whether anything is in them: only empty ones may go."""
        found, listing = await look.listed(_source(project), buckets.list_buckets, project)
        named = [request.settings.bucket for request in look.requests]
        items = [bucket_item(each, look.app) for each in found]
        if look.requests[0].manifest.retention.foreign == "delete":
            items = [item if _name(item) in named else await _unless_full(item) for item in items]
        claim = Claim("slipway.yaml", tuple(Reference(BUCKET, name) for name in named))
        return Found(tuple(items), (claim,), (listing,))

    def keys(self, look: Look, items: Sequence[Item]) -> Keys:
        """Others leave out `gs://`; those of projects that are not listed are left alone anyway."""
        listed = {_name(item): item.key for item in items}
        return lambda name: (listed[name],) if name in listed else ()

    async def again(self, before: Item) -> Item | None:
        found = await buckets.get_bucket(_name(before))
        return None if found is None else await _unless_full(bucket_item(found, before.owner or ""))

    async def first(self, item: Item) -> bool:
        return await buckets.turn_on_soft_delete(_name(item))

    async def delete(self, item: Item) -> bool:
        return await buckets.delete_bucket(_name(item), int(item.etag))


def bucket_item(found: buckets.Bucket, app: str) -> Item:
    return Item(
        BUCKET,
        f"gs://{found.name}",
        "",
        owner=owner_of(found.labels, app),
        uploaded=found.created,
        labels=found.labels,
        etag=str(found.metageneration),
        prepared=found.soft_delete_since,
    )


async def _unless_full(item: Item) -> Item:
    try:
        empty = await buckets.is_empty(_name(item))
    except GoogleError as error:
        return replace(item, locked=f"it cannot be told whether it is empty: {error.status}")
    return item if empty else replace(item, locked="it is not empty")


def _name(item: Item) -> str:
    return item.name.removeprefix("gs://")


def _source(project: str) -> str:
    return f"buckets of {project}"
