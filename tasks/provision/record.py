"""What a run of Terraform set out to do, and what came of it: one JSON record each, beside the state in the bucket.

It is written before anything is changed and closed however the run ends. One that is still open when the next run has
the lock is a dead run's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage import objects
from tasks.names import provisioned
from tasks.orchestration.gather import all_of
from tasks.provision.progress import ResourceState

OPEN_AMONG = 16  # runs exclude each other, and each one closes what was left open before it
Action = Literal["provision", "plan", "destroy"]


class State(StrEnum):
    """How a run ended."""

    STARTED = "started"
    DONE = "done"
    UNCHANGED = "unchanged"
    PLANNED = "planned"  # and nothing else was asked for
    PARTIAL = "partial"  # some of it was made
    FAILED = "failed"  # nothing was
    CANCELLED = "cancelled"
    DIED = "died"  # its process did; what Terraform made all the same is in the record


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Output(_Frozen):
    """What a run found, or why it found nothing; a key is told by where it is kept. Times are UTC."""

    name: str
    value: str = ""
    source: str = ""  # terraform, state or live: where it was had from
    checked: datetime | None = None  # when the live API agreed
    reason: str = ""  # why it is missing
    command: str = ""  # that shows it, or brings it about

    @property
    def is_there(self) -> bool:
        return bool(self.value) and self.checked is not None


class ProvisionRecord(_Frozen):
    """One run; times are UTC."""

    app: str
    environment: str
    run_id: str
    action: Action = "provision"
    started: datetime
    finished: datetime | None = None
    state: State = State.STARTED
    reason: str = ""
    host: str = ""  # where its Terraform ran
    apply_s: float = 0.0  # how long it may have taken
    applied: datetime | None = None  # when it began to make things
    generation: int = 0  # of the key, as far as this run or an earlier one came to make it
    adopted: tuple[str, ...] = ()  # addresses
    resources: tuple[ResourceState, ...] = ()
    outputs: tuple[Output, ...] = ()

    @property
    def is_open(self) -> bool:
        return self.state is State.STARTED


@dataclass(frozen=True, slots=True)
class Stored:
    """A record where it is kept; who replaces it names the generation that was read."""

    bucket: str
    name: str
    generation: int
    record: ProvisionRecord

    async def replaced(self, record: ProvisionRecord) -> Stored:
        """Raises GoogleError FAILED_PRECONDITION if somebody else wrote it meanwhile."""
        if not self.bucket:
            return replace(self, record=record)
        value = record.model_dump(mode="json")
        generation = await objects.write_json(self.bucket, self.name, value, self.generation)
        return Stored(self.bucket, self.name, generation, record)


async def begin(bucket: str, record: ProvisionRecord) -> Stored:
    """bucket: '' where there is none yet: then it is kept nowhere."""
    stamp = record.started.strftime("%Y%m%dT%H%M%S.%fZ")
    name = f"{prefix(record.app, record.environment)}{stamp}-{record.run_id}.json"
    return await Stored(bucket, name, 0, record).replaced(record)


def prefix(app: str, environment: str) -> str:
    return f"{provisioned.folder(app, environment)}/runs/"


async def read_records(bucket: str, app: str, environment: str, limit: int = OPEN_AMONG) -> list[Stored]:
    """The newest first; none where there is no bucket."""
    try:
        listed = await objects.list_objects(bucket, prefix(app, environment))
    except GoogleError as error:
        if error.status == "NOT_FOUND":
            return []
        raise
    names = sorted((each.name for each in listed), reverse=True)[:limit]
    found = await all_of([objects.read_json(bucket, name) for name in names])
    return [
        Stored(bucket, name, value[1], ProvisionRecord.model_validate(value[0]))
        for name, value in zip(names, found, strict=True)
        if value is not None
    ]


async def is_open(bucket: str, app: str, environment: str, run_id: str) -> bool:
    """Whether a run has a record that it has not closed."""
    records = await read_records(bucket, app, environment)
    return any(each.record.is_open and each.record.run_id == run_id for each in records)


def newest_generation(records: Sequence[Stored]) -> int:
    """Of the key, as far as runs have come to make it; 0 where none has."""
    return max((each.record.generation for each in records), default=0)
