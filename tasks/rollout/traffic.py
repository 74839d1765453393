"""Writes traffic splits: guarded by etag, and finished only when requests are routed by them."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence

from prefect.logging import get_run_logger

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import services
from infra.gcp.run.services import RunService
from infra.gcp.run.traffic import TrafficTarget
from tasks.analysis.probes import probe_service, rules_of
from tasks.analysis.verdict import Judgement, judge_probes
from tasks.failures.errors import BEING_GIVEN_BACK, Cause, CloudError, ProofFailed, TrafficConflict
from tasks.model import Candidate, Place, Request, Serving, Verdict
from tasks.orchestration.step import step
from tasks.rollout.live import LiveService, changed_meanwhile, read_live
from tasks.rollout.split import NextSplit, Traffic, changed_by_other, next_split, stable_revision

TRAFFIC_TIMEOUT_S = 120.0
SETTLE_POLL_S = 0.2
OFTEN = {"tries": 40, "backoff_min_s": 0.5, "backoff_max_s": 2.0}  # over a minute: IAM says it may take that long
# The split that this run wrote last. Two while nobody knows whether the newer one has arrived.
Splits = tuple[tuple[TrafficTarget, ...], ...]
Written = MutableMapping[Place, Splits]


async def advance(request: Request, candidate: Candidate, steps: Sequence[int], written: Written) -> NextSplit:
    """One step up for a candidate that was found healthy where it is.

    Raises TrafficConflict if somebody else has moved traffic since it was `written`, which this brings up to date.
    """
    place = candidate.place
    live, following = await plan(request, candidate, steps, written[place])
    written[place] = (*written[place], following.targets)
    await move(candidate, live, following)
    written[place] = (following.targets,)
    return following


@step("plan the split", run_name="plan the split of {candidate.place}", attempts=3)
async def plan(
    request: Request, candidate: Candidate, steps: Sequence[int], written: Splits
) -> tuple[LiveService, NextSplit]:
    live = await read_live(request, candidate.place)
    refuse_foreign_change(live.service, written)
    stable = stable_for(candidate, live.traffic)
    return live, next_split(live.traffic, stable, candidate.revision, steps, Verdict.HEALTHY)


@step("move traffic", run_name="move traffic of {candidate.place}", attempts=3, timeout_s=200)
async def move(candidate: Candidate, live: LiveService, following: NextSplit) -> None:
    await write_split(live.service, following.targets)
    get_run_logger().info(
        "%s: %s has %d %% (%s)", candidate.place, candidate.revision, following.percent, following.reason
    )


def stable_for(candidate: Candidate, traffic: Traffic) -> str | None:
    """The revision that gives its share to the candidate: what served before, else the placeholder.

    It stays the same when it has nothing left to give, so that no third revision loses what others gave it.
    """
    before = candidate.before.serving
    return before if before not in ("", candidate.revision) else stable_revision(traffic, candidate.revision)


def refuse_foreign_change(service: RunService, written: Splits) -> None:
    """Raises TrafficConflict when traffic is not where this run put it; tags of others are no reason to stop."""
    changes = foreign_changes(service, written)
    if changes:
        raise TrafficConflict(
            f"Somebody moved the traffic of {service.id} in {service.region} while this run was releasing it: "
            + "; ".join(changes)
            + ".",
            "find out who (gcloud run services describe shows the last modifier), then start the run again.",
            state=f"Their split of {service.id} was not overwritten; the other services are taken back.",
        )


def foreign_changes(service: RunService, written: Splits) -> tuple[str, ...]:
    """In words; nothing when traffic is as one of the splits says."""
    changes = [changed_by_other(split, service.traffic).traffic for split in written]
    return () if () in changes else changes[-1]


@step("open to everyone", run_name="open {candidate.place}", attempts=3, state=BEING_GIVEN_BACK)
async def open_to_everyone(request: Request, candidate: Candidate) -> None:
    """Lets the world call a public service, from its first proven release on."""
    place = candidate.place
    if request.service(place.service).public and await services.allow_everyone(request.run_service(place)):
        get_run_logger().info("%s is open to everyone now", place)


@step("verify", run_name="verify {candidate.place}", attempts=2, state=BEING_GIVEN_BACK)
async def verify(request: Request, candidate: Candidate) -> Serving:
    """Asks the service where its users do. Raises ProofFailed if it does not answer as it must."""
    judgement = await ask_service(request, candidate)
    if judgement.verdict is not Verdict.HEALTHY:
        raise ProofFailed(
            f"{candidate.place} was healthy on its own URL but not as {candidate.service_url}: {judgement.reason}",
            "look at the service's log and its ingress settings, correct them and ship again.",
            Cause.CONTAINER_CRASH,
            state=BEING_GIVEN_BACK,
        )
    return Serving(candidate.place, candidate.revision, candidate.service_url)


async def ask_service(request: Request, candidate: Candidate) -> Judgement:
    """The verdict on the URL that users have, asked often: a new policy or split takes seconds to be known."""
    place, url = candidate.place, candidate.service_url
    health = request.service(place.service).health.model_copy(update=OFTEN)
    return judge_probes(await probe_service(request.run_service(place), url, url, health), rules_of(health))


async def write_split(service: RunService, targets: Sequence[TrafficTarget]) -> None:
    """Writes the split unless it is there already, and waits until requests are routed by it."""
    if set(service.traffic) == set(targets):
        return
    try:
        written = await services.set_traffic(service.name, targets, service.etag, TRAFFIC_TIMEOUT_S)
    except GoogleError as error:
        if error.status == "ABORTED":
            raise changed_meanwhile(service.name) from error
        raise
    await _routed(written, targets)


async def _routed(service: RunService, targets: Sequence[TrafficTarget]) -> None:
    """Cloud Run answers before requests follow: the change counts when the live split says so."""
    wanted = {target.revision: target.percent for target in targets if target.percent}
    try:
        async with asyncio.timeout(TRAFFIC_TIMEOUT_S):
            while service.routed != wanted:
                await asyncio.sleep(SETTLE_POLL_S)
                service = await services.get_service(service.name) or service
    except TimeoutError as error:
        raise CloudError(
            f"Cloud Run accepted a new traffic split for {service.name} but does not route by it: {service.message}",
            "look at the service's conditions with gcloud run services describe, then start the run again.",
            Cause.TIMEOUT,
            state="The split is written; what is routed may still be the old one.",
        ) from error
