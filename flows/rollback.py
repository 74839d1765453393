"""Goes back to a release that was seen healthy: its revisions are proven again, then get all traffic."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow

from flows.reconcile import tidy_up
from tasks.backup.keep import tell_what_was_kept
from tasks.history.recorded import recorded
from tasks.history.table import shown_history
from tasks.model import Override, Release
from tasks.observe.last_step import keep_log
from tasks.observe.tell import keep_and_tell
from tasks.orchestration.lock import before_all_others
from tasks.orchestration.parameters import refuse_parameters
from tasks.orchestration.shown import introduced, show_failure
from tasks.orchestration.stage import shown_progress
from tasks.release.preempt import TakeOver, settle_what_can_be, stopped_runs
from tasks.release.recall import read_released
from tasks.release.release import go_back
from tasks.release.rollback import choose_release, going_back, refuse_in_part
from tasks.release.summary import report, report_stages
from tasks.request.request import workspace
from tasks.source.source import Source


@flow(
    name="rollback",
    flow_run_name="roll back {source.called} in {environment}",
    timeout_seconds=3600,
    on_cancellation=[tidy_up, keep_and_tell],
    on_completion=[keep_and_tell],
    on_failure=[show_failure, keep_and_tell],
    on_crashed=[refuse_parameters, tidy_up, keep_log],
)
async def rollback(
    source: Source, environment: str, to: str | None = None, override: Override | None = None
) -> Release:
    """Gives all traffic back to an earlier release. Nothing is built or deployed, so it takes seconds.

    A release that is under way is cancelled and gives back what it has first; those that wait stand back. Neither the
    git host nor slipway.yaml is needed where a release has been recorded.

    Args:
        source: The repository that holds slipway.yaml; its version does not matter.
        environment: An environment of slipway.yaml, such as staging or production.
        to: The version to go back to; empty for the last good one before what serves now.
        override: Go back although a newer release declares a migration that cannot be undone.
    """
    decided = datetime.now(UTC)
    async with workspace() as folder:
        request = await introduced(await read_released(source, environment, folder))
        async with (
            before_all_others(request, TakeOver(request)) as let_go,
            shown_progress(request) as progress,
            shown_history(request),
        ):
            stopped = await stopped_runs(request)
            await settle_what_can_be(request)
            target, serving, away = await choose_release(request, to, override, stopped)
            async with recorded(request, going_back(target, serving, override)) as ledger:
                released, unproven = await go_back(request, target, ledger, decided)
            await let_go()
            await report(request, released, progress)
            await report_stages(request, progress)
            await tell_what_was_kept(request, serving)
            refuse_in_part(target, away | unproven)
            return released
