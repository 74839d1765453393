"""A run that comes to its end late, as where its machine slept, takes nothing away from what was released since."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tasks.history.beside import later_than, newest_of
from tasks.history.record import ReleaseRecord
from tasks.history.store import list_records, read_listed, record_name
from tasks.model import Candidate, Request
from tasks.release.left_behind import unless_said

LOOK_S = 2.0  # what cannot be told by then is given back as if nothing had come since


async def but_for_later(request: Request, own: ReleaseRecord, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """The candidates, as if a release that began after `own` and stands had found there what it says, and whom it lets
    in: of the service itself nobody can tell whose it is.
    """
    bucket, name = request.settings.bucket, record_name(own)
    try:
        async with asyncio.timeout(LOOK_S):
            newer = [each for each in await list_records(bucket, own.app, own.environment) if each.name > name]
            found = [each.release for each in await read_listed(bucket, newer)]
    except Exception:  # whatever Google says, or a record of another Slipway
        return candidates
    brought = newest_of(later_than(own, found), lambda each: ((target.place, target) for target in each.targets))
    return [unless_said(each, brought[each.place]) if each.place in brought else each for each in candidates]
