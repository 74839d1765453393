"""Goes back to a release that was seen healthy: its revisions are proven again, then get all traffic."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow

from flows.reconcile import tidy_up
from tasks.history.ledger import recorded
from tasks.history.table import shown_history
from tasks.model import Override, Release
from tasks.orchestration.lock import one_at_a_time
from tasks.orchestration.parameters import refuse_parameters
from tasks.orchestration.stage import shown_progress
from tasks.release.reconcile import settle_abandoned
from tasks.release.release import go_back
from tasks.release.rollback import choose_release, going_back
from tasks.release.summary import report
from tasks.request.request import read_request, workspace
from tasks.source.source import Source


@flow(
    name="rollback",
    flow_run_name="roll back {environment}",
    timeout_seconds=3600,
    on_cancellation=[tidy_up],
    on_crashed=[refuse_parameters, tidy_up],
)
async def rollback(
    source: Source, environment: str, to: str | None = None, override: Override | None = None
) -> Release:
    """Gives all traffic back to an earlier release. Nothing is built or deployed, so it takes seconds.

    Args:
        source: The repository that holds slipway.yaml; its version does not matter.
        environment: An environment of slipway.yaml, such as staging or production.
        to: The version to go back to; empty for the last good one before what serves now.
        override: Go back although a newer release declares a migration that cannot be undone.
    """
    decided = datetime.now(UTC)
    async with workspace() as folder:
        request = await read_request(source, environment, [], folder)
        async with one_at_a_time(request), shown_progress(request) as progress, shown_history(request):
            await settle_abandoned(request)
            target, serving = await choose_release(request, to, override)
            async with recorded(request, going_back(target, serving, override)) as ledger:
                released = await go_back(request, target, ledger, decided)
            await report(request, released, progress)
            return released
