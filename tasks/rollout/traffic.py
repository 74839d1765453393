"""Writes traffic splits: guarded by etag, and finished only when requests are routed by them."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence

from prefect.logging import get_run_logger

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import services
from infra.gcp.run.services import Service as RunService
from infra.gcp.run.services import TrafficTarget
from tasks.analysis.probes import authorization, probe_until_clear, rules_of
from tasks.analysis.verdict import Judgement, judge_probes
from tasks.failures.errors import Cause, CloudError, ProofFailed, TrafficConflict
from tasks.model import Candidate, Live, Request, Verdict
from tasks.orchestration.step import step
from tasks.rollout import split as traffic_plan
from tasks.rollout.dark import changed_meanwhile, live_traffic, read_service
from tasks.rollout.split import Step, Target

TRAFFIC_TIMEOUT_S = 120.0
SETTLE_POLL_S = 0.2
OFTEN = {"tries": 40, "backoff_min_s": 0.5, "backoff_max_s": 2.0}  # over a minute: IAM says it may take that long
# Service and region -> the split that this run wrote last. Two while nobody knows whether the newer one has arrived.
Splits = tuple[tuple[Target, ...], ...]
Written = MutableMapping[tuple[str, str], Splits]
BEING_TAKEN_BACK = "Traffic is being given back."


async def advance(request: Request, candidate: Candidate, steps: Sequence[int], written: Written) -> Step:
    """One step up for a candidate that was found healthy where it is.

    Raises TrafficConflict if somebody else has moved traffic since it was `written`, which this brings up to date.
    """
    where = (candidate.service, candidate.region)
    service, step = await plan(request, candidate, steps, written[where])
    written[where] = (*written[where], step.targets)
    await move(candidate, service, step)
    written[where] = (step.targets,)
    return step


@step("plan the split", run_name="plan the split of {candidate.service} in {candidate.region}", attempts=3)
async def plan(
    request: Request, candidate: Candidate, steps: Sequence[int], written: Splits
) -> tuple[RunService, Step]:
    service, revisions = await read_service(request.run_service(candidate.service, candidate.region))
    refuse_foreign_change(service, written)
    live = live_traffic(service, revisions)
    stable = stable_for(candidate, live)
    return service, traffic_plan.next_split(live, stable, candidate.revision, steps, Verdict.HEALTHY)


@step("move traffic", run_name="move traffic of {candidate.service} in {candidate.region}", attempts=3, timeout_s=200)
async def move(candidate: Candidate, service: RunService, taken: Step) -> None:
    await write_split(service, taken.targets)
    get_run_logger().info(
        "%s in %s: %s has %d %% (%s)",
        *(candidate.service, candidate.region, candidate.revision, taken.percent, taken.reason),
    )


def stable_for(candidate: Candidate, live: traffic_plan.Live) -> str | None:
    """The revision that gives its share to the candidate: what served before, else the placeholder.

    It stays the same when it has nothing left to give, so that no third revision loses what others gave it.
    """
    before = candidate.before.serving
    return before if before not in ("", candidate.revision) else traffic_plan.stable_revision(live, candidate.revision)


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
    found = [Target(target.revision, target.percent, target.tag) for target in service.traffic]
    changes = [traffic_plan.changed_by_other(split, found).traffic for split in written]
    return () if () in changes else changes[-1]


@step("open to everyone", run_name="open {candidate.service} in {candidate.region}", attempts=3, state=BEING_TAKEN_BACK)
async def open_to_everyone(request: Request, candidate: Candidate) -> None:
    """Lets the world call a public service, from its first proven release on."""
    name = request.run_service(candidate.service, candidate.region)
    if request.service(candidate.service).public and await services.allow_everyone(name):
        get_run_logger().info("%s in %s is open to everyone now", candidate.service, candidate.region)


@step("verify", run_name="verify {candidate.service} in {candidate.region}", attempts=2, state=BEING_TAKEN_BACK)
async def verify(request: Request, candidate: Candidate) -> Live:
    """Asks the service where its users do. Raises ProofFailed if it does not answer as it must."""
    judgement = await ask_service(request, candidate)
    if judgement.verdict is not Verdict.HEALTHY:
        raise ProofFailed(
            f"{candidate.service} in {candidate.region} was healthy on its own URL but not as {candidate.service_url}: "
            f"{judgement.reason}",
            "look at the service's log and its ingress settings, correct them and ship again.",
            Cause.CONTAINER_CRASH,
            state=BEING_TAKEN_BACK,
        )
    return Live(candidate.service, candidate.region, candidate.revision, candidate.service_url)


async def ask_service(request: Request, candidate: Candidate) -> Judgement:
    """The verdict on the URL that users have, asked often: a new policy or split takes seconds to be known."""
    health = request.service(candidate.service).health.model_copy(update=OFTEN)
    headers = await authorization(request.run_service(candidate.service, candidate.region), candidate.service_url)
    return judge_probes(await probe_until_clear(candidate.service_url + health.path, health, headers), rules_of(health))


async def write_split(service: RunService, targets: Sequence[Target]) -> None:
    """Writes the split unless it is there already, and waits until requests are routed by it."""
    if {Target(t.revision, t.percent, t.tag) for t in service.traffic} == set(targets):
        return
    wanted = [TrafficTarget(target.revision, target.percent, target.tag) for target in targets]
    try:
        written = await services.set_traffic(service.name, wanted, service.etag, TRAFFIC_TIMEOUT_S)
    except GoogleError as error:
        if error.status == "ABORTED":
            raise changed_meanwhile(service.name) from error
        raise
    await _routed(written, targets)


async def _routed(service: RunService, targets: Sequence[Target]) -> None:
    """Cloud Run answers before requests follow: the change counts when the live split says so."""
    wanted = {target.revision: target.percent for target in targets if target.percent}
    try:
        async with asyncio.timeout(TRAFFIC_TIMEOUT_S):
            while {t.revision: t.percent for t in service.live if t.percent} != wanted:
                await asyncio.sleep(SETTLE_POLL_S)
                service = await services.get_service(service.name) or service
    except TimeoutError as error:
        raise CloudError(
            f"Cloud Run accepted a new traffic split for {service.name} but does not route by it: {service.message}",
            "look at the service's conditions with gcloud run services describe, then start the run again.",
            Cause.TIMEOUT,
            state="The split is written; what is routed may still be the old one.",
        ) from error
