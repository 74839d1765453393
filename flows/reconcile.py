"""Tidies up after runs that died in the middle: by itself on a schedule and when a run crashes or is cancelled."""

from __future__ import annotations

from typing import Any

from prefect import Flow, State, flow
from prefect.client.schemas.objects import FlowRun
from prefect.logging import get_run_logger

from tasks.cleanup.carry_out import close_own
from tasks.cleanup.turns import is_at_work
from tasks.failures.errors import ReleaseBusy, SlipwayError
from tasks.model import Request
from tasks.observe.last_step import keep_logs
from tasks.orchestration.gather import all_of
from tasks.orchestration.lock import LEASE_S, one_at_a_time, unless_rollback_wanted
from tasks.orchestration.parameters import refuse_parameters
from tasks.orchestration.shown import show_failure
from tasks.release.recall import (
    Remembered,
    is_remembered,
    read_released,
    read_remembered,
    remembered,
    variable_of,
)
from tasks.release.reconcile import Destination, destination_of, is_settled, may_owe, settle_abandoned, unfinished
from tasks.request.request import workspace
from tasks.source.source import Source


@flow(
    name="reconcile",
    flow_run_name="reconcile",
    timeout_seconds=3600,
    on_failure=[show_failure],
    on_crashed=[refuse_parameters],
)
async def reconcile(source: Source | None = None, environment: str | None = None) -> int:
    """Brings environments back to a recorded state after runs that died: traffic as before, no build left running.

    Without a source it looks at every environment that anything was ever released to, and at those of all runs that
    ended badly of late. Answers how many releases it closed. It changes nothing where nothing was left, and leaves
    alone where a run is at work: that one has tidied up before it began.

    Args:
        source: The repository that holds slipway.yaml; empty for all.
        environment: An environment of slipway.yaml, such as staging or production.
    """
    if source and environment:
        return await _one(Destination(source, environment))
    of_late = await unfinished()
    seen = {variable_of(each.source, each.environment) for each in of_late}
    others = [each for each in await remembered() if each.name not in seen]
    return sum(await all_of([*map(_one_of_many, of_late), *map(_remembered, others)]))


async def _one_of_many(destination: Destination) -> int:
    """A failure where nothing was ever recorded is none: somebody mistyped a folder, or an environment's project."""
    try:
        return await _one(destination)
    except SlipwayError as error:
        if may_owe(error, remembered=await is_remembered(destination.source, destination.environment)):
            raise
        get_run_logger().warning("%s is left alone: %s", destination.source.repository, error.problem)
        return 0


async def _one(destination: Destination) -> int:
    async with workspace() as folder:
        return await _tidied(await read_released(destination.source, destination.environment, folder))


async def _remembered(where: Remembered) -> int:
    """What is owed there does not lapse with the runs that Prefect knows of."""
    async with workspace() as folder:
        try:
            request = await read_remembered(where, folder)
            return await _tidied(request) if request else 0
        except Exception:
            get_run_logger().error(
                "%s in %s cannot be looked at; if it is gone for good: prefect variable delete %s",
                where.app,
                where.environment,
                where.name,
            )
            raise


async def _tidied(request: Request) -> int:
    try:
        return await _closed(request)
    finally:
        await keep_logs(request)


async def _closed(request: Request) -> int:
    try:  # users come first
        return await _settled(request)
    finally:
        if not await is_at_work(request):
            await close_own(request)


async def _settled(request: Request) -> int:
    if await is_settled(request):
        return 0
    try:
        async with one_at_a_time(request, patience_s=LEASE_S + 15):
            return await unless_rollback_wanted(request, settle_abandoned(request))
    except ReleaseBusy as busy:
        get_run_logger().info("%s", busy.problem)
        return 0


async def tidy_up(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The hook of cancelled and crashed runs that ship; Prefect passes its arguments by these names.

    A run that could tidy up itself has left nothing to do. A release by tag does not say where it went: then all that
    is unfinished is looked at.
    """
    destination = destination_of(flow_run)
    if destination:
        await reconcile(destination.source, destination.environment)
    elif flow.name == "ship":
        await reconcile()
