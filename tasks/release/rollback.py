"""Goes back to a release that was seen healthy: its revisions still exist, so nothing is built or deployed."""

from __future__ import annotations

from collections.abc import Sequence

from prefect.logging import get_run_logger

from infra.gcp.artifacts import repositories
from tasks.failures.errors import NOT_MOVED, Cause, RollbackRefused, Transient
from tasks.history.record import Intent, ReleaseRecord, State, TargetRecord, good, irreversible_since, version_of
from tasks.history.store import read_history
from tasks.model import Candidate, Override, Place, Request
from tasks.names.naming import traffic_tag
from tasks.names.references import ImageReference
from tasks.orchestration.gather import all_of
from tasks.orchestration.stage import stage
from tasks.orchestration.step import step
from tasks.rollout import split
from tasks.rollout.live import read_live
from tasks.rollout.traffic import write_split


@stage("version")
@step("choose the release to go back to", attempts=3, state=NOT_MOVED)
async def choose_release(
    request: Request, to: str | None, override: Override | None
) -> tuple[ReleaseRecord, ReleaseRecord]:
    """What to go back to, and what serves now. Raises RollbackRefused when there is none, or it must not be used."""
    history = await read_history(request.settings.bucket, request.app, request.environment)
    chosen, serving = choose(history, to, override)
    whole = chosen.model_copy(update={"targets": as_it_was(history, chosen, serving)})
    target = narrowed(request, whole)
    _tell_what_stays(request, whole, target)
    return target, serving


def going_back(target: ReleaseRecord, serving: ReleaseRecord, override: Override | None) -> Intent:
    return Intent(
        version_of(target),
        "rollback",
        left=serving.version,
        override=override,
        images=target.images,
        places=[each.place for each in target.targets],
    )


def choose(
    history: Sequence[ReleaseRecord], to: str | None, override: Override | None
) -> tuple[ReleaseRecord, ReleaseRecord]:
    """What to go back to, and what serves now; `history` is newest first.

    To the release called `to`, or without it to the good one before what serves now.
    """
    released = good(history)
    serving = next((record for record in history if record.state is State.RELEASED), None)
    if serving is None:
        raise RollbackRefused(
            "Nothing was ever released here.", "ship a version with the deploy flow.", Cause.NOT_FOUND
        )
    chosen = _named(history, released, to) if to else _previous(released, serving)
    if chosen.version == serving.version:
        raise RollbackRefused(
            f"{serving.version} is what serves now.", "name another version with `to`.", Cause.CONFLICT
        )
    barrier = irreversible_since(history, chosen)
    if barrier and override is None:
        raise RollbackRefused(
            f"{barrier.version} declares a migration that {chosen.version} cannot live with.",
            "correct forward with a new version; or, if you know that it is safe, fill in `override`.",
            Cause.CONFLICT,
        )
    return chosen, serving


def _named(history: Sequence[ReleaseRecord], released: Sequence[ReleaseRecord], to: str) -> ReleaseRecord:
    found = next((record for record in released if record.version == to), None)
    if found:
        return found
    tried = next((record for record in history if record.version == to), None)
    versions = ", ".join(record.version for record in released) or "none"
    if tried and tried.state is State.RELEASED:
        raise RollbackRefused(
            f"{to} is what a rollback has left.",
            f"ship it again with the deploy flow (source.ref: {to}), or choose one of: {versions}.",
            Cause.CONFLICT,
        )
    if tried:
        raise RollbackRefused(
            f"{to} is marked {tried.state}: {tried.reason or 'it was never seen healthy'}.",
            f"choose one that was: {versions}.",
            Cause.CONFLICT,
        )
    raise RollbackRefused(f"{to} was never released here.", f"choose one of: {versions}.", Cause.NOT_FOUND)


def _previous(released: Sequence[ReleaseRecord], serving: ReleaseRecord) -> ReleaseRecord:
    """The newest good release that is older than what serves now, and was not itself left behind by a rollback."""
    first_served = min(record.started for record in released if record.version == serving.version)
    older = [record for record in released if record.version != serving.version and record.started < first_served]
    if not older and serving.action == "rollback":
        older = [r for r in released if r.version not in (serving.version, serving.left)]
    if not older:
        raise RollbackRefused(
            f"Before {serving.version} nothing was released here, so there is nothing to go back to.",
            "correct forward with a new version.",
            Cause.NOT_FOUND,
        )
    return older[0]


def as_it_was(
    history: Sequence[ReleaseRecord], chosen: ReleaseRecord, serving: ReleaseRecord
) -> tuple[TargetRecord, ...]:
    """What going back to `chosen` gives traffic to: its own revisions, and wherever newer releases brought another
    revision, the one that served while `chosen` was the newest. A release may have been of some services only.
    """
    then, now = served_after(history, chosen), served_after(history, serving)
    own = {target.place for target in chosen.targets}
    return tuple(target for place, target in then.items() if place in own or target.revision != now[place].revision)


def served_after(history: Sequence[ReleaseRecord], release: ReleaseRecord) -> dict[Place, TargetRecord]:
    """By place: what served when `release` had just come out. `history` is newest first."""
    found: dict[Place, TargetRecord] = {}
    for record in history:
        if record.state is State.RELEASED and record.started <= release.started:
            for target in record.targets:
                if target.revision:
                    found.setdefault(target.place, target)
    return found


def narrowed(request: Request, target: ReleaseRecord) -> ReleaseRecord:
    """Without services and regions that slipway.yaml does not name any more: how to prove those nobody says."""
    kept = tuple(each for each in target.targets if each.place in request.places)
    if not kept:
        raise RollbackRefused(
            f"slipway.yaml names none of the services and regions of {target.version} any more.",
            "choose a newer version.",
            Cause.NOT_FOUND,
        )
    images = {each.service: each.image for each in kept if each.image}
    return target.model_copy(update={"targets": kept, "images": images})


def _tell_what_stays(request: Request, whole: ReleaseRecord, target: ReleaseRecord) -> None:
    back = {each.place for each in target.targets}
    for each in whole.targets:
        if each.place not in back:
            get_run_logger().warning("%s is not in slipway.yaml any more: it stays as it is", each.place)
    for place in request.places:
        if place not in back:
            get_run_logger().warning("%s stays as it is: going back does not concern it", place)


@stage("deploy")
async def revive(request: Request, release: ReleaseRecord) -> tuple[Candidate, ...]:
    """The release's revisions as candidates: they exist, their images too, and each has a URL of its own."""
    return await all_of([revive_one(request, release.version, target) for target in release.targets])


@step("find the revision", run_name="find {target.service} {version} in {target.region}", attempts=3, state=NOT_MOVED)
async def revive_one(request: Request, version: str, target: TargetRecord) -> Candidate:
    live = await read_live(request, target.place)
    revision = live.revision(target.revision)
    if revision is None or not revision.ready:
        what = "no longer exists" if revision is None else f"is not ready: {revision.message}"
        raise RollbackRefused(
            f"Revision {target.revision} of {target.place} {what}.",
            f"ship {version} again with the deploy flow (source.ref: {version}).",
            Cause.NOT_FOUND,
        )
    await _refuse_without_image(target)
    tag = traffic_tag(live.service.id, version)
    written = split.dark(live.traffic, target.revision, tag, live.own_tags).targets
    await write_split(live.service, written)
    service = (await read_live(request, target.place)).service
    url = service.uri_of_tag(tag)
    if not url:
        raise RollbackRefused(
            f"Cloud Run reports no URL for tag {tag} of {service.name}, so its revision cannot be proven.",
            "start the run again.",
            Cause.SERVICE_UNAVAILABLE,
            state=NOT_MOVED,
            transient=Transient.YES,
        )
    return Candidate(
        target.revision, tag, url, service.uri, live.snapshot, written, created=False, template=target.template
    )


async def _refuse_without_image(target: TargetRecord) -> None:
    """Cloud Run keeps a copy only of images that serve: an instance of this revision could not start without it."""
    image = ImageReference.parse(target.image)
    if await is_gone(image):
        raise RollbackRefused(
            f"The image of {target.service} ({image.digest[:19]}) is gone from the registry.",
            "ship the version again with the deploy flow, which builds it anew.",
            Cause.IMAGE_MISSING,
        )


async def is_gone(image: ImageReference) -> bool:
    """Whether Artifact Registry no longer has it. Of other registries, and without a digest, nobody can tell."""
    package = image.package
    if package is None or not image.digest:
        return False
    return not await repositories.image_exists(package.repository, package.name, image.digest)
