"""Compares what is live with what was released: report every difference, and put it right where that is asked for."""

from __future__ import annotations

from functools import partial

from prefect import flow
from prefect.logging import get_run_logger

from flows.reconcile import tidy_up
from tasks.drift.jobs import look_at_jobs, report_job_drift
from tasks.drift.look import look, report_drift, repository_version
from tasks.drift.pools import look_at_pools, report_pool_drift
from tasks.drift.repair import drifted_beside, ship_drifted
from tasks.observe.last_step import keep_log
from tasks.orchestration.gather import one_by_one
from tasks.orchestration.lock import is_held, one_at_a_time
from tasks.orchestration.parameters import refuse_parameters
from tasks.orchestration.shown import introduce, show_failure
from tasks.release.reconcile import shipped
from tasks.request.request import read_request, workspace
from tasks.source.source import Source


@flow(
    name="drift",
    flow_run_name="drift in {environment}",
    timeout_seconds=24 * 3600,
    on_cancellation=[tidy_up, keep_log],
    on_completion=[keep_log],
    on_failure=[show_failure, keep_log],
    on_crashed=[refuse_parameters, tidy_up, keep_log],
)
async def drift(source: Source | None, environment: str, refresh: bool = False) -> int:
    """Reports every setting of what is live that differs from the newest release; answers how many drifted.

    It keeps nobody waiting, and leaves alone what is just being shipped.
    It also tells when the repository is at another version than the one that was released.

    Args:
        source: The repository that holds slipway.yaml; a ref to compare with, by default its work tree. Empty for all
            that was shipped there within months.
        environment: An environment of slipway.yaml, such as staging or production.
        refresh: Ship the recorded release again where something drifted, with the proof that any release needs. Nothing
            is built, and traffic that a person moved to an earlier good release stays.
    """
    if source is None:
        found = [each.source for each in await shipped("drift") if each.environment == environment]
        looks = [partial(drift, each.model_copy(update={"ref": None}), environment) for each in found]
        return sum(await one_by_one(looks))
    async with workspace() as folder:
        request = await read_request(source, environment, [], folder)
        await introduce(request.app, environment, f"drift of {request.app} in {environment}")
        compared = await look(request)
        if await is_held(request):
            get_run_logger().info("%s is being shipped: the next run looks for drift", request.app)
            return 0
        drifted = await report_drift(request, compared, await repository_version(request))
        drifted += await report_job_drift(request, await look_at_jobs(request))
        drifted += await report_pool_drift(request, await look_at_pools(request))
        if refresh and drifted:
            async with one_at_a_time(request):
                await ship_drifted(request, source, await look(request), await drifted_beside(request))
        return drifted
