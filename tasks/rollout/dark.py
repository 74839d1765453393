"""Deploys dark: a new revision with a tag of its own and no traffic. Repeating it finds what is there."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace

from prefect.logging import get_run_logger

from infra.gcp import logs, secrets
from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import services
from infra.gcp.run.services import Revision, TrafficTarget
from infra.gcp.run.services import Service as RunService
from tasks.failures.catalogue.blanks import Known
from tasks.failures.errors import CandidateFailed, Cause, SlipwayError, TrafficConflict, Transient
from tasks.failures.explain import explain
from tasks.manifest.values import SecretRef
from tasks.model import Candidate, Image, Request, Snapshot, Version
from tasks.names.naming import url_variable
from tasks.orchestration.gather import all_of
from tasks.orchestration.stage import stage
from tasks.orchestration.step import step
from tasks.preflight.create import MANAGED_BY, PLACEHOLDER_IMAGE, labels
from tasks.rollout import split as traffic_plan
from tasks.rollout.service import Desired, desired
from tasks.rollout.split import Live, Target

DEPLOY_TIMEOUT_S = 360.0  # Cloud Run gives a container 4 minutes to start
TAIL_LINES = 15
UNTOUCHED_TRAFFIC = "Live traffic was not moved."


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
async def snapshots(request: Request, places: Sequence[tuple[str, str]]) -> tuple[Snapshot, ...]:
    """Of each service and region, as it is before the release."""
    return await all_of([_snapshot(request, name, region) for name, region in places])


async def _snapshot(request: Request, name: str, region: str) -> Snapshot:
    service, revisions = await read_service(request.run_service(name, region))
    refuse_others(request, service)
    return snapshot(name, region, service, live_traffic(service, revisions), revisions)


def refuse_others(request: Request, service: RunService) -> None:
    """Raises TrafficConflict for a service that another app or environment has shipped: its name fits both."""
    theirs = {name: service.labels.get(name, "") for name in labels(request)}
    if theirs["managed-by"] == MANAGED_BY and theirs != labels(request):
        owner = f"{theirs['slipway-app']} in {theirs['slipway-environment']}"
        raise TrafficConflict(
            f"The Cloud Run service {service.name} is {owner}, not {request.app} in {request.environment}.",
            "give each environment a project or regions of its own, and apps names that do not begin alike; if it was "
            "renamed, set the labels slipway-app and slipway-environment with gcloud run services update.",
            state=UNTOUCHED_TRAFFIC,
        )


@step(
    "deploy dark",
    run_name="deploy {image.service} dark in {region}",
    attempts=3,
    timeout_s=1200,
    state=UNTOUCHED_TRAFFIC,
)
async def deploy_service(request: Request, version: Version, image: Image, region: str) -> Candidate:
    """The revision for this image and configuration, ready, tagged and without traffic; an earlier attempt's if any."""
    service, revisions = await read_settled(request.run_service(image.service, region))
    urls, numbers = await asyncio.gather(
        dependency_urls(request, image.service, region), secret_versions(request, image.service)
    )
    wanted = unused_name(desired(request, version, image, urls, numbers), revisions)
    live = live_traffic(service, revisions)
    _warn_of_pinned_traffic(live, image.service)
    before = snapshot(image.service, region, service, live, revisions)
    existed = next((revision for revision in revisions if revision.name == wanted.revision), None)
    if existed:
        wanted = made_then(wanted, existed)
    dark = traffic_plan.dark(live, wanted.revision, wanted.tag, own_tags(revisions))
    for note in dark.notes:
        get_run_logger().info("%s %s: %s", image.service, region, note)
    if existed and service.latest_created == wanted.revision and same_split(dark.targets, service):
        get_run_logger().info("%s is deployed in %s already: %s", image.service, region, wanted.revision)
    else:
        service = await _write(request, image.service, service, wanted, dark.targets, before)
    return _candidate(service, wanted, before, dark.targets, created=existed is None)


async def read_service(name: str) -> tuple[RunService, list[Revision]]:
    service, revisions = await asyncio.gather(services.get_service(name), services.list_revisions(name))
    if service is None:
        raise TrafficConflict(
            f"The Cloud Run service {name} does not exist any more.",
            "ship with the deploy flow, which creates it anew.",
            state=UNTOUCHED_TRAFFIC,
        )
    return service, revisions


async def read_settled(name: str) -> tuple[RunService, list[Revision]]:
    """The same once nothing is going on there: an earlier attempt, or somebody else, may have begun a change."""
    service, revisions = await read_service(name)
    if service.settled:
        return service, revisions
    get_run_logger().info("%s is being changed: waiting", service.id)
    await services.until_settled(service, DEPLOY_TIMEOUT_S)
    return await read_service(name)


def live_traffic(service: RunService, revisions: Sequence[Revision]) -> Live:
    return Live(
        targets=tuple(Target(t.revision, t.percent, t.tag) for t in service.traffic),
        latest_ready=service.latest_ready or None,
        ready=frozenset(revision.name for revision in revisions if revision.ready),
        observed=tuple(Target(t.revision or service.latest_ready, t.percent, t.tag) for t in service.live),
    )


def snapshot(name: str, region: str, service: RunService, live: Live, revisions: Sequence[Revision]) -> Snapshot:
    """What is live, by revision name, before anything is written."""
    placeholders = {revision.name for revision in revisions if is_placeholder(revision)}
    stable = traffic_plan.stable_revision(live) or ""
    serving = "" if stable in placeholders else stable
    url = next((t.uri for t in service.live if t.uri and t.revision == serving), "")
    config = service.body.get("template", {})
    return Snapshot(name, region, service.traffic, service.latest_ready, serving, url, config)


def is_placeholder(revision: Revision) -> bool:
    return revision.image.partition("@")[0].partition(":")[0] == PLACEHOLDER_IMAGE


def own_tags(revisions: Sequence[Revision]) -> set[str]:
    """The traffic tags that our own revisions say they were given."""
    ours = (r.labels for r in revisions if r.labels.get("managed-by") == MANAGED_BY)
    return {labels["slipway-tag"] for labels in ours if "slipway-tag" in labels}


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


def same_split(targets: Sequence[Target], service: RunService) -> bool:
    return set(targets) == {Target(t.revision, t.percent, t.tag) for t in service.traffic}


async def dependency_urls(request: Request, name: str, region: str) -> dict[str, str]:
    """API_URL and the like: where the services that this one depends on are reached in the same region."""
    needed = request.service(name).depends_on
    found = await asyncio.gather(*(services.get_service(request.run_service(other, region)) for other in needed))
    missing = [other for other, service in zip(needed, found, strict=True) if service is None]
    if missing:
        raise CandidateFailed(
            f"{name} depends on {', '.join(missing)}, not deployed in {region} yet.",
            f"ship them too: start the run with services {', '.join([*missing, name])}, or with none to ship all.",
            Cause.NOT_FOUND,
            state=UNTOUCHED_TRAFFIC,
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
            state=UNTOUCHED_TRAFFIC,
        )
    return numbers


def _warn_of_pinned_traffic(live: Live, service: str) -> None:
    reason = traffic_plan.pinned(live)
    if reason:
        get_run_logger().info(
            "%s: %s Slipway moves traffic by revision name, so this release is not affected.", service, reason
        )


async def _write(
    request: Request, name: str, service: RunService, wanted: Desired, targets: Sequence[Target], before: Snapshot
) -> RunService:
    body = {
        "name": service.name,
        "etag": service.etag,
        "labels": {**service.labels, **wanted.labels},
        "template": {**wanted.template, "revision": wanted.revision},
        "traffic": [services.traffic_body(TrafficTarget(t.revision, t.percent, t.tag)) for t in targets],
    }
    try:
        return await services.update_service(body, ["labels", "template", "traffic"], DEPLOY_TIMEOUT_S)
    except GoogleError as error:
        if error.status == "ABORTED":
            raise changed_meanwhile(service.name) from error
        if await services.get_revision(service.name, wanted.revision) is None:
            raise
        raise await _failed(request, name, service.name, wanted, before, error) from error


def changed_meanwhile(service: str) -> TrafficConflict:
    return TrafficConflict(
        f"Somebody else changed {service} while this run was working on it.",
        "look at who changed it (gcloud run services describe shows the last modifier), then start the run again.",
        state="Their change was not overwritten.",
        transient=Transient.MAYBE,
    )


async def _failed(
    request: Request, name: str, service: str, wanted: Desired, before: Snapshot, error: GoogleError
) -> SlipwayError:
    """Says which container failed, why, and its last lines; takes our tag off it so that it blocks nothing later."""
    await untag(service, wanted.revision)
    lines = await _last_lines(request, service, wanted.revision)
    _, project, _, region, _, run_name = service.split("/")
    known = Known(project=project, region=region, service=run_name, revision=wanted.revision)
    explanation = explain(error, known, "\n".join(lines))
    said = "\n".join(f"  {line}" for line in lines)
    return CandidateFailed(
        f"{name} did not start in {before.region} (revision {wanted.revision}): {explanation.problem}"
        + (f"\nIts last lines:\n{said}" if said else "\nIts container wrote nothing."),
        explanation.remedy,
        explanation.cause,
        explanation.link,
        UNTOUCHED_TRAFFIC,
    )


async def _last_lines(request: Request, service: str, revision: str) -> list[str]:
    try:
        return await logs.last_lines(request.project, service.rsplit("/", 1)[1], revision, TAIL_LINES)
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
    service: RunService, wanted: Desired, before: Snapshot, split: tuple[Target, ...], *, created: bool
) -> Candidate:
    url = next((t.uri for t in service.live if t.tag == wanted.tag), "")
    if not url:
        raise CandidateFailed(
            f"Cloud Run reports no URL for tag {wanted.tag} of {service.name}.",
            "start the run again.",
            Cause.SERVICE_UNAVAILABLE,
            state=UNTOUCHED_TRAFFIC,
        )
    return Candidate(
        before.service, before.region, wanted.revision, wanted.tag, url, service.uri, before, split, created,
        wanted.template,
    )  # fmt: skip


async def write_own_tags(service: RunService, revisions: Sequence[Revision], keep: Collection[str]) -> None:
    """Takes our tags off all revisions but `keep`; tags that others set stay, and so does all traffic."""
    ours = own_tags(revisions)
    targets = [t for t in service.traffic if not t.tag or t.tag not in ours or t.revision in keep]
    if len(targets) < len(service.traffic):
        await services.set_traffic(service.name, targets, service.etag, DEPLOY_TIMEOUT_S)
