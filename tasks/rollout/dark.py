"""Deploys dark: a new revision with a tag of its own and no traffic. Repeating it finds what is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

from prefect.logging import get_run_logger

from infra.gcp import secrets
from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import access, services
from infra.gcp.run.members import EVERYONE
from infra.gcp.run.revisions import UNTOLD, Revision, get_revision
from infra.gcp.run.services import RunService
from infra.gcp.run.traffic import TrafficTarget
from tasks.analysis.reach import asks_dark, at_tag
from tasks.analysis.tail import last_lines
from tasks.failures.catalogue.blanks import Known
from tasks.failures.cause import Cause
from tasks.failures.errors import NOT_MOVED, CandidateFailed, SlipwayError
from tasks.history.beside import newest_of
from tasks.history.record import ReleaseRecord, target_of
from tasks.history.store import list_records, read_some
from tasks.manifest.values import SecretRef
from tasks.model import Candidate, Image, Place, Request, Snapshot, Version
from tasks.names.labels import label_value
from tasks.names.naming import traffic_tags
from tasks.orchestration.gather import all_of
from tasks.orchestration.stage import stage
from tasks.orchestration.step import step
from tasks.rollout import split
from tasks.rollout.base import base_of, said_then
from tasks.rollout.changes import tell
from tasks.rollout.failed_start import failed_start
from tasks.rollout.live import LiveService, changed_meanwhile, read_live, read_settled, refuse_others
from tasks.rollout.service import FRESH, Desired, desired

DEPLOY_TIMEOUT_S = 360.0  # Cloud Run gives a container 4 minutes to start
STALE_TAGS = 3  # of ours that may wait for the next deployment


@stage("deploy")
async def deploy_dark(
    request: Request, version: Version, images: Sequence[Image], before: Sequence[Snapshot]
) -> tuple[Candidate, ...]:
    """Every service in every region at once. A failure is raised when all have ended; none of them has traffic.

    No user meets the new version anywhere before it has started everywhere.
    before: the snapshot of each service in each region.
    """
    by_name = {image.service: image for image in images}
    return await all_of([deploy_service(request, version, by_name[each.place.service], each) for each in before])


@step("take a snapshot", attempts=3)
async def snapshots(request: Request, places: Sequence[Place]) -> tuple[Snapshot, ...]:
    """Of each service, as it is before the release, with what our records say of the revision that serves."""
    where = request.settings.bucket, request.app, request.environment
    found, listed = await asyncio.gather(all_of([_snapshot(request, place) for place in places]), list_records(*where))
    serving = {each.place: each.serving for each in found if each.serving}

    def enough(history: Sequence[ReleaseRecord]) -> bool:
        return all(target_of(history, place, revision) for place, revision in serving.items())

    history = await read_some(request.settings.bucket, listed, enough) if serving else []
    return tuple(known(each, history) for each in found)


def since(before: Snapshot, now: Snapshot, revision: str, run_id: str) -> Snapshot:
    """What is live now, with what is known of it from before; of a revision that came to serve since, nothing is.

    revision: the candidate's. Where an earlier attempt has written the template, be it under a name that has failed,
    the one to go back to is before's; and so is the split, unless somebody has moved traffic since.
    """
    run = now.config.get("labels", {}).get("slipway-run", "")
    ours = now.config.get("revision") == revision or run == label_value(run_id)
    template = before if ours else now
    moved = before.service is None or now.service is None or before.service.asked != now.service.asked
    split_of = now if moved or not ours else before
    return replace(
        now,
        traffic=split_of.traffic,
        latest_ready=split_of.latest_ready,
        health=before.health if now.serving == before.serving else None,
        callers=before.callers,
        said=before.said,
        config=template.config,
        stands_for=template.stands_for,
        service=template.service,
    )


def known(snapshot: Snapshot, history: Sequence[ReleaseRecord]) -> Snapshot:
    """With what the serving revision was proven by, what an earlier Slipway had said of the template, and whether it
    was a release of ours that let callers in.
    """
    snapshot = replace(snapshot, said=said_then(snapshot.place, snapshot.config, history))
    target = target_of(history, snapshot.place, snapshot.serving)
    opener = target or newest_of(history, lambda record: ((t.place, t) for t in record.targets)).get(snapshot.place)
    if opener and snapshot.callers is not None:
        ours = {*(opener.invokers or ()), *([EVERYONE] if opener.public else [])}
        snapshot = replace(snapshot, callers={who: who in ours for who in snapshot.callers})
    return replace(snapshot, health=target.proven_by, previous=target.serving) if target else snapshot


async def _snapshot(request: Request, place: Place) -> Snapshot:
    live, callers = await asyncio.gather(read_live(request, place), access.invokers(request.run_service(place)))
    refuse_others(request, live.service)
    return replace(live.snapshot, callers=dict.fromkeys(callers, False))


@step(
    "deploy dark",
    run_name="deploy {before.place} dark",
    attempts=3,
    timeout_s=1200,
    state=NOT_MOVED,
)
async def deploy_service(request: Request, version: Version, image: Image, before: Snapshot) -> Candidate:
    """The revision for this image and configuration, ready, tagged and without traffic; an earlier attempt's if any."""
    place, logger = before.place, get_run_logger()
    live = await read_settled(request, place)
    urls, numbers = await asyncio.gather(dependency_urls(request, place), secret_versions(request, place.service))
    base = base_of(live.service, before.said)
    make = partial(desired, request, version, image, urls, numbers, base, place.region)
    wanted = with_free_tag(lambda tag: make(tag=tag), version, live)
    if live.strangers_latest and (reason := split.pinned(live.traffic)):  # ours get their traffic by name, as we tell
        told = "%s: %s Slipway moves traffic by revision name, so this release is not affected."
        logger.info(told, place.service, reason)
    existed = live.revision(wanted.revision)
    if existed:
        wanted = made_then(wanted, existed)
    dark = split.dark(live.traffic, wanted.revision, wanted.tag, live.own_tags)
    for note in dark.notes:
        logger.info("%s: %s", place, note)
    service = live.service
    if existed and service.latest_created == wanted.revision and set(dark.targets) == set(service.traffic):
        logger.info("%s is deployed already: %s", place, wanted.revision)
    else:
        is_new = base.template is FRESH  # there is nothing that it could change or keep
        if not is_new:
            await tell(request, live, wanted)
        over = existed or (None if is_new else service)
        dark = replace(dark, targets=without_stale_tags(dark.targets, live, before, wanted.revision))
        service = await _write(request, live, wanted, dark.targets, over)
    then = since(before, live.snapshot, wanted.revision, request.run_id)
    return _candidate(service, wanted, then, dark.targets, created=existed is None)


def with_free_tag(make: Callable[[str], Desired], version: Version, live: LiveService) -> Desired:
    """The revision with the first of its tags that no other has: where the service's name is long, few are different.

    A tag is part of the name of its revision, so that an attempt that is repeated finds what it has made.
    """
    held = {target.tag: target.revision for target in live.service.traffic if target.tag}
    found = (unused_name(make(tag), live.revisions) for tag in traffic_tags(live.service.id, version.version))
    first = next(found)
    return next((each for each in (first, *found) if held.get(each.tag, each.revision) == each.revision), first)


def unused_name(wanted: Desired, revisions: Sequence[Revision]) -> Desired:
    """A revision that failed keeps its name for ever, so the next try of the same thing gets a number."""
    failed = {revision.name for revision in revisions if not revision.ready}
    name, attempt = wanted.revision, 1
    while name in failed:
        attempt += 1
        name = f"{wanted.revision[:59]}-r{attempt}"
    return replace(wanted, revision=name)


def made_then(wanted: Desired, existing: Revision) -> Desired:
    """As the run wrote it that made the revision: a name stands for one template, to the letter."""
    untold = {key: value for key, value in wanted.template.items() if key in UNTOLD}
    return replace(wanted, template={**untold, **existing.configuration})


async def dependency_urls(request: Request, place: Place) -> dict[str, str]:
    """API_URL and the like: where the services that this one depends on are reached in the same region.

    Those that are not shipped along must serve what was proven before: a service that is there may never have got
    beyond its placeholder.
    """
    name, region = place.service, place.region
    upstreams = request.service(name).upstreams
    needed = tuple(dict.fromkeys(upstreams.values()))
    found = await asyncio.gather(
        *(services.get_service(request.run_service(request.place(each, region))) for each in needed)
    )
    urls = {other: service.uri for other, service in zip(needed, found, strict=True) if service}
    others = [request.place(each, region) for each in urls if each not in request.services]
    live = await all_of([read_live(request, each) for each in others])
    idle = {each.place.service for each in live if not each.snapshot.serving}
    missing = [each for each in needed if each not in urls or each in idle]
    if missing:
        raise CandidateFailed(
            f"{name} depends on {', '.join(missing)}, of which nothing serves in {region} yet.",
            f"ship them too: start the run with services {', '.join([*missing, name])}, or with none to ship all.",
            Cause.NOT_FOUND,
            state=NOT_MOVED,
        )
    return {variable: urls[other] for variable, other in upstreams.items()}


async def secret_versions(request: Request, name: str) -> dict[SecretRef, int]:
    """The number of the version behind each secret reference: a revision is pinned to numbers, never to `latest`."""
    return await pinned_versions(request, name, request.service(name).secret_refs)


async def pinned_versions(request: Request, name: str, wanted: Collection[SecretRef]) -> dict[SecretRef, int]:
    """The number of each, which the service or job called so needs. Raises CandidateFailed for what is not enabled."""
    references = sorted(wanted, key=str)
    found = await all_of([secrets.enabled_version(request.project, ref.name, ref.version) for ref in references])
    numbers = {ref: number for ref, number in zip(references, found, strict=True) if number is not None}
    missing = [ref for ref in references if ref not in numbers]
    if missing:
        project, secret = missing[0].place(request.project)
        raise CandidateFailed(
            f"{name} needs the secret {', '.join(map(str, missing))}, not enabled in project {project}.",
            f"gcloud secrets versions add {secret} --project={project} --data-file=FILE",
            Cause.NOT_FOUND,
            state=NOT_MOVED,
        )
    return numbers


async def _write(
    request: Request,
    live: LiveService,
    wanted: Desired,
    targets: Sequence[TrafficTarget],
    over: RunService | Revision | None,
) -> RunService:
    service = live.service
    body = {
        "name": service.name,
        "etag": service.etag,
        "labels": {**wanted.whole.get("labels", {}), **wanted.labels},
        "template": {**wanted.template, "revision": wanted.revision},
        "traffic": [services.traffic_body(target) for target in targets],
    }
    try:
        return await services.update_service(body, ["labels", "template", "traffic"], DEPLOY_TIMEOUT_S, over)
    except GoogleError as error:
        if error.status == "ABORTED":
            raise changed_meanwhile(service.name) from error
        if await get_revision(service.name, wanted.revision) is None:
            raise
        raise await _failed(request.project, live, wanted.revision, error) from error


async def _failed(project: str, live: LiveService, revision: str, error: GoogleError) -> SlipwayError:
    """Says which container failed, why, and its last lines; takes our tag off it so that it blocks nothing later."""
    await untag(live.service.name, revision)
    lines = await last_lines(project, live.service.id, revision)
    known = Known(project=project, region=live.place.region, service=live.service.id, revision=revision)
    what = f"{live.place.service} did not start in {live.place.region} (revision {revision})"
    return failed_start(what, error, known, lines)


async def untag(service: str, revision: str) -> None:
    """Removes every traffic entry of a revision that could not start; what others serve stays."""
    found = await services.get_service(service)
    if found is None:
        return
    kept = [target for target in found.traffic if target.revision != revision]
    if len(kept) == len(found.traffic):
        return
    try:
        await services.set_traffic(service, kept, found.etag, DEPLOY_TIMEOUT_S)
    except GoogleError as error:
        get_run_logger().warning("the tag of %s stays: %s", revision, error)


def _candidate(
    service: RunService, wanted: Desired, before: Snapshot, written: tuple[TrafficTarget, ...], *, created: bool
) -> Candidate:
    url = at_tag(wanted.health, before.place, wanted.tag, service.uri_of_tag(wanted.tag))
    if not url and asks_dark(wanted.health):
        raise CandidateFailed(
            f"Cloud Run reports no URL for tag {wanted.tag} of {service.name}.",
            "start the run again.",
            Cause.SERVICE_UNAVAILABLE,
            state=NOT_MOVED,
        )
    return Candidate(
        revision=wanted.revision,
        tag=wanted.tag,
        url=url,
        service_url=service.uri,
        before=before,
        split=written,
        health=wanted.health,
        created=created,
        public=wanted.public,
        invokers=wanted.invokers,
        template=wanted.template,
        whole={**wanted.whole, "labels": dict(service.labels)},
    )


def without_stale_tags(
    targets: Sequence[TrafficTarget], live: LiveService, before: Snapshot, candidate: str
) -> tuple[TrafficTarget, ...]:
    """The split of a deployment, which takes along what it costs a change of its own to take off later.

    What serves, and what served before that, keep their tags: by these they are judged when a release fails, and gone
    back to. Where no record tells what served before, all stay.
    """
    if not before.previous:
        return tuple(targets)
    return without_own_tags(targets, live, {candidate, before.previous, before.serving, live.snapshot.serving})


def without_own_tags(
    targets: Sequence[TrafficTarget], live: LiveService, keep: Collection[str]
) -> tuple[TrafficTarget, ...]:
    """Takes our tags off all revisions but `keep`; tags that others set stay, and so does all traffic."""
    ours = live.own_tags
    return tuple(each for each in targets if not each.tag or each.tag not in ours or each.revision in keep)


async def write_own_tags(live: LiveService, keep: Collection[str]) -> bool:
    """`without_own_tags`, where that is worth a change of the service, which takes seconds; whether it was.

    A tag costs what its revision keeps running; others are left to the next deployment, unless they become many.
    """
    targets = without_own_tags(live.service.traffic, live, keep)
    if worth_it := is_worth_a_change(live, targets):
        await services.set_traffic(live.service.name, targets, live.service.etag, DEPLOY_TIMEOUT_S)
    return worth_it


def is_worth_a_change(live: LiveService, targets: Sequence[TrafficTarget]) -> bool:
    off = {each.revision for each in set(live.service.traffic) - set(targets)}
    return len(off) > STALE_TAGS or any(each.keeps_instances for each in live.revisions if each.name in off)
