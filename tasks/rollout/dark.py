"""Deploys dark: a new revision with a tag of its own and no traffic. Repeating it finds what is there."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace

from prefect.logging import get_run_logger

from infra.gcp import logs, secrets
from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import services
from infra.gcp.run.revisions import Revision, get_revision
from infra.gcp.run.services import RunService
from infra.gcp.run.traffic import TrafficTarget
from tasks.failures.catalogue.blanks import Known
from tasks.failures.errors import NOT_MOVED, CandidateFailed, Cause, SlipwayError
from tasks.failures.explain import explain
from tasks.manifest.values import SecretRef
from tasks.model import Candidate, Image, Place, Request, Snapshot, Version
from tasks.names.naming import url_variable
from tasks.orchestration.gather import all_of
from tasks.orchestration.stage import stage
from tasks.orchestration.step import step
from tasks.rollout import split
from tasks.rollout.live import LiveService, changed_meanwhile, read_live, read_settled, refuse_others
from tasks.rollout.service import Desired, desired

DEPLOY_TIMEOUT_S = 360.0  # Cloud Run gives a container 4 minutes to start
TAIL_LINES = 15


@stage("deploy")
async def deploy_dark(
    request: Request, version: Version, images: Sequence[Image], regions: Sequence[str]
) -> tuple[Candidate, ...]:
    """Every service in every region at once. A failure is raised when all have ended; none of them has traffic."""
    by_name = {image.service: image for image in images}
    return await all_of(
        [deploy_service(request, version, by_name[name], region) for region in regions for name in request.services]
    )


@step("take a snapshot", attempts=3)
async def snapshots(request: Request, places: Sequence[Place]) -> tuple[Snapshot, ...]:
    """Of each service, as it is before the release."""
    return await all_of([_snapshot(request, place) for place in places])


async def _snapshot(request: Request, place: Place) -> Snapshot:
    live = await read_live(request, place)
    refuse_others(request, live.service)
    return live.snapshot


@step(
    "deploy dark",
    run_name="deploy {image.service} dark in {region}",
    attempts=3,
    timeout_s=1200,
    state=NOT_MOVED,
)
async def deploy_service(request: Request, version: Version, image: Image, region: str) -> Candidate:
    """The revision for this image and configuration, ready, tagged and without traffic; an earlier attempt's if any."""
    place, logger = Place(image.service, region), get_run_logger()
    live = await read_settled(request, place)
    urls, numbers = await asyncio.gather(dependency_urls(request, place), secret_versions(request, place.service))
    wanted = unused_name(desired(request, version, image, urls, numbers), live.revisions)
    if reason := split.pinned(live.traffic):
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
        logger.info("%s is deployed in %s already: %s", place.service, region, wanted.revision)
    else:
        service = await _write(request, live, wanted, dark.targets)
    return _candidate(service, wanted, live.snapshot, dark.targets, created=existed is None)


def unused_name(wanted: Desired, revisions: Sequence[Revision]) -> Desired:
    """A revision that failed keeps its name for ever, so the next try of the same thing gets a number."""
    failed = {revision.name for revision in revisions if not revision.ready}
    name, attempt = wanted.revision, 1
    while name in failed:
        attempt += 1
        name = f"{wanted.revision[:59]}-r{attempt}"
    return replace(wanted, revision=name)


def made_then(wanted: Desired, existing: Revision) -> Desired:
    """With the run that made the revision: a name stands for one template, to the letter."""
    run_id = {"slipway-run": existing.labels["slipway-run"]} if "slipway-run" in existing.labels else {}
    template = {**wanted.template, "labels": {**wanted.template["labels"], **run_id}}
    return replace(wanted, template=template)


async def dependency_urls(request: Request, place: Place) -> dict[str, str]:
    """API_URL and the like: where the services that this one depends on are reached in the same region."""
    name, region = place.service, place.region
    needed = request.service(name).depends_on
    found = await asyncio.gather(*(services.get_service(request.run_service(Place(each, region))) for each in needed))
    missing = [other for other, service in zip(needed, found, strict=True) if service is None]
    if missing:
        raise CandidateFailed(
            f"{name} depends on {', '.join(missing)}, not deployed in {region} yet.",
            f"ship them too: start the run with services {', '.join([*missing, name])}, or with none to ship all.",
            Cause.NOT_FOUND,
            state=NOT_MOVED,
        )
    return {url_variable(other): service.uri for other, service in zip(needed, found, strict=True) if service}


async def secret_versions(request: Request, name: str) -> dict[SecretRef, int]:
    """The number of the version behind each secret reference: a revision is pinned to numbers, never to `latest`."""
    references = sorted(set(request.service(name).secrets.values()), key=str)
    found = await all_of([secrets.enabled_version(request.project, ref.name, ref.version) for ref in references])
    numbers = {ref: number for ref, number in zip(references, found, strict=True) if number is not None}
    missing = [ref for ref in references if ref not in numbers]
    if missing:
        raise CandidateFailed(
            f"{name} needs the secret {', '.join(map(str, missing))}, not enabled in project {request.project}.",
            f"gcloud secrets versions add {missing[0].name} --project={request.project} --data-file=FILE",
            Cause.NOT_FOUND,
            state=NOT_MOVED,
        )
    return numbers


async def _write(request: Request, live: LiveService, wanted: Desired, targets: Sequence[TrafficTarget]) -> RunService:
    service = live.service
    body = {
        "name": service.name,
        "etag": service.etag,
        "labels": {**service.labels, **wanted.labels},
        "template": {**wanted.template, "revision": wanted.revision},
        "traffic": [services.traffic_body(target) for target in targets],
    }
    try:
        return await services.update_service(body, ["labels", "template", "traffic"], DEPLOY_TIMEOUT_S)
    except GoogleError as error:
        if error.status == "ABORTED":
            raise changed_meanwhile(service.name) from error
        if await get_revision(service.name, wanted.revision) is None:
            raise
        raise await _failed(request.project, live, wanted.revision, error) from error


async def _failed(project: str, live: LiveService, revision: str, error: GoogleError) -> SlipwayError:
    """Says which container failed, why, and its last lines; takes our tag off it so that it blocks nothing later."""
    await untag(live.service.name, revision)
    lines = await _last_lines(project, live.service.id, revision)
    known = Known(project=project, region=live.place.region, service=live.service.id, revision=revision)
    explanation = explain(error, known, "\n".join(lines))
    said = "\n".join(f"  {line}" for line in lines)
    return CandidateFailed(
        f"{live.place.service} did not start in {live.place.region} (revision {revision}): {explanation.problem}"
        + (f"\nIts last lines:\n{said}" if said else "\nIts container wrote nothing."),
        explanation.remedy,
        explanation.cause,
        explanation.link,
        NOT_MOVED,
    )


async def _last_lines(project: str, service: str, revision: str) -> list[str]:
    try:
        return await logs.last_lines(project, service, revision, TAIL_LINES)
    except GoogleError as error:
        return [f"(its log cannot be read: {explain(error).problem})"]


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
    url = service.uri_of_tag(wanted.tag)
    if not url:
        raise CandidateFailed(
            f"Cloud Run reports no URL for tag {wanted.tag} of {service.name}.",
            "start the run again.",
            Cause.SERVICE_UNAVAILABLE,
            state=NOT_MOVED,
        )
    return Candidate(wanted.revision, wanted.tag, url, service.uri, before, written, created, wanted.template)


async def write_own_tags(live: LiveService, keep: Collection[str]) -> None:
    """Takes our tags off all revisions but `keep`; tags that others set stay, and so does all traffic."""
    service, ours = live.service, live.own_tags
    targets = [t for t in service.traffic if not t.tag or t.tag not in ours or t.revision in keep]
    if len(targets) < len(service.traffic):
        await services.set_traffic(service.name, targets, service.etag, DEPLOY_TIMEOUT_S)
