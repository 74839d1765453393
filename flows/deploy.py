"""Ships an app: check, version, create what is missing, build, deploy dark, prove, move traffic, clean up."""

from __future__ import annotations

from prefect import flow

from tasks.build import build
from tasks.cleanup import clean_up
from tasks.health import prove
from tasks.model import Release
from tasks.preflight import preflight
from tasks.provision import create_missing
from tasks.report import report, start_progress
from tasks.request import Options, read_request, workspace
from tasks.rollout import deploy_dark
from tasks.source import Source
from tasks.traffic import promote, taken_back_on_failure
from tasks.versioning import name_version


@flow(name="deploy", flow_run_name="deploy to {environment}", timeout_seconds=3 * 3600)
async def deploy(
    source: Source, environment: str, services: list[str] | None = None, options: Options | None = None
) -> Release:
    """Ships an app's services to Cloud Run, proven before they take traffic and taken back if the proof fails.

    Args:
        source: The repository that holds slipway.yaml, and what of it to ship.
        environment: An environment of slipway.yaml, such as staging or production.
        services: Only these services; none for all.
        options: What to do differently in this run.
    """
    async with workspace() as folder:
        request = await read_request(source, environment, services or [], folder)
        progress = await start_progress(request)
        async with progress.stage("preflight"):
            readiness = await preflight(request)
        async with progress.stage("version"):
            version = await name_version(request)
        if options and options.check_only:
            return Release(request.app, environment, version)
        async with progress.stage("create"):
            await create_missing(request, readiness)
        async with progress.stage("build"):
            images = await build(request, version)
        async with progress.stage("deploy"):
            candidates = await deploy_dark(request, version, images, request.settings.regions)
        async with taken_back_on_failure(request, candidates):
            async with progress.stage("prove"):
                proofs = await prove(request, candidates)
            async with progress.stage("promote"):
                live = await promote(request, candidates)
        release = Release(request.app, environment, version, images, proofs, live)
        async with progress.stage("clean up"):
            await clean_up(request, candidates)
        await report(request, release, progress)
        return release
