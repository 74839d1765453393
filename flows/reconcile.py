"""Tidies up after runs that died in the middle: by itself on a schedule and when a run crashes or is cancelled."""

from __future__ import annotations

from typing import Any

from prefect import Flow, State, flow
from prefect.client.schemas.objects import FlowRun
from prefect.logging import get_run_logger

from tasks.failures.errors import ReleaseBusy
from tasks.orchestration.gather import all_of
from tasks.orchestration.lock import LEASE_S, one_at_a_time
from tasks.orchestration.parameters import refuse_parameters
from tasks.release.reconcile import Destination, destination_of, is_settled, settle_abandoned, unfinished
from tasks.request.request import read_request, workspace
from tasks.source.source import Source


@flow(name="reconcile", flow_run_name="reconcile", timeout_seconds=3600, on_crashed=[refuse_parameters])
async def reconcile(source: Source | None = None, environment: str | None = None) -> int:
    """Brings environments back to a recorded state after runs that died: traffic as before, no build left running.

    Answers how many releases it closed. It changes nothing where nothing was left, and leaves alone where a run is at
    work: that one has tidied up before it began.

    Args:
        source: The repository that holds slipway.yaml; empty for those of all runs that ended badly of late.
        environment: An environment of slipway.yaml, such as staging or production.
    """
    wanted = [Destination(source, environment)] if source and environment else await unfinished()
    return sum(await all_of([_one(each) for each in wanted]))


async def _one(destination: Destination) -> int:
    async with workspace() as folder:
        request = await read_request(destination.source, destination.environment, [], folder)
        if await is_settled(request):
            return 0
        try:
            async with one_at_a_time(request, patience_s=LEASE_S + 15):
                return await settle_abandoned(request)
        except ReleaseBusy as busy:
            get_run_logger().info("%s", busy.problem)
            return 0


async def tidy_up(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The hook of cancelled and crashed runs that ship; Prefect passes its arguments by these names.

    A run that could tidy up itself has left nothing to do.
    """
    destination = destination_of(flow_run)
    if destination:
        await reconcile(destination.source, destination.environment)
