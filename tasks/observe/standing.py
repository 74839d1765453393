"""How a run that is over stands, for the pages that listen to it: what Prefect says of it, and what it has made.

While it is at work it tells itself (tasks/orchestration/mirror.py). A run that is killed cannot; so this is written
when it has ended, by whoever keeps its log.
"""

from __future__ import annotations

import asyncio
import logging
import time

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.objects import State as RunState

from tasks.names.tags import told_by
from tasks.observe.kept import Made, RunSaid, said_of
from tasks.observe.lines import artifacts_of
from tasks.orchestration.channel import Entry, Shown, Standing
from tasks.orchestration.sinks import boards

LONGEST = 200_000  # characters of an artifact that are shown; a document has at most 1 MiB
LIMIT_S = 15.0
ENDS = ("completed", "cancelled", "crashed")  # whatever else a state is called, the run has failed: TimedOut


async def show_end(client: PrefectClient, run: FlowRun, state: RunState | None = None) -> None:
    """Wherever runs are shown; state: the one that it is ending in. Raises GoogleError."""
    places = boards()
    if not places:
        return
    said = said_of(run, state, artifacts=await artifacts_of(client, run.id))
    entry = Entry(str(run.id), run.name, "", time.time(), 0, logging.INFO, "", standing_of(said))
    async with asyncio.timeout(LIMIT_S):
        for place in places:
            await place.send([entry])


def standing_of(run: RunSaid) -> Standing:
    app, environment = (*told_by(run.tags), "", "")[:2]
    state = run.state.lower()
    return Standing(
        status=state if state in ENDS else "failed",
        progress=100.0 if run.state == "Completed" else None,
        app=app or None,
        environment=environment or None,
        message=run.message,
        started=run.started,
        ended=run.ended,
        artifacts=tuple(map(shown, run.artifacts)),
    )


def shown(made: Made) -> Shown:
    """One that is too long is in Prefect and in the log that is kept."""
    data = made.data if len(made.data) <= LONGEST else f"({len(made.data)} characters: too long to be shown here)"
    return Shown(made.key, made.kind, made.title, data)
