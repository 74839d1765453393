"""Cleans up after releases: list, plan, show; then check each thing again, take it away, prove that rollback works."""

from __future__ import annotations

from functools import partial
from typing import Any

from prefect import Flow, State, flow
from prefect.client.schemas.objects import FlowRun
from prefect.logging import get_run_logger

from tasks.cleanup.carry_out import carry_out, close_left_open, prove_rollbacks
from tasks.cleanup.propose import propose
from tasks.cleanup.scope import read_scope
from tasks.cleanup.turns import only_clean_up
from tasks.failures.errors import ParameterError, ReleaseBusy
from tasks.orchestration.gather import one_by_one
from tasks.orchestration.lock import LEASE_S
from tasks.orchestration.parameters import refuse_parameters
from tasks.orchestration.shown import introduce, show_failure
from tasks.release.reconcile import shipped
from tasks.request.request import workspace
from tasks.source.source import Source


async def close_up(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The hook of cancelled and crashed runs; Prefect passes its arguments by these names."""
    if flow_run.parameters.get("source") and not flow_run.parameters.get("dry_run", True):
        await closing(Source.model_validate(flow_run.parameters["source"]))


@flow(name="cleanup-closing", flow_run_name="close what clean-up left open", timeout_seconds=600)
async def closing(source: Source) -> None:
    """Closes what a clean-up opened for its steps, unless another clean-up is at work by now."""
    async with workspace() as folder:
        scope = await read_scope(source, folder)
        try:
            async with only_clean_up(scope, patience_s=LEASE_S + 15):
                await close_left_open(scope)
        except ReleaseBusy as busy:
            get_run_logger().info("%s", busy.problem)


@flow(
    name="cleanup",
    flow_run_name="clean up",
    timeout_seconds=24 * 3600,
    on_cancellation=[close_up],
    on_failure=[show_failure],
    on_crashed=[refuse_parameters, close_up],
)
async def cleanup(source: Source | None = None, dry_run: bool = True, plan: str | None = None) -> str:
    """Takes away images, revisions, build sources and logs that nothing needs, in all environments of an app.

    It steps aside for releases and rollbacks between any two steps.

    Args:
        source: The repository that holds slipway.yaml; its version does not matter. Empty for a dry run of all that was
            shipped within months.
        dry_run: Only plan: nothing is deleted. The plan is saved and shown as a table.
        plan: The name of a plan that a dry run saved, to do exactly that, caps or not; empty to plan anew.
    """
    if source is None:
        return await _dry_runs(dry_run=dry_run, plan=plan)
    async with workspace() as folder:
        scope = await read_scope(source, folder)
        await introduce(scope.app, name=f"clean up {scope.app}")
        if dry_run:
            return (await propose(scope, plan)).name
        async with only_clean_up(scope):
            await close_left_open(scope)
            proposal = await propose(scope, plan)
            await carry_out(scope, proposal)
            await prove_rollbacks(scope, proposal)
            return proposal.name


async def _dry_runs(*, dry_run: bool, plan: str | None) -> str:
    """One after the other; answers the names of the plans. Nothing is deleted without naming the repository."""
    if not dry_run or plan:
        raise ParameterError("Nothing says which app is to be cleaned up.", "name the repository in `source`.")
    by_place = {each.source.place: each.source for each in reversed(await shipped("cleanup"))}
    plans = [partial(cleanup, each.model_copy(update={"ref": None})) for each in by_place.values()]
    return ", ".join(await one_by_one(plans))
