"""Tells whether a project is ready for an app, and which version would be shipped. Changes nothing."""

from __future__ import annotations

from prefect import flow

from tasks.cost.cost import priced
from tasks.orchestration.parameters import refuse_parameters
from tasks.orchestration.shown import introduced, show_failure
from tasks.preflight.preflight import preflight
from tasks.request.request import read_request, workspace
from tasks.request.versioning import name_version
from tasks.source.source import Source


@flow(
    name="doctor",
    flow_run_name="doctor of {source.called} for {environment}",
    timeout_seconds=600,
    on_failure=[show_failure],
    on_crashed=[refuse_parameters],
)
async def doctor(source: Source, environment: str, services: list[str] | None = None) -> None:
    """Checks everything a release needs, at once, and reports each problem with the command that fixes it.

    Args:
        source: The repository that holds slipway.yaml, and what of it to check.
        environment: An environment of slipway.yaml, such as staging or production.
        services: Only these services; none for all.
    """
    async with workspace() as folder:
        request = await introduced(await read_request(source, environment, services or [], folder))
        await preflight(request)
        await priced(request)
        await name_version(request, "doctor of ")
