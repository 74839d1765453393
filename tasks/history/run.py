"""What Prefect says of the run that a record is of: who started it, and why it ended."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from tasks.failures.errors import SlipwayError
from tasks.history.record import ReleaseRecord, State
from tasks.names.tags import STARTED_BY

NOBODY_SAYS = "UI or API"  # who started it, as far as anybody knows


async def who_started(run_id: str) -> str:
    """Who or what created the run, as far as Prefect knows: an automation, a schedule, or whom the run names."""
    run = (await with_outer(run_id))[-1]
    creator = run.created_by
    if creator is not None:
        return f"{(creator.type or 'unknown').lower()} {creator.display_value or ''}".strip()
    if told := run.labels.get(STARTED_BY):
        return str(told)
    return "schedule" if run.auto_scheduled else NOBODY_SAYS


async def with_outer(run_id: str) -> list[FlowRun]:
    """The run, and those that it is within, as when the release is shipped by its tag; the outermost last."""
    async with get_client() as client:
        found = [await client.read_flow_run(UUID(run_id))]
        with suppress(ObjectNotFound):  # of an outer one, which somebody has deleted
            while task := found[-1].parent_task_run_id:
                outer = (await client.read_task_run(task)).flow_run_id
                if outer is None:
                    break
                found.append(await client.read_flow_run(outer))
    return found


async def why_ended(error: BaseException, run_id: str) -> tuple[State, str]:
    """How a release that ended with this error is recorded, and why."""
    if isinstance(error, Exception):
        return State.FAILED, error.problem if isinstance(error, SlipwayError) else str(error) or type(error).__name__
    try:
        runs = await with_outer(run_id)
    except (httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound, ValueError):
        runs = []
    states = [run.state for run in runs]
    if not states or any(state is None or state.is_cancelling() or state.is_cancelled() for state in states):
        return State.CANCELLED, "The run was cancelled."
    return State.FAILED, "The run took longer than it may, or lost its hold on the environment."


async def why_gone(record: ReleaseRecord) -> tuple[State | None, str]:
    """How the release is recorded whose run is gone, and the reason as far as Prefect knows it.

    None where Prefect does not say that it is gone: a killed run may count as running, and another Prefect server's
    runs are not known here.
    """
    if record.state is not State.STARTED:
        return record.state, record.reason
    try:
        states = [run.state for run in await with_outer(record.run_id)]  # of whom a process stands for the outermost
    except (ObjectNotFound, ValueError):
        return None, "Its run is gone, and Prefect does not know it any more."
    if any(each is not None and (each.is_cancelled() or each.is_cancelling()) for each in states):
        return State.CANCELLED, "Its run was cancelled and killed before it had tidied up."
    over = State.FAILED if any(each is not None and each.is_final() for each in states) else None
    return over, f"Its run was killed in the middle ({states[0].name if states[0] else 'no state'})."
