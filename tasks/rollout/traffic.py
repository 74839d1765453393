"""Writes traffic splits: guarded by etag, and finished only when requests are routed by them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import httpx
from prefect.logging import get_run_logger

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import services
from infra.gcp.run.services import RunService
from infra.gcp.run.traffic import TrafficTarget
from tasks.analysis.probes import ANSWERS, probe_service, rules_of
from tasks.analysis.reach import in_front
from tasks.analysis.verdict import Judgement, Probe, judge_probes
from tasks.failures.cause import Cause, Transient
from tasks.failures.errors import BEING_GIVEN_BACK, CloudError, ProofFailed, TrafficConflict
from tasks.manifest.settings import Health
from tasks.model import Candidate, Place, Request, Serving, Verdict
from tasks.orchestration.step import step
from tasks.rollout.access import changing, coming
from tasks.rollout.live import LiveService, changed_meanwhile, read_live
from tasks.rollout.sent import Splits, Written
from tasks.rollout.split import ALL, NextSplit, Traffic, all_to, changed_by_other, next_split, stable_revision

TRAFFIC_TIMEOUT_S = 120.0
SETTLE_POLL_S = 0.2
PLANS = 5  # of one step, while others change what it is planned over
OFTEN = {"tries": 40, "backoff_min_s": 0.5, "backoff_max_s": 2.0}  # over a minute: IAM says it may take that long
OFTEN_S = 90.0  # and not much longer, however long each try may take: a service that hangs has all its users by now
# A change of a policy is known everywhere after typically 2 minutes, possibly 7 or longer:
# https://cloud.google.com/iam/docs/access-change-propagation
PROPAGATION_LIMIT_S = 900.0
AT_THE_DOOR = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)  # how Google refuses a caller
LET_IN = tuple(status for status in ANSWERS.status if status not in AT_THE_DOOR)


async def advance(request: Request, candidate: Candidate, steps: Sequence[int] | None, written: Written) -> NextSplit:
    """One step up for a candidate that was found healthy where it is; None of steps: all there is, whoever has it.

    Raises TrafficConflict if somebody else has moved traffic since it was `written`, which this brings up to date. Who
    changes anything else of the service meanwhile, as clean-up a tag, only has it planned anew.
    """
    place = candidate.place
    for left in reversed(range(PLANS)):
        live, following = await plan(request, candidate, steps, written[place])
        written[place] = (*written[place], following.targets)
        try:
            await move(candidate, live, following)
            break
        except TrafficConflict:
            if not left:
                raise changed_meanwhile(live.service.name) from None
    written[place] = (following.targets,)
    return following


@step("plan the split", run_name="plan the split of {candidate.place}", attempts=3)
async def plan(
    request: Request, candidate: Candidate, steps: Sequence[int] | None, written: Splits
) -> tuple[LiveService, NextSplit]:
    live = await read_live(request, candidate.place)
    if steps is None and live.service.asked == {candidate.revision: ALL}:
        return live, all_to(live.traffic, candidate.revision)  # be it by somebody else, who wants the same
    refuse_foreign_change(live.service, written)
    if steps is None:
        return live, all_to(live.traffic, candidate.revision)
    stable = stable_for(candidate, live.traffic)
    return live, next_split(live.traffic, stable, candidate.revision, steps, Verdict.HEALTHY)


@step("move traffic", run_name="move traffic of {candidate.place}", attempts=3, timeout_s=200)
async def move(candidate: Candidate, live: LiveService, following: NextSplit) -> None:
    try:
        await write_split(live.service, following.targets)
    except TrafficConflict as changed:
        changed.transient = Transient.NO  # as it was read it cannot be written any more
        raise
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


@step("verify", run_name="verify {candidate.place}", attempts=2, timeout_s=1500, state=BEING_GIVEN_BACK)
async def verify(request: Request, candidate: Candidate) -> Serving:
    """Asks the service where its users do. Raises ProofFailed if it does not answer as it must."""
    judgement = await ask_service(request, candidate, candidate.health)
    if judgement.verdict is not Verdict.HEALTHY:
        raise ProofFailed(
            f"{candidate.place} was healthy on its own URL but not as {in_front(candidate)}: {judgement.reason}",
            "look at the service's log and its ingress settings, correct them and ship again.",
            Cause.CONTAINER_CRASH,
            state=BEING_GIVEN_BACK,
        )
    return Serving(candidate.place, candidate.revision, candidate.service_url or in_front(candidate))


async def ask_service(
    request: Request, candidate: Candidate, health: Health, often: Mapping[str, float] = OFTEN
) -> Judgement:
    """The verdict on the URL that users have, asked often: a new policy or split takes seconds to be known.

    health: what the revision that serves was proven by; where others have a share of the traffic, that of anybody.
    """
    place, url = candidate.place, in_front(candidate)
    asked = (await _as_anybody(request, place, health)).model_copy(update=dict(often))
    began = time.monotonic()
    while True:
        probes = await probe_service(request.run_service(place), candidate.service_url, url, asked, OFTEN_S)
        waited_s = time.monotonic() - began
        if not just_opened(candidate) or not refused_at_the_door(probes) or waited_s > PROPAGATION_LIMIT_S:
            return judge_probes(probes, replace(rules_of(asked), tries=len(probes)))  # no more were made
        get_run_logger().info("%s: who may call it is not known everywhere yet, after %.0f s", place, waited_s)


async def _as_anybody(request: Request, place: Place, health: Health) -> Health:
    """Without what only one revision says, where several answer: each was proven on its own URL."""
    service = await services.get_service(request.run_service(place))
    if service is None or len(service.routed) < 2:
        return health
    return health.model_copy(update={"status": LET_IN, "body": None})


async def fence(service: RunService) -> None:
    """From here on no write of traffic can arrive that was sent before, whoever sent it."""
    try:
        await services.fence(service, secrets.token_hex(4), TRAFFIC_TIMEOUT_S)
    except GoogleError as error:
        if error.status == "ABORTED":
            raise changed_meanwhile(service.name) from error
        raise


def just_opened(candidate: Candidate) -> bool:
    """Whether it is this release that lets somebody in, so that who may call is news to Google's front end too."""
    return bool(coming(candidate) & changing(candidate))


def refused_at_the_door(probes: Sequence[Probe]) -> bool:
    """Whether Google lets nobody in: a revision that was proven on its own URL does not refuse its callers itself."""
    return not probes[-1].ok and probes[-1].status in AT_THE_DOOR


async def write_split(service: RunService, targets: Sequence[TrafficTarget]) -> RunService:
    """Writes the split unless it is there already, and answers the service once requests are routed by it."""
    if set(service.traffic) == set(targets):
        return await routed(service, targets)  # whoever wrote it may not have waited
    try:
        written = await services.set_traffic(service.name, targets, service.etag, TRAFFIC_TIMEOUT_S)
    except GoogleError as error:
        if error.status == "ABORTED":
            raise changed_meanwhile(service.name) from error
        raise
    return await routed(written, targets)


async def routed(service: RunService, targets: Sequence[TrafficTarget]) -> RunService:
    """Cloud Run answers before requests follow: the change counts when the live split says so."""
    wanted = {target.revision: target.percent for target in targets if target.percent}
    try:
        async with asyncio.timeout(TRAFFIC_TIMEOUT_S):
            while service.routed != wanted:
                await asyncio.sleep(SETTLE_POLL_S)
                service = await services.get_service(service.name) or service
            return service
    except TimeoutError as error:
        raise CloudError(
            f"Cloud Run accepted a new traffic split for {service.name} but does not route by it: {service.message}",
            "look at the service's conditions with gcloud run services describe, then start the run again.",
            Cause.TIMEOUT,
            state="The split is written; what is routed may still be the old one.",
        ) from error
