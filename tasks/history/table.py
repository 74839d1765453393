"""The release history as people read it: a table in the Prefect UI after each run, and in the terminal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from prefect.logging import get_run_logger

from tasks.failures.explain import explain
from tasks.history.record import ReleaseRecord
from tasks.history.store import read_history
from tasks.model import Request
from tasks.orchestration.artifacts import table

SHOWN = 20


@asynccontextmanager
async def shown_history(request: Request) -> AsyncIterator[None]:
    """When the block ends, well or with a failure, the newest releases as a table artifact."""
    try:
        yield
    except Exception:
        await _show(request)
        raise
    await _show(request)


async def _show(request: Request) -> None:
    title = f"Releases of {request.app} to {request.environment}, newest first"
    try:
        history = await read_history(request.settings.bucket, request.app, request.environment, SHOWN)
        await table(request, "history", rows(history), title)
    except Exception as error:  # whatever Google or Prefect's client says: how the run has ended is known by now
        get_run_logger().warning("the history cannot be shown: %s", explain(error).said)


def rows(history: Sequence[ReleaseRecord]) -> list[dict[str, str]]:
    """One row per release; other programs read this table, so its columns stay."""
    return [
        {
            "started": f"{record.started:%Y-%m-%d %H:%M:%S}",
            "version": record.version,
            "action": f"promote from {record.origin}" if record.origin else record.action,
            "state": record.state,
            "seconds": f"{(record.finished - record.started).total_seconds():.0f}" if record.finished else "",
            "commit": record.commit[:12],
            "by": record.approval.who if record.approval else record.trigger,
            "reason": record.reason.partition("\n")[0],
        }
        for record in history
    ]
