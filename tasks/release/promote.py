"""Promotion: what was proven in one environment goes to another, by digest. Nothing is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from prefect.logging import get_run_logger

from tasks.failures.errors import Cause, ParameterError, PromotionRefused
from tasks.history.record import Intent, ReleaseRecord, State, good
from tasks.history.store import read_history
from tasks.model import Override, Request, Version
from tasks.names.references import ImageReference
from tasks.orchestration.gather import all_of
from tasks.orchestration.stage import stage
from tasks.orchestration.step import step
from tasks.release.rollback import is_gone
from tasks.request.request import read_request
from tasks.source.source import Source

GATES = ("accepts", "approval", "approval_timeout_s", "freeze", "when_busy", "busy_timeout_s")


async def read_promotion(
    source: Source, origin: str, environment: str, version: str | None, folder: Path
) -> tuple[Request, ReleaseRecord]:
    """The request for `environment` with the commit and services that were proven in `origin`, and that release.

    `version` names the release; the newest good one without it. What may hold a release back is as the manifest says
    now, everything else as it said at that commit. Raises ParameterError, SourceError, ManifestError or
    PromotionRefused.
    """
    if origin == environment:
        raise ParameterError(f"origin and environment are both {origin}.", "name two environments of slipway.yaml.")
    now = await read_request(source, origin, [], folder / "origin")
    target = now.manifest.environment(environment)
    gates = {name: getattr(target, name) for name in GATES}
    proven = await choose_release(now, version)
    then = Source(repository=source.repository, ref=proven.commit)
    request = await read_request(then, environment, sorted(proven.images), folder / "target")
    return replace(request, settings=request.settings.model_copy(update=gates)), proven


@step("choose the release to promote", attempts=3)
async def choose_release(request: Request, version: str | None) -> ReleaseRecord:
    history = await read_history(request.settings.bucket, request.app, request.environment)
    return choose(history, request.environment, version)


def choose(history: Sequence[ReleaseRecord], origin: str, version: str | None) -> ReleaseRecord:
    """The release called `version`, else the newest; one that was seen healthy. `history` is newest first."""
    proven = good(history)
    found = next((record for record in proven if version in (None, record.version)), None)
    if found is None:
        tried = next((record for record in history if record.version == version), None)
        what = f"{version or 'any version'} was never proven in {origin}"
        raise PromotionRefused(
            f"{what}: it is marked {tried.state}." if tried else f"{what}.",
            f"ship it to {origin} first, or name one of: {', '.join(r.version for r in proven) or 'none yet'}.",
            Cause.NOT_FOUND if tried is None or tried.state is State.STARTED else Cause.CONFLICT,
        )
    if ".dirty-" in found.version:
        raise PromotionRefused(
            f"{found.version} in {origin} was built from a work tree that differs from commit {found.commit[:12]}.",
            f"commit the changes, ship the commit to {origin} and promote that.",
            Cause.CONFLICT,
        )
    return found


def promotion(proven: ReleaseRecord, named: Version, origin: str, override: Override | None) -> Intent:
    return Intent(
        named,
        "promote",
        origin=origin,
        images=proven.images,
        irreversible=proven.irreversible,
        override=override,
    )


@stage("build")
async def check_images(request: Request, proven: ReleaseRecord) -> None:
    """Raises PromotionRefused unless every image still exists where it was built: it is pulled from there."""
    await all_of([check_image(service, reference) for service, reference in sorted(proven.images.items())])
    get_run_logger().info("%s as proven in %s, nothing is built", proven.version, proven.environment)


@step("check the image", run_name="check the image of {service}", attempts=3)
async def check_image(service: str, reference: str) -> None:
    if await is_gone(ImageReference.parse(reference)):
        raise PromotionRefused(
            f"The image of {service} is gone from the registry: {reference}.",
            "ship the version again where it was proven; that builds it anew.",
            Cause.IMAGE_MISSING,
        )
