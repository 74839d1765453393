"""Goes back to a release that was seen healthy: its revisions still exist, so nothing is built or deployed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from prefect.logging import get_run_logger

from infra.gcp.artifacts import repositories
from infra.gcp.calls.attempts import PASSING
from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import services
from infra.gcp.run.services import RunService
from tasks.analysis.probes import asked_for
from tasks.analysis.reach import asks_dark, at_tag
from tasks.builds.elsewhere import is_missing
from tasks.failures.cause import Cause, Transient
from tasks.failures.errors import NOT_MOVED, CloudError, RollbackRefused
from tasks.failures.explain import explain
from tasks.history.record import Intent, ReleaseRecord, TargetRecord, version_of
from tasks.history.store import read_history
from tasks.model import Candidate, Override, Place, Request, Snapshot
from tasks.names import resources
from tasks.names.naming import traffic_tag
from tasks.names.references import ImageReference
from tasks.orchestration.gather import all_of, both
from tasks.orchestration.stage import stage
from tasks.orchestration.step import step
from tasks.release.target import as_it_was, choose, jobs_as_they_were, pools_as_they_were
from tasks.rollout import split
from tasks.rollout.live import LiveService, read_live
from tasks.rollout.traffic import write_split
from tasks.rollout.whole import whole_then

LOOK_S = 15.0  # into a registry, or a region: users wait


@stage("version")
@step("choose the release to go back to", attempts=3, state=NOT_MOVED)
async def choose_release(
    request: Request, to: str | None, override: Override | None, unfinished: Sequence[str]
) -> tuple[ReleaseRecord, ReleaseRecord, dict[str, str]]:
    """What to go back to, what serves now, and by region what keeps it out of this. Raises RollbackRefused when there
    is nothing to go back to, or it must not be used.

    unfinished: runs of releases that were cancelled for this, or had not been given back.
    """
    history, (live, away) = await asyncio.gather(
        read_history(request.settings.bucket, request.app, request.environment), serving_revisions(request)
    )
    chosen, serving = choose(history, live, to, override, unfinished)
    jobs, pools = jobs_as_they_were(history, chosen), pools_as_they_were(history, chosen)
    targets = tuple(each for each in as_it_was(history, chosen, live) if each.region not in away)
    if not targets:
        refuse_in_part(chosen, away, NOT_MOVED)
    whole = chosen.model_copy(update={"targets": targets, "jobs": jobs, "pools": pools})
    target = narrowed(request, whole)
    _tell_what_stays(request, whole, target, away)
    return target, serving, away


async def serving_revisions(request: Request) -> tuple[dict[Place, str], dict[str, str]]:
    """As `sorted_out` has it, as it is now."""

    async def look(place: Place) -> RunService | GoogleError | None:
        try:
            async with asyncio.timeout(LOOK_S):
                return await services.get_service(request.run_service(place))
        except GoogleError as error:
            if error.status in PASSING:
                return error
            raise
        except TimeoutError:
            return GoogleError("run.services.get", "DEADLINE_EXCEEDED", f"No answer within {LOOK_S:.0f} s.")

    found = await all_of([look(place) for place in request.places])
    return sorted_out(dict(zip(request.places, found, strict=True)))


def sorted_out(found: Mapping[Place, RunService | GoogleError | None]) -> tuple[dict[Place, str], dict[str, str]]:
    """By place: the revision that has most of the traffic now, whatever the records say; not where there is none. And
    by region why Cloud Run does not answer there, as long as it does so in another. Raises GoogleError otherwise.
    """
    away = {place.region: each for place, each in found.items() if isinstance(each, GoogleError)}
    if away and away.keys() >= {place.region for place in found}:
        raise next(iter(away.values()))
    there = {place: each.mostly for place, each in found.items() if isinstance(each, RunService)}
    live = {place: revision for place, revision in there.items() if place.region not in away}
    return live, {region: explain(error).said for region, error in away.items()}


def refuse_in_part(target: ReleaseRecord, away: Mapping[str, str], state: str = "") -> None:
    """Raises CloudError where a region was left out: the rollback stands, and is not all that was wanted."""
    if away:
        why = "; ".join(f"{region}: {problem}" for region, problem in away.items())
        raise CloudError(
            f"Cloud Run does not answer in every region, or not all is healthy there: what serves stays so. {why}",
            f"roll back to {target.version} once more, by its name, when it answers again and is healthy.",
            Cause.SERVICE_UNAVAILABLE,
            state=state or f"{target.version} serves everywhere else.",
        )


def going_back(target: ReleaseRecord, serving: ReleaseRecord, override: Override | None) -> Intent:
    return Intent(
        version_of(target),
        "rollback",
        left="" if serving.version == target.version else serving.version,  # as the rest of one that came in part
        override=override,
        images=target.images,
        sources=target.sources,
        places=[each.place for each in target.targets],
    )


def narrowed(request: Request, target: ReleaseRecord) -> ReleaseRecord:
    """Without services and regions that slipway.yaml does not name any more: how to prove those nobody says."""
    kept = tuple(each for each in target.targets if each.place in request.places)
    beside = {each.job for each in target.jobs} | {each.pool for each in target.pools}
    alone = not target.targets and bool(beside)  # an app of jobs and worker pools
    if not kept and (then := renamed_since(request, target.targets)):
        raise RollbackRefused(
            f"{target.version} was released under other names: {', '.join(then.values())}. There it is still.",
            "give slipway.yaml these names back and ship it, or choose a newer version.",
            Cause.CONFLICT,
        )
    if not kept and not alone:
        raise RollbackRefused(
            f"slipway.yaml names none of the services and regions of {target.version} any more.",
            "choose a newer version.",
            Cause.NOT_FOUND,
        )
    images = {each.service: each.image for each in kept if each.image}
    images |= {
        name: image for name, image in target.images.items() if name in beside
    }  # of jobs and pools with an image of their own
    return target.model_copy(update={"targets": kept, "images": images})


def renamed_since(request: Request, targets: Sequence[TargetRecord]) -> dict[Place, str]:
    """Those that go by another name in Cloud Run now: in words."""
    now = {(place.service, place.region): place for place in request.places}
    then = [each.place for each in targets]
    return {
        place: f"{place} was {resources.last(request.run_service(place))}"
        for place in then
        if now.get((place.service, place.region), place) != place
    }


def _tell_what_stays(request: Request, whole: ReleaseRecord, target: ReleaseRecord, away: Mapping[str, str]) -> None:
    back, renamed = {each.place for each in target.targets}, renamed_since(request, whole.targets)
    for each in whole.targets:
        if each.place not in back:
            why = f"then {renamed[each.place]}" if each.place in renamed else "it is not in slipway.yaml any more"
            get_run_logger().warning("%s stays as it is: %s", each.place, why)
    for place in request.places:
        if place not in back:
            why = "Cloud Run does not answer there" if place.region in away else "going back does not concern it"
            get_run_logger().warning("%s stays as it is: %s", place, why)


@stage("deploy")
async def revive(request: Request, release: ReleaseRecord, before: Sequence[Snapshot]) -> tuple[Candidate, ...]:
    """The release's revisions as candidates: they exist, their images too, and each has a URL of its own.

    before: the snapshot of each of its places.
    """
    known = {each.place: each for each in before}
    targets = release.targets
    return await all_of([revive_one(request, release.version, target, known[target.place]) for target in targets])


@step("find the revision", run_name="find {target.service} {version} in {target.region}", attempts=3, state=NOT_MOVED)
async def revive_one(request: Request, version: str, target: TargetRecord, before: Snapshot) -> Candidate:
    live, _ = await both(_with_revision(request, target, version), _refuse_without_image(target))
    tag = live.own_tag_of(target.revision) or traffic_tag(live.service.id, version)
    written = split.dark(live.traffic, target.revision, tag, live.own_tags, served=True).targets
    service = await write_split(live.service, written)
    health = asked_for(request, target.place, target.proven_by)
    url = at_tag(health, target.place, tag, service.uri_of_tag(tag))
    if not url and asks_dark(health):
        raise RollbackRefused(
            f"Cloud Run reports no URL for tag {tag} of {service.name}, so its revision cannot be proven.",
            "start the run again.",
            Cause.SERVICE_UNAVAILABLE,
            state=NOT_MOVED,
            transient=Transient.YES,
        )
    return Candidate(
        revision=target.revision,
        tag=tag,
        url=url,
        service_url=service.uri,
        before=before,
        split=written,
        health=health,
        created=False,
        public=target.public,
        invokers=None if target.invokers is None else frozenset(target.invokers),
        template=target.template,
        whole=whole_then(live, target),
    )


async def _with_revision(request: Request, target: TargetRecord, version: str) -> LiveService:
    """What is live, where the target's revision can serve. Raises RollbackRefused where it cannot."""
    live = await read_live(request, target.place)
    revision = live.revision(target.revision)
    if revision is None or not revision.ready:
        what = "no longer exists" if revision is None else f"is not ready: {revision.message}"
        raise RollbackRefused(
            f"Revision {target.revision} of {target.place} {what}.",
            f"ship {version} again with the deploy flow (source.ref: {version}).",
            Cause.NOT_FOUND,
        )
    return live


async def _refuse_without_image(target: TargetRecord) -> None:
    """Cloud Run keeps a copy only of images that serve: an instance of this revision could not start without it.

    A registry that does not answer keeps nobody from going back: the revision itself is asked next.
    """
    image = ImageReference.parse(target.image)
    try:
        async with asyncio.timeout(LOOK_S):
            gone = await is_gone(image)
    except (GoogleError, TimeoutError) as error:
        get_run_logger().warning(
            "it cannot be told whether the image of %s is there: %s", target.place, explain(error).said
        )
        return
    if gone:
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
    if await repositories.image_exists(package.repository, package.name, image.digest):
        return False
    return await is_missing(image)  # of what remote and virtual repositories pass on, only they know
