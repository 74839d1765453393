"""Ships an app: check, version, create what is missing, build, deploy dark, prove, shift traffic, record, clean up."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow

from flows.reconcile import tidy_up
from tasks.builds.build import build
from tasks.cleanup.after_release import clean_up
from tasks.history.ledger import recorded
from tasks.history.record import Intent
from tasks.history.table import shown_history
from tasks.model import Override, Release
from tasks.orchestration.lock import one_at_a_time
from tasks.orchestration.parameters import refuse_parameters
from tasks.orchestration.stage import LONGEST_RUN_S, shown_progress
from tasks.preflight.create import create_missing
from tasks.preflight.preflight import preflight
from tasks.release.gates import refuse_frozen
from tasks.release.hooks import run_hooks
from tasks.release.reconcile import settle_abandoned
from tasks.release.release import release
from tasks.release.summary import report
from tasks.request.request import read_request, workspace
from tasks.request.versioning import name_version
from tasks.source.source import Source


@flow(
    name="deploy",
    flow_run_name="deploy to {environment}",
    timeout_seconds=LONGEST_RUN_S,
    on_cancellation=[tidy_up],
    on_crashed=[refuse_parameters, tidy_up],
)
async def deploy(
    source: Source,
    environment: str,
    services: list[str] | None = None,
    irreversible: bool = False,
    override: Override | None = None,
) -> Release:
    """Ships an app's services to Cloud Run, proven before they take traffic and taken back if the proof fails.

    Args:
        source: The repository that holds slipway.yaml, and what of it to ship.
        environment: An environment of slipway.yaml, such as staging or production.
        services: Only these services; none for all.
        irreversible: This version migrates data in a way that earlier versions cannot live with.
        override: Ship in spite of a freeze window, in your name.
    """
    async with workspace() as folder:
        request = await read_request(source, environment, services or [], folder)
        refuse_frozen(request.settings, override, datetime.now(UTC))
        async with one_at_a_time(request), shown_progress(request) as progress, shown_history(request):
            readiness = await preflight(request)
            version = await name_version(request)
            await create_missing(request, readiness)
            await settle_abandoned(request)
            async with recorded(request, Intent(version, irreversible=irreversible, override=override)) as ledger:
                await run_hooks(request, "before")
                images = await build(request, version)
                await ledger.built(images)
                released = await release(request, version, images, ledger)
            await clean_up(request, released)
            await report(request, released, progress)
            return released
