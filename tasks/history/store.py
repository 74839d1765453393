"""Reads the release history: one JSON record per release in the app's bucket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage import objects
from tasks.history.record import ReleaseRecord, State
from tasks.orchestration.gather import all_of

READ_AT_ONCE = 16
PLENTY = 100  # good releases: more than anybody goes back
OPEN_AMONG = 8  # releases exclude each other, and each one closes what was left open before it


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


async def read_history(bucket: str, app: str, environment: str, limit: int | None = None) -> list[ReleaseRecord]:
    """The newest releases first: `limit` of them, else until there are plenty of good ones, however many have failed.

    There are none where there is no bucket yet. A record that cannot be read is an error, not a gap: it may hold the
    last good one.
    """
    names = (await _record_names(bucket, app, environment))[:limit]
    found: list[ReleaseRecord] = []
    for start in range(0, len(names), READ_AT_ONCE):
        found += [each.release for each in await _read(bucket, names[start : start + READ_AT_ONCE])]
        if limit is None and sum(release.state is State.RELEASED for release in found) >= PLENTY:
            break
    return found


async def read_open(bucket: str, app: str, environment: str) -> list[Stored]:
    """Those of the newest releases that have not ended as far as their records say; none where there is no bucket."""
    found = await _read(bucket, (await _record_names(bucket, app, environment))[:OPEN_AMONG])
    return [each for each in found if each.release.state is State.STARTED]


async def _read(bucket: str, names: Sequence[str]) -> list[Stored]:
    """Without those that are gone meanwhile."""
    values = await all_of([objects.read_json(bucket, name) for name in names])
    return [
        Stored(name, value[1], ReleaseRecord.model_validate(value[0]))
        for name, value in zip(names, values, strict=True)
        if value is not None
    ]


async def _record_names(bucket: str, app: str, environment: str) -> list[str]:
    """The newest first; none where there is no bucket."""
    try:
        found = await objects.list_objects(bucket, prefix(app, environment))
    except GoogleError as error:
        if error.status == "NOT_FOUND":
            return []
        raise
    return sorted((each.name for each in found), reverse=True)
