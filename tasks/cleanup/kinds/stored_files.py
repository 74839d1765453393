"""What kinds have in common whose items are files in the environments' own buckets."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage import objects
from infra.gcp.storage.objects import StoredObject
from tasks.cleanup.engine.model import Item, Traits
from tasks.cleanup.kinds.adapter import Found, Look, ResourceKind
from tasks.model import Request


class StoredFiles(ResourceKind):
    traits = Traits(replaceable=True)

    @abstractmethod
    async def within(self, requests: Sequence[Request], look: Look) -> Found:
        """Those of the app in the bucket that these environments share."""

    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        return (self.source(bucket) for bucket in dict.fromkeys(request.settings.bucket for request in requests))

    def source(self, bucket: str) -> str:
        return f"{self.kind}s in gs://{bucket}"

    async def list(self, look: Look) -> Found:
        by_bucket: dict[str, list[Request]] = {}
        for request in look.requests:
            by_bucket.setdefault(request.settings.bucket, []).append(request)
        return Found.merged(await asyncio.gather(*(self.within(each, look) for each in by_bucket.values())))

    async def files(self, look: Look, bucket: str, prefix: str, group: Callable[[str], str]) -> Found:
        """All that the bucket has under the prefix; group: by the name of the object."""
        found, listing = await look.listed(self.source(bucket), _list, bucket, prefix)
        items = (self.file(bucket, each, f"{group(each.name)} in {bucket}", look.app) for each in found)
        return Found(tuple(items), listings=(listing,))

    def file(self, bucket: str, found: StoredObject, group: str, owner: str) -> Item:
        return Item(
            self.kind,
            f"gs://{bucket}/{found.name}",
            group,
            owner,
            uploaded=found.created,
            etag=str(found.generation),
            size_bytes=found.size_bytes,
        )

    async def again(self, before: Item) -> Item | None:
        found = await objects.find_object(*_bucket_and_name(before))
        if found is None:
            return None
        return replace(before, uploaded=found.created, etag=str(found.generation), size_bytes=found.size_bytes)

    async def delete(self, item: Item) -> bool:
        return await objects.delete_object(*_bucket_and_name(item), int(item.etag))


async def _list(bucket: str, prefix: str) -> Sequence[StoredObject]:
    """Nothing in a bucket that does not exist yet."""
    try:
        return await objects.list_objects(bucket, prefix)
    except GoogleError as error:
        if error.status == "NOT_FOUND":
            return ()
        raise


def _bucket_and_name(item: Item) -> tuple[str, str]:
    bucket, _, name = item.name.removeprefix("gs://").partition("/")
    return bucket, name
