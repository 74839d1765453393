"""Reads as much of a history as figures of a span of time need, and what has changed of it since last time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from infra.gcp.storage.objects import StoredObject
from tasks.history.record import ReleaseRecord, State
from tasks.history.store import READ_AT_ONCE, Stored, list_records, prefix, read_listed, read_one
from tasks.orchestration.gather import all_of


@dataclass
class Records:
    """Keeps what it has read: a record whose generation is the same is not read again."""

    _known: dict[tuple[str, str], dict[str, Stored]] = field(default_factory=dict)  # by bucket and prefix, by name

    async def since(self, bucket: str, app: str, environment: str, since: datetime) -> list[ReleaseRecord]:
        """The newest first: all that began since then, and those before up to one that stands, to compare with.

        None where there is no bucket. Raises GoogleError.
        """
        place = (bucket, prefix(app, environment))
        listed = await list_records(bucket, app, environment)
        known, kept = self._known.get(place, {}), dict[str, Stored]()
        for start in range(0, len(listed), READ_AT_ONCE):
            some = listed[start : start + READ_AT_ONCE]
            found = await all_of([_one(bucket, each, known.get(each.name)) for each in some])
            kept |= {each.name: each for each in found if each}
            if is_enough([each.release for each in kept.values()], since):
                break
        self._known[place] = kept
        return [each.release for each in kept.values()]


async def read_since(bucket: str, app: str, environment: str, since: datetime) -> list[ReleaseRecord]:
    """Once."""
    return await Records().since(bucket, app, environment, since)


async def of_run(
    bucket: str, app: str, environment: str, run_id: str
) -> tuple[ReleaseRecord | None, ReleaseRecord | None]:
    """The newest record of a run, and the one before it; None where there is none. A record's name tells its run."""
    listed = await list_records(bucket, app, environment)
    number = next((number for number, each in enumerate(listed) if each.name.endswith(f"-{run_id}.json")), None)
    if number is None:
        return None, None
    found = {each.name: each.release for each in await read_listed(bucket, listed[number : number + 2])}
    own, before = [*(found.get(each.name) for each in listed[number : number + 2]), None][:2]
    return own, before


def is_enough(found: Sequence[ReleaseRecord], since: datetime) -> bool:
    """Whether there is one that stands from before; a rollback brings no commits to compare with."""
    older = (each for each in found if each.started < since)
    return any(each.state is State.RELEASED and each.action != "rollback" for each in older)


async def _one(bucket: str, listed: StoredObject, known: Stored | None) -> Stored | None:
    """None where it is gone meanwhile."""
    if known and known.generation == listed.generation:
        return known
    return await read_one(bucket, listed.name)
