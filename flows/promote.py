"""Ships to one environment what was proven in another: the same images, by digest, with the same care."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow

from flows.reconcile import tidy_up
from tasks.cleanup.after_release import clean_up
from tasks.history.ledger import recorded
from tasks.history.record import images_of
from tasks.history.table import shown_history
from tasks.model import Override, Release
from tasks.orchestration.lock import one_at_a_time
from tasks.orchestration.parameters import refuse_parameters
from tasks.orchestration.stage import LONGEST_RUN_S, shown_progress
from tasks.preflight.create import create_missing
from tasks.preflight.preflight import preflight
from tasks.release.gates import refuse_frozen
from tasks.release.hooks import run_hooks
from tasks.release.promote import check_images, promotion, read_promotion
from tasks.release.reconcile import settle_abandoned
from tasks.release.release import release
from tasks.release.summary import report
from tasks.request.request import workspace
from tasks.request.versioning import name_version
from tasks.source.source import Source


@flow(
    name="promote",
    flow_run_name="promote to {environment}",
    timeout_seconds=LONGEST_RUN_S,
    on_cancellation=[tidy_up],
    on_crashed=[refuse_parameters, tidy_up],
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
        override: Ship in spite of a freeze window, in your name.
    """
    async with workspace() as folder:
        request, proven = await read_promotion(source, origin, environment, version, folder)
        refuse_frozen(request.settings, override, datetime.now(UTC))
        async with one_at_a_time(request), shown_progress(request) as progress, shown_history(request):
            readiness = await preflight(request)
            named = await name_version(request)
            await check_images(request, proven)
            await create_missing(request, readiness)
            await settle_abandoned(request)
            async with recorded(request, promotion(proven, named, origin, override)) as ledger:
                await run_hooks(request, "before")
                released = await release(request, named, images_of(proven, named), ledger)
            await clean_up(request, released)
            await report(request, released, progress)
            return released
