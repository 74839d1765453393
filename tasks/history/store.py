"""Reads the release history: one JSON record per release in the app's bucket."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage import objects
from infra.gcp.storage.objects import StoredObject
from tasks.failures.cause import Cause
from tasks.failures.errors import CloudError, SlipwayError
from tasks.failures.explain import to_slipway
from tasks.history.record import ReleaseRecord, State
from tasks.orchestration.gather import all_of

READ_AT_ONCE = 16
PLENTY = 100  # good releases: more than anybody goes back
KEPT = 256  # contents of records; a run looks at the same ones up to eight times
NOT_KEPT = "Live traffic is as it was, or is being given back: a release that cannot be recorded does not take place."
MOMENT = timedelta(microseconds=1)
OPEN_AMONG = 32  # a release closes what was left open before it; only a rollback goes on in spite of it


class Seen:
    """The newest contents by bucket, name and generation: what a generation holds never changes.

    https://cloud.google.com/storage/docs/metadata#generation-number
    """

    def __init__(self, most: int = KEPT) -> None:
        self._most, self._contents = most, OrderedDict[tuple[str, str, int], bytes]()

    def get(self, bucket: str, name: str, generation: int) -> bytes | None:
        return self._contents.get((bucket, name, generation))

    def keep(self, bucket: str, name: str, generation: int, content: bytes) -> None:
        self._contents[bucket, name, generation] = content
        while len(self._contents) > self._most:
            self._contents.popitem(last=False)


_seen = Seen()


@dataclass(frozen=True, slots=True)
class Stored:
    """A record where it is kept; who replaces it names the generation that was read."""

    name: str  # of the object
    generation: int
    release: ReleaseRecord


def prefix(app: str, environment: str) -> str:
    return f"releases/{app}/{environment}/"


def record_name(release: ReleaseRecord) -> str:
    """Names sort by time, so the newest releases are the last ones of a listing."""
    stamp = release.started.strftime("%Y%m%dT%H%M%S.%fZ")
    return f"{prefix(release.app, release.environment)}{stamp}-{release.run_id}.json"


def started_of(name: str) -> datetime:
    """When the release of that record began, told by the record's name."""
    stamp = name.rpartition("/")[2].partition("Z")[0]
    return datetime.strptime(stamp, "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC)


async def newest_after(bucket: str, app: str, environment: str, now: datetime) -> datetime:
    """The beginning of a release that begins now: after all others, whatever the clock of this machine says."""
    listed = await list_records(bucket, app, environment)
    return max([now, *(started_of(each.name) + MOMENT for each in listed[:1])])


async def read_history(bucket: str, app: str, environment: str, limit: int | None = None) -> list[ReleaseRecord]:
    """The newest releases first: `limit` of them, else until there are plenty of good ones, however many have failed.

    There are none where there is no bucket yet. A record that cannot be read is an error, not a gap: it may hold the
    last good one.
    """

    enough = are_plenty if limit is None else lambda _: False
    return await read_until(bucket, app, environment, enough, limit)


def are_plenty(found: Sequence[ReleaseRecord]) -> bool:
    return sum(release.state is State.RELEASED for release in found) >= PLENTY


async def read_until(
    bucket: str,
    app: str,
    environment: str,
    enough: Callable[[Sequence[ReleaseRecord]], bool],
    limit: int | None = None,
) -> list[ReleaseRecord]:
    """The newest releases first, so many at a time until they are `enough`, or `limit`, or all."""
    return await read_some(bucket, (await list_records(bucket, app, environment))[:limit], enough)


async def read_some(
    bucket: str, there: Sequence[StoredObject], enough: Callable[[Sequence[ReleaseRecord]], bool]
) -> list[ReleaseRecord]:
    """The same of what has been listed."""
    found: list[ReleaseRecord] = []
    for start in range(0, len(there), READ_AT_ONCE):
        found += [each.release for each in await read_listed(bucket, there[start : start + READ_AT_ONCE])]
        if enough(found):
            break
    return found


async def read_open(bucket: str, app: str, environment: str) -> list[Stored]:
    """Those of the newest releases that are open as far as their records say; none where there is no bucket."""
    found = await read_listed(bucket, (await list_records(bucket, app, environment))[:OPEN_AMONG])
    return [each for each in found if each.release.is_open]


async def list_records(bucket: str, app: str, environment: str) -> list[StoredObject]:
    """The newest first; none where there is no bucket."""
    try:
        found = await objects.list_objects(bucket, prefix(app, environment))
    except GoogleError as error:
        if error.status == "NOT_FOUND":
            return []
        raise
    records = (each for each in found if each.name.endswith(".json"))  # not what somebody else keeps beside them
    return sorted(records, key=lambda each: each.name, reverse=True)


async def read_listed(bucket: str, listed: Sequence[StoredObject]) -> list[Stored]:
    """Without those that are gone meanwhile; of those whose generation has been seen before, nothing is asked."""
    found = await all_of([_one(bucket, each) for each in listed])
    return [each for each in found if each]


async def _one(bucket: str, listed: StoredObject) -> Stored | None:
    content = _seen.get(bucket, listed.name, listed.generation)
    if content is None:
        return await read_one(bucket, listed.name)
    return _stored(bucket, listed.name, listed.generation, content)


async def read_one(bucket: str, name: str) -> Stored | None:
    """The record that is kept there, as it is now; None if it is gone."""
    found = await objects.read_bytes(bucket, name)
    if found is None:
        return None
    content, generation = found
    _seen.keep(bucket, name, generation, content)
    return _stored(bucket, name, generation, content)


async def write_one(bucket: str, name: str, release: ReleaseRecord, generation: int) -> int:
    """Writes it over `generation` (0: if there is none); answers the new one. Raises GoogleError as `write_json`."""
    content = objects.as_json(release.model_dump(mode="json"))
    written = await objects.write_text(bucket, name, content, generation)
    _seen.keep(bucket, name, written, content)
    return written


async def keep_one(bucket: str, name: str, release: ReleaseRecord, generation: int) -> int:
    """The same for a release that is under way. Raises SlipwayError."""
    try:
        return await write_one(bucket, name, release, generation)
    except GoogleError as error:
        raise to_slipway(error, f"Writing the release record gs://{bucket}/{name}", NOT_KEPT) from error


def is_conflict(error: SlipwayError) -> bool:
    """Whether somebody else has written the record."""
    return isinstance(error.__cause__, GoogleError) and error.__cause__.status == "FAILED_PRECONDITION"


def _stored(bucket: str, name: str, generation: int, content: bytes) -> Stored:
    try:
        release = ReleaseRecord.model_validate(json.loads(content))
    except ValueError as error:
        said = str(error).partition("\n")[0]
        raise CloudError(
            f"The release record gs://{bucket}/{name} cannot be read: {said}",
            "put back what it held before; or move it out of that folder: then nobody knows of that release any more.",
            Cause.INVALID_CONFIG,
            state="The record was not changed.",
        ) from error
    return Stored(name, generation, release)
