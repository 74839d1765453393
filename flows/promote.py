"""Ships to one environment what was proven in another: the same images, by digest, with the same care."""

from __future__ import annotations

from prefect import flow

from flows.reconcile import tidy_up
from tasks.backup.keep import begin_to_keep
from tasks.cleanup.after_release import conclude
from tasks.cleanup.carry_out import close_own
from tasks.cost.cost import priced
from tasks.history.record import images_of
from tasks.history.recorded import recorded
from tasks.history.table import shown_history
from tasks.model import Override, Release
from tasks.observe.last_step import keep_log
from tasks.observe.tell import keep_and_tell
from tasks.orchestration.lock import one_at_a_time
from tasks.orchestration.parameters import refuse_parameters
from tasks.orchestration.shown import introduce, show_failure
from tasks.orchestration.stage import LONGEST_RUN_S, shown_progress
from tasks.preflight.create import create_missing
from tasks.preflight.preflight import preflight
from tasks.release.gates import refuse_held_back
from tasks.release.promote import check_images, promotion, read_promotion, refuse_taken_back
from tasks.release.recall import remember
from tasks.release.reconcile import settle_abandoned
from tasks.release.release import release_with_jobs
from tasks.request.request import workspace
from tasks.request.versioning import name_version
from tasks.source.source import Source


@flow(
    name="promote",
    flow_run_name="promote {source.called} to {environment}",
    timeout_seconds=LONGEST_RUN_S,
    on_cancellation=[tidy_up, keep_and_tell],
    on_completion=[keep_and_tell],
    on_failure=[show_failure, keep_and_tell],
    on_crashed=[refuse_parameters, tidy_up, keep_log],
)
async def promote(
    source: Source,
    environment: str,
    origin: str = "staging",
    version: str | None = None,
    override: Override | None = None,
) -> Release:
    """Ships what was proven in another environment, from the same images; nothing is built.

    Args:
        source: The repository that holds slipway.yaml; the commit is that of the release.
        environment: Where the release is to go, such as production.
        origin: The environment of slipway.yaml in which it was proven.
        version: The version to promote, as the history of `origin` calls it; empty for its newest good release.
        override: Ship in spite of a freeze, cost limit, failing dependency, what was found or not kept, in your name.
    """
    async with workspace() as folder:
        request, proven, there = await read_promotion(source, origin, environment, version, folder)
        await introduce(request.app, request.environment)
        await refuse_held_back(request, override)
        async with one_at_a_time(request) as let_go, shown_progress(request) as progress, shown_history(request):
            await close_own(request)  # no change of the user's: preflight refuses what a killed clean-up left open
            await refuse_taken_back(there, proven)
            readiness = await preflight(request, override)
            cost = await priced(request, override)
            named = await name_version(request)
            await check_images(request, proven)
            await create_missing(request, readiness)
            await settle_abandoned(request, deploys=True)
            await remember(source, request)
            async with recorded(request, promotion(proven, named, origin, override)) as ledger:
                await begin_to_keep(request, ledger)
                images = images_of(proven, named)
                released = await release_with_jobs(request, named, images, ledger)
            return await conclude(request, released, let_go, progress, cost)
