"""The lines of a run's log, from Prefect's API: all of them, and those that are new since last time.

Prefect gives at most 200 at once, in the order of their own times. Every process of a run sends its lines in batches,
about every two seconds, so that older lines may arrive after newer ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
    LogFilterTimestamp,
)
from prefect.client.schemas.objects import Artifact, Log
from prefect.client.schemas.sorting import ArtifactSort, LogSort

PAGE = 200  # as many as Prefect gives at once
LOOK_BACK = timedelta(seconds=5)  # more than two batches


async def read_lines(client: PrefectClient, run: UUID, since: datetime | None = None) -> AsyncIterator[list[Log]]:
    """Some at a time, the oldest first, each once; from `since` on.

    A page begins at the time of the last line before it: whatever arrives meanwhile moves no line past a boundary.
    """
    seen: set[UUID] = set()
    offset = 0
    while True:
        wanted = LogFilter(
            flow_run_id=LogFilterFlowRunId(any_=[run]),
            timestamp=LogFilterTimestamp(after_=since) if since else None,
        )
        page = await client.read_logs(wanted, limit=PAGE, offset=offset, sort=LogSort.TIMESTAMP_ASC)
        if new := [line for line in page if line.id not in seen]:
            yield new
        if len(page) < PAGE:
            return
        first, last = page[0].timestamp, page[-1].timestamp
        if first == last:  # more than a page of one moment
            offset += PAGE
            seen |= {line.id for line in page}
        else:
            since, offset = last, 0
            seen = {line.id for line in page if line.timestamp == last}


async def artifacts_of(client: PrefectClient, *runs: UUID) -> list[Artifact]:
    """All that the runs have made, in no order."""
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=list(runs)))
    found: list[Artifact] = []
    while len(found) % PAGE == 0:
        page = await client.read_artifacts(
            artifact_filter=wanted, sort=ArtifactSort.ID_DESC, limit=PAGE, offset=len(found)
        )
        if not page:
            break
        found += page
    return found


@dataclass
class Tail:
    """Follows the logs of runs: answers each line once, whenever it arrives."""

    client: PrefectClient
    _known: set[UUID] = field(default_factory=set)
    _newest: dict[UUID, datetime] = field(default_factory=dict)  # of each run

    async def new(self, run: UUID, *, everything: bool = False) -> list[Log]:
        """What has come since; `everything` also looks for what has come later than processes should send it."""
        newest = self._newest.get(run)
        since = newest - LOOK_BACK if newest and not everything else None
        found: list[Log] = []
        async for page in read_lines(self.client, run, since):
            found += [line for line in page if line.id not in self._known]
        self._known |= {line.id for line in found}
        if found:
            last = max(line.timestamp for line in found)
            self._newest[run] = max(newest, last) if newest else last
        return found
