"""Ships an app: check, version, create what is missing, build, deploy dark, prove, shift traffic, record, clean up."""

from __future__ import annotations

from prefect import flow

from flows.provision import close_up_first, provision_first
from flows.reconcile import tidy_up
from tasks.backup.keep import begin_to_keep
from tasks.builds.build import build
from tasks.cleanup.after_release import conclude
from tasks.cleanup.carry_out import close_own
from tasks.cost.cost import priced
from tasks.history.record import Intent
from tasks.history.recorded import recorded
from tasks.history.table import shown_history
from tasks.model import Override, Release
from tasks.observe.last_step import keep_log
from tasks.observe.tell import keep_and_tell
from tasks.orchestration.gather import both
from tasks.orchestration.lock import one_at_a_time
from tasks.orchestration.parameters import refuse_parameters
from tasks.orchestration.shown import introduced, show_failure
from tasks.orchestration.stage import LONGEST_RUN_S, shown_progress
from tasks.preflight.create import create_missing
from tasks.preflight.preflight import preflight
from tasks.release.gates import refuse_held_back
from tasks.release.recall import remember
from tasks.release.reconcile import settle_abandoned
from tasks.release.release import release_with_jobs
from tasks.request.request import read_request, workspace
from tasks.request.versioning import name_version
from tasks.source.source import Source
from tasks.supply_chain.audit import audit_sources


@flow(
    name="deploy",
    flow_run_name="deploy {source.called} to {environment}",
    timeout_seconds=LONGEST_RUN_S,
    on_cancellation=[close_up_first, tidy_up, keep_and_tell],
    on_completion=[keep_and_tell],
    on_failure=[show_failure, keep_and_tell],
    on_crashed=[refuse_parameters, close_up_first, tidy_up, keep_log],
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
        override: Ship in spite of a freeze, cost limit, failing dependency, what was found or not kept, in your name.
    """
    async with workspace() as folder:
        request = await introduced(await read_request(source, environment, services or [], folder))
        await refuse_held_back(request, override)
        async with one_at_a_time(request) as let_go, shown_progress(request) as progress, shown_history(request):
            await close_own(request)  # no change of the user's: preflight refuses what a killed clean-up left open
            await provision_first(source, environment, request.settings.provision)  # preflight looks for what it makes
            readiness, version = await both(preflight(request, override), name_version(request))
            cost = await priced(request, override)
            await create_missing(request, readiness)
            await both(settle_abandoned(request, deploys=True), remember(source, request))
            async with recorded(request, Intent(version, irreversible=irreversible, override=override)) as ledger:
                await audit_sources(request, ledger)
                await begin_to_keep(request, ledger)
                images = await build(request, version)
                ledger.built(images)
                released = await release_with_jobs(request, version, images, ledger)
            return await conclude(request, released, let_go, progress, cost)
