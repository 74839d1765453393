"""What Slipway itself writes into the bucket: plans and journals of clean-up, and records of releases long past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tasks.cleanup.engine.model import Kind
from tasks.cleanup.journal import folder, is_of_a_plan
from tasks.cleanup.kinds.adapter import Claim, Found, Look, Reference
from tasks.cleanup.kinds.stored_files import StoredFiles
from tasks.history.store import prefix, record_name
from tasks.model import Request

PLAN = Kind("clean-up plan")
RECORD = Kind("release record")


class Plans(StoredFiles):
    kind = PLAN

    async def within(self, requests: Sequence[Request], look: Look) -> Found:
        """With their journals; what clean-up remembers is none."""
        start = folder(look.app)
        found = await self.files(look, requests[0].settings.bucket, start, lambda name: name.partition(".")[2][8:])
        items = tuple(each for each in found.items if is_of_a_plan(each.name.rpartition("/")[2]))
        return replace(found, items=items)


class Records(StoredFiles):
    kind = RECORD

    async def within(self, requests: Sequence[Request], look: Look) -> Found:
        """Only those that nobody reads any more: a history is read until there are plenty of good releases."""
        bucket = requests[0].settings.bucket
        found = await self.files(look, bucket, f"releases/{look.app}/", lambda name: name.rpartition("/")[0])
        read = (record for request in requests for record in look.histories[request.environment].records)
        names = tuple(Reference(RECORD, f"gs://{bucket}/{record_name(record)}") for record in read)
        ours = tuple(prefix(look.app, request.environment) for request in requests)
        items = tuple(each for each in found.items if each.name.removeprefix(f"gs://{bucket}/").startswith(ours))
        return replace(found, items=items, claims=(Claim("the release history", names),))
