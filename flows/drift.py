"""Compares what is live with what was released: report every difference, and put it right where that is asked for."""

from __future__ import annotations

from prefect import flow

from flows.reconcile import tidy_up
from tasks.drift.look import look, report_drift, repository_version
from tasks.drift.repair import ship_drifted
from tasks.orchestration.lock import one_at_a_time
from tasks.orchestration.parameters import refuse_parameters
from tasks.request.request import read_request, workspace
from tasks.source.source import Source


@flow(
    name="drift",
    flow_run_name="drift in {environment}",
    timeout_seconds=24 * 3600,
    on_cancellation=[tidy_up],
    on_crashed=[refuse_parameters, tidy_up],
)
async def drift(source: Source, environment: str, refresh: bool = False) -> int:
    """Reports every setting of the live services that differs from the newest release; answers how many drifted.

    It also tells when the repository is at another version than the one that was released.

    Args:
        source: The repository that holds slipway.yaml; a ref to compare with, by default its work tree.
        environment: An environment of slipway.yaml, such as staging or production.
        refresh: Ship the recorded release again where something drifted, with the proof that any release needs. Nothing
            is built, and traffic that a person moved to an earlier good release stays.
    """
    async with workspace() as folder:
        request = await read_request(source, environment, [], folder)
        async with one_at_a_time(request):
            compared = await look(request)
            drifted = await report_drift(request, compared, await repository_version(request))
            if refresh and drifted:
                await ship_drifted(request, source, compared)
            return drifted
