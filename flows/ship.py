"""Ships a commit where its tag says: a release to production, anything else to staging."""

from __future__ import annotations

from prefect import flow

from flows.deploy import deploy
from flows.provision import close_up_first
from flows.reconcile import tidy_up
from tasks.model import Release
from tasks.observe.last_step import keep_log
from tasks.observe.tell import keep_and_tell
from tasks.orchestration.parameters import refuse_parameters
from tasks.orchestration.shown import show_failure
from tasks.orchestration.stage import LONGEST_RUN_S
from tasks.request.request import workspace
from tasks.request.versioning import choose_environment
from tasks.source.source import Source


@flow(
    name="ship",
    flow_run_name="ship {source.called} by tag",
    timeout_seconds=LONGEST_RUN_S,
    on_cancellation=[close_up_first, tidy_up, keep_and_tell],
    on_completion=[keep_log],
    on_failure=[show_failure, keep_and_tell],
    on_crashed=[refuse_parameters, close_up_first, tidy_up, keep_log],
)
async def ship(source: Source, services: list[str] | None = None, irreversible: bool = False) -> Release:
    """Deploys an app to the environment that the commit's tag is for, such as after a push.

    Args:
        source: The repository that holds slipway.yaml, and what of it to ship.
        services: Only these services; none for all.
        irreversible: This version migrates data in a way that earlier versions cannot live with.
    """
    async with workspace() as folder:
        environment, commit = await choose_environment(source, folder)
    released: Release = await deploy(commit, environment, services, irreversible)
    return released
