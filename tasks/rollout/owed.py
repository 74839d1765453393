"""How what is owed of a job or a worker pool is settled: tried again for a while, and its ending kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tasks.failures.explain import explain
from tasks.history.job_record import JobRecord
from tasks.history.pool_record import PoolRecord
from tasks.model import Outcome
from tasks.orchestration.retry import repeated

PAUSES_S = (0.5, 1.0, 2.0, 4.0, 4.0)
R = TypeVar("R", JobRecord, PoolRecord)


async def settled(known: R, work: Callable[[], Awaitable[tuple[Outcome, str]]], within_s: float) -> R:
    """The record with how that went; FAILED, which is owed still, whatever went wrong. Raises nothing but a cancel."""
    try:
        async with asyncio.timeout(within_s):
            outcome, said = await repeated(work, PAUSES_S)
    except Exception as error:
        outcome, said = Outcome.FAILED, explain(error).said
    return known.model_copy(update={"outcome": outcome, "said": said})
