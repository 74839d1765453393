"""Promotion: what was proven in one environment goes to another, by digest. Nothing is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from prefect.logging import get_run_logger

from tasks.builds.elsewhere import is_missing
from tasks.failures.cause import Cause
from tasks.failures.errors import ParameterError, PromotionRefused
from tasks.history.record import Intent, ReleaseRecord, State, good
from tasks.history.store import read_history
from tasks.manifest.environment import Environment
from tasks.model import Override, Request, Version
from tasks.names.references import ImageReference
from tasks.orchestration.gather import all_of
from tasks.orchestration.stage import stage
from tasks.orchestration.step import step
from tasks.release.rollback import is_gone
from tasks.request.request import read_request
from tasks.source.source import Source

# How a release is let through and judged: the environment's rules for whatever comes, not the version's own.
RULES = (
    *("accepts", "approval", "approval_timeout_s", "branch", "cost", "freeze", "scan", "when_busy", "busy_timeout_s"),
    *("backup", "strategy", "slo", "on_inconclusive", "inconclusive_limit_s", "timeouts"),
)


async def read_promotion(
    source: Source, origin: str, environment: str, version: str | None, folder: Path
) -> tuple[Request, ReleaseRecord, Request]:
    """The request for `environment` with the commit and services that were proven in `origin`, that release, and the
    request that tells of `origin`.

    `version` names the release; the newest good one without it. `under_todays_rules`. Raises ParameterError,
    SourceError, ManifestError or PromotionRefused.
    """
    if origin == environment:
        raise ParameterError(f"origin and environment are both {origin}.", "name two environments of slipway.yaml.")
    now = await read_request(source, origin, [], folder / "origin")
    today = now.manifest.environment(environment)
    proven = await choose_release(now, version)
    then = source.model_copy(update={"ref": proven.commit})
    services = sorted({target.place.service for target in proven.targets} & proven.images.keys())
    request = await read_request(then, environment, services, folder / "target")
    images = taken_from(request, proven.images)
    request = replace(under_todays_rules(request, today), builds=False, images=images)
    return request, proven.model_copy(update={"images": images}), now


def taken_from(request: Request, proven: Mapping[str, str]) -> dict[str, str]:
    """The proven images where the environment has them: one that is built elsewhere may have a repository of its own
    for it, which must have what was proven under the same digest.
    """

    def reference(name: str, image: str) -> str:
        own = request.part(name).image if name in request.image_names else None
        return f"{ImageReference.parse(own).uri}@{ImageReference.parse(image).digest}" if own else image

    return {name: reference(name, image) for name, image in proven.items()}


def under_todays_rules(then: Request, today: Environment) -> Request:
    """The request of an earlier commit, let through and judged as slipway.yaml says now.

    What runs, and where, is as it said at that commit. Both come from one place each, so that what a failure advises to
    change in slipway.yaml helps an earlier version, too.
    """
    return replace(then, settings=then.settings.model_copy(update={name: getattr(today, name) for name in RULES}))


@step("choose the release to promote", attempts=3)
async def choose_release(request: Request, version: str | None) -> ReleaseRecord:
    history = await read_history(request.settings.bucket, request.app, request.environment)
    return choose(history, request.environment, version)


async def refuse_taken_back(origin: Request, proven: ReleaseRecord) -> None:
    """Asked when it is this run's turn: it may have waited for hours. Raises PromotionRefused."""
    await choose_release(origin, proven.version)


def choose(history: Sequence[ReleaseRecord], origin: str, version: str | None) -> ReleaseRecord:
    """The release called `version`, else the newest; one that was seen healthy. `history` is newest first."""
    proven = good([record for record in history if record.action != "refresh"])  # which may be of a part only
    found = next((record for record in proven if version in (None, record.version)), None)
    if found is None:
        tried = next((record for record in history if record.version == version), None)
        others = ", ".join(record.version for record in proven) or "none yet"
        if tried and tried.state is State.RELEASED:
            raise PromotionRefused(
                f"{version} is what a rollback has left in {origin}.",
                f"ship it to {origin} again first, or name one of: {others}.",
                Cause.CONFLICT,
            )
        what = f"{version or 'any version'} was never proven in {origin}"
        raise PromotionRefused(
            f"{what}: it is marked {tried.state}." if tried else f"{what}.",
            f"ship it to {origin} first, or name one of: {others}.",
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
        sources=proven.sources,
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
    image = ImageReference.parse(reference)
    if await (is_gone(image) if image.package else is_missing(image)):
        raise PromotionRefused(
            f"The image of {service} is gone from the registry: {reference}.",
            "ship the version again where it was proven, which builds it anew; or copy what is built elsewhere there.",
            Cause.IMAGE_MISSING,
        )
