"""Cleans up after releases: list, plan, show; then check each thing again, take it away, prove that rollback works."""

from __future__ import annotations

from prefect import flow

from tasks.cleanup.carry_out import carry_out, close_left_open, prove_rollbacks
from tasks.cleanup.propose import propose
from tasks.cleanup.scope import all_to_itself, read_scope
from tasks.orchestration.parameters import refuse_parameters
from tasks.request.request import workspace
from tasks.source.source import Source


@flow(name="cleanup", flow_run_name="clean up", timeout_seconds=24 * 3600, on_crashed=[refuse_parameters])
async def cleanup(source: Source, dry_run: bool = True, plan: str | None = None) -> str:
    """Takes away images, revisions, build sources and logs that nothing needs, in all environments of an app.

    Args:
        source: The repository that holds slipway.yaml; its version does not matter.
        dry_run: Only plan: nothing is deleted. The plan is saved and shown as a table.
        plan: The name of a plan that a dry run saved, to do exactly that; empty to plan anew.
    """
    async with workspace() as folder:
        scope = await read_scope(source, folder)
        if dry_run:
            return (await propose(scope, plan)).name
        async with all_to_itself(scope):
            await close_left_open(scope)
            proposal = await propose(scope, plan)
            await carry_out(scope, proposal)
            await prove_rollbacks(scope, proposal)
            return proposal.name
