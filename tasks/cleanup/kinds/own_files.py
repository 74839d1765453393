"""What Slipway itself writes into the bucket: plans and journals of clean-up, old release records, backups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage import objects
from tasks.backup.configuration import INDEX, beside
from tasks.cleanup.engine.model import Item, Kind, Traits
from tasks.cleanup.journal import folder as plans_folder
from tasks.cleanup.journal import is_of_a_plan
from tasks.cleanup.kinds.adapter import Claim, Found, Look, Reference
from tasks.cleanup.kinds.stored_files import StoredFiles
from tasks.history.store import prefix, record_name
from tasks.model import Request

PLAN = Kind("clean-up plan")
RECORD = Kind("release record")
BACKUP = Kind("configuration backup")
DEPTH = 7  # parts of gs://BUCKET/backups/APP/ENVIRONMENT/RELEASE between its slashes


class Plans(StoredFiles):
    kind = PLAN

    async def within(self, requests: Sequence[Request], look: Look) -> Found:
        """With their journals; what clean-up remembers is none."""
        start = plans_folder(look.app)
        found = await self.files(look, requests[0].settings.bucket, start, lambda name: name.partition(".")[2][8:])
        items = tuple(each for each in found.items if is_of_a_plan(each.name.rpartition("/")[2]))
        return replace(found, items=items)


class Records(StoredFiles):
    kind = RECORD

    async def within(self, requests: Sequence[Request], look: Look) -> Found:
        """Only those that nobody reads any more: a history is read until there are plenty of good releases.

        While a record stays, the backup before its release does.
        """
        bucket = requests[0].settings.bucket
        found = await self.files(look, bucket, f"releases/{look.app}/", lambda name: name.rpartition("/")[0])
        read = (record for request in requests for record in look.histories[request.environment].records)
        names = tuple(Reference(RECORD, f"gs://{bucket}/{record_name(record)}") for record in read)
        ours = tuple(prefix(look.app, request.environment) for request in requests)
        items = tuple(each for each in found.items if each.name.removeprefix(f"gs://{bucket}/").startswith(ours))
        backups = ((each.name, beside(each.name.removeprefix(f"gs://{bucket}/"))) for each in items)
        parts = {name: (Reference(BACKUP, f"gs://{bucket}/{folder}"),) for name, folder in backups}
        return replace(found, items=items, claims=(Claim("the release history", names),), parts=parts)


class Backups(StoredFiles):
    """How everything was set before a release: a folder of files, which goes after the release's record."""

    kind, traits = BACKUP, Traits()

    async def within(self, requests: Sequence[Request], look: Look) -> Found:
        bucket = requests[0].settings.bucket
        found = await self.files(look, bucket, f"backups/{look.app}/", lambda name: "/".join(name.split("/")[:3]))
        ours = tuple(f"gs://{bucket}/backups/{look.app}/{request.environment}/" for request in requests)
        items = folders(each for each in found.items if each.name.startswith(ours))
        read = (record for request in requests for record in look.histories[request.environment].records)
        named = tuple(Reference(BACKUP, each.backup.configuration) for each in read if each.backup)
        return replace(found, items=items, claims=(Claim("the release history", named),))

    async def again(self, before: Item) -> Item | None:
        return next(iter(folders(await self._files(before))), None)

    async def delete(self, item: Item) -> bool:
        """Its index first: what is left when it is cut off is no backup, and goes later."""
        found = await self._files(item)
        for each in folders(found):
            if each.etag != item.etag:
                raise GoogleError(
                    f"cleanup.{item.kind}", "ABORTED", f"{item.name} has changed since the plan was made."
                )
        for each in sorted(found, key=lambda each: not each.name.endswith(f"/{INDEX}")):
            await super().delete(each)
        return bool(found)

    async def _files(self, item: Item) -> Sequence[Item]:
        bucket, _, folder = item.name.removeprefix("gs://").partition("/")
        found = await objects.list_objects(bucket, folder)
        return [self.file(bucket, each, item.group, item.owner or "") for each in found]


def folders(files: Iterable[Item]) -> tuple[Item, ...]:
    """Of all files of a backup one item, as old as the newest of them."""
    found: dict[str, list[Item]] = {}
    for each in files:
        found.setdefault("/".join(each.name.split("/")[:DEPTH]), []).append(each)
    return tuple(
        replace(
            some[0],
            name=f"{name}/",
            uploaded=max((each.uploaded for each in some if each.uploaded), default=None),
            etag=" ".join(sorted(each.etag for each in some)),
            size_bytes=sum(each.size_bytes for each in some),
        )
        for name, some in found.items()
    )
