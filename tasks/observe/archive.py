"""Keeps the log of every run that ships in the bucket of its app's records, and finds it there again.

runs/{app}/{environment}/{when the run was made}-{run id}.jsonl.gz, beside releases/. It is written from Prefect's API
when the run has ended: by the run itself, and by reconcile for runs that were killed, or whose last lines came late.
Several may write: each adds to what is there, under the generation that it read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.objects import State as RunState
from prefect.client.schemas.sorting import FlowRunSort

from infra.gcp.calls.errors import GoogleError
from infra.gcp.iam import identity
from infra.gcp.storage import objects
from infra.gcp.storage.objects import StoredObject
from infra.gcp.storage.signed import signed_url
from tasks.names.tags import SHIPPING_FLOWS, tags_of
from tasks.observe.kept import ENDING, KIND, KeptLog, Line, RunSaid, line_of, merged, packed, said_of, unpacked
from tasks.observe.lines import PAGE, artifacts_of, read_lines
from tasks.release.recall import read_all, variable_of
from tasks.release.reconcile import destination_of

LOOK_BACK = timedelta(days=7)  # in which reconcile looks for runs whose log is not kept yet
SETTLED = timedelta(seconds=30)  # so long after its end, nothing more of a run arrives
WRITES = 5  # tries, each after somebody else has written
ENDED = [StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED, StateType.CRASHED]


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where the logs of an environment are kept."""

    bucket: str
    app: str
    environment: str

    @property
    def prefix(self) -> str:
        return f"runs/{self.app}/{self.environment}/"


def stamp(when: datetime) -> str:
    """Names sort by time, as those of release records do."""
    return when.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")


def log_name(shelf: Shelf, run: FlowRun) -> str:
    """The object's; a run keeps the time at which it was made, however often it is started."""
    assert run.created is not None
    return f"{shelf.prefix}{stamp(run.created)}-{run.id}{ENDING}"


async def shelf_of(client: PrefectClient, run: FlowRun) -> Shelf | None:
    """Where its log belongs; None where nothing was ever released to where it was at work.

    A run that ships by way of another, such as `ship`, goes to where that one goes.
    """
    where = destination_of(run)
    if where is None and run.parameters.get("source"):
        below = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run.id]))
        children = await client.read_flow_runs(flow_run_filter=below, sort=FlowRunSort.START_TIME_ASC)
        where = next(filter(None, map(destination_of, children)), None)
    if where is None:
        return None
    found = await client.read_variable_by_name(variable_of(where.source, where.environment))
    kept: object = found.value if found else None
    if not isinstance(kept, dict) or not {"app", "bucket"} <= kept.keys():
        return None
    return Shelf(str(kept["bucket"]), str(kept["app"]), where.environment)


async def every_shelf(client: PrefectClient) -> list[Shelf]:
    """Of every environment that anything was ever released to, as far as this Prefect server remembers."""
    return [Shelf(each.bucket, each.app, each.environment) for each in await read_all(client)]


async def keep(client: PrefectClient, shelf: Shelf, run: FlowRun, state: RunState | None = None) -> int:
    """Writes what Prefect has of the run's log, and what was kept before; answers how many lines that is.

    state: the one that it has ended in, if `run` was read before that. Raises GoogleError.
    """
    flow = await client.read_flow(run.flow_id)
    said = said_of(run, state, flow.name, await artifacts_of(client, run.id))
    lines = [line_of(line) async for page in read_lines(client, run.id) for line in page]
    name, found = log_name(shelf, run), None  # mostly it is the first that writes
    for left in reversed(range(WRITES)):
        try:
            return await _add(shelf.bucket, name, said, lines, found)
        except GoogleError as error:
            if error.status != "FAILED_PRECONDITION" or not left:
                raise
        found = await objects.read_bytes(shelf.bucket, name)
    raise AssertionError("a try either answers or raises")


async def _add(bucket: str, name: str, said: RunSaid, lines: Sequence[Line], found: tuple[bytes, int] | None) -> int:
    """found: what is there already, with its generation."""
    log = merged(said, lines)
    if found:
        before = await asyncio.to_thread(unpacked, found[0])
        log = merged(said.keeping(before.run), before.lines, lines)
    content = await asyncio.to_thread(packed, log)
    await objects.write_bytes(bucket, name, content, KIND, found[1] if found else 0)
    return len(log.lines)


async def keep_missing(client: PrefectClient, shelf: Shelf) -> list[FlowRun]:
    """The logs of runs of late that are not kept, or were before their last lines had come; answers these runs."""
    since = datetime.now(UTC) - LOOK_BACK
    runs = await _ended(client, shelf, since)
    if not runs:
        return []
    there = {_run_of(each.name): each for each in await _listing(shelf, since - LOOK_BACK)}
    missing = [run for run in runs if is_wanting(run, there.get(run.id))]
    for run in missing:
        await keep(client, shelf, run)
    return missing


def is_wanting(run: FlowRun, kept: StoredObject | None) -> bool:
    """Whether more of its log may be in Prefect than was kept."""
    return kept is None or run.end_time is None or kept.created < run.end_time + SETTLED


async def _ended(client: PrefectClient, shelf: Shelf, since: datetime) -> list[FlowRun]:
    """Runs that have shipped there, and are over."""
    wanted = FlowRunFilter(
        tags=FlowRunFilterTags(all_=list(tags_of(shelf.app, shelf.environment))),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=ENDED)),
        start_time=FlowRunFilterStartTime(after_=since),
    )
    flows = FlowFilter(name=FlowFilterName(any_=list(SHIPPING_FLOWS)))
    found: list[FlowRun] = []
    while len(found) % PAGE == 0:
        some = await client.read_flow_runs(
            flow_filter=flows,
            flow_run_filter=wanted,
            sort=FlowRunSort.START_TIME_DESC,
            limit=PAGE,
            offset=len(found),
        )
        if not some:
            break
        found += some
    return found


async def locate(shelf: Shelf, run: UUID | None = None) -> str | None:
    """The object that holds the log of a run, or of the newest one; None where it is not kept there."""
    found = [each.name for each in await _listing(shelf) if run in (None, _run_of(each.name))]
    return found[-1] if found else None


async def newest(shelf: Shelf) -> KeptLog | None:
    """The log of the newest run that is kept; None where there is none."""
    name = await locate(shelf)
    return await read(shelf, name) if name else None


async def find(shelf: Shelf, run: UUID) -> KeptLog | None:
    """The log of a run; None where it is not kept there."""
    name = await locate(shelf, run)
    return await read(shelf, name) if name else None


async def read(shelf: Shelf, name: str) -> KeptLog:
    """Raises GoogleError NOT_FOUND where somebody has deleted it meanwhile."""
    found = await objects.read_bytes(shelf.bucket, name)
    if found is None:
        raise GoogleError("storage.objects.get", "NOT_FOUND", f"gs://{shelf.bucket}/{name} is not there any more.")
    return await asyncio.to_thread(unpacked, found[0])


async def address(shelf: Shelf, name: str, minutes: int, account: str | None = None) -> str:
    """Where anybody can download it for so long; signed by the account, by default by the one we act as.

    Raises GoogleError.
    """
    own = await identity.whoami()
    return await signed_url(shelf.bucket, name, minutes, account or own, remote=account not in (None, own))


async def _listing(shelf: Shelf, since: datetime | None = None) -> list[StoredObject]:
    """Of runs made since then, the oldest first; none where there is no bucket."""
    try:
        start = f"{shelf.prefix}{stamp(since)}" if since else None
        found = await objects.list_objects(shelf.bucket, shelf.prefix, start)
    except GoogleError as error:
        if error.status == "NOT_FOUND":
            return []
        raise
    return [each for each in found if _run_of(each.name)]


def _run_of(name: str) -> UUID | None:
    """The run whose log an object is; None where it is something else."""
    try:
        return UUID(name.removesuffix(ENDING).rpartition("Z-")[2])
    except ValueError:
        return None
