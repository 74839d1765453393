"""Moves traffic to proven candidates, and back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from prefect.logging import get_run_logger

from infra.gcp import run
from infra.gcp.errors import GoogleError
from infra.gcp.run import Service as RunService
from infra.gcp.run import TrafficTarget
from tasks import traffic_plan
from tasks.errors import Cause, CloudError
from tasks.explain import explain
from tasks.model import Candidate, Live, Request, Snapshot
from tasks.progress import stage
from tasks.rollout import changed_meanwhile, live_traffic, read_service
from tasks.steps import step
from tasks.together import all_of
from tasks.traffic_plan import Target

TRAFFIC_TIMEOUT_S = 120.0
RESTORE_TIMEOUT_S = 20.0  # a cancelled run is killed after 30 s
SETTLE_POLL_S = 0.2


@asynccontextmanager
async def taken_back_on_failure(request: Request, candidates: Sequence[Candidate]) -> AsyncIterator[None]:
    """All or nothing: whatever ends the block early, every service's traffic is as it was before."""
    try:
        yield
    except BaseException as error:
        await asyncio.shield(asyncio.ensure_future(_take_back(request, candidates, error)))
        raise


@stage("shift")
async def promote(request: Request, candidates: Sequence[Candidate]) -> tuple[Live, ...]:
    """Dependencies before the services that call them; within one level all at once."""
    live: list[Live] = []
    for level in request.manifest.order(request.services):
        chosen = [candidate for candidate in candidates if candidate.service in level]
        live += await all_of([move_traffic(request, candidate) for candidate in chosen])
    return tuple(live)


@step("move traffic", run_name="move traffic of {candidate.service} in {candidate.region}", timeout_s=200)
async def move_traffic(request: Request, candidate: Candidate) -> Live:
    name = request.run_service(candidate.service, candidate.region)
    service, revisions = await read_service(name)
    targets = traffic_plan.everything_to(live_traffic(service, revisions), candidate.revision)
    await write_split(service, targets)
    if request.service(candidate.service).public and await run.allow_everyone(name):
        get_run_logger().info("%s in %s is open to everyone now", candidate.service, candidate.region)
    get_run_logger().info("100 %% of %s in %s goes to %s", candidate.service, candidate.region, candidate.revision)
    return Live(candidate.service, candidate.region, candidate.revision, candidate.service_url)


async def write_split(service: RunService, targets: Sequence[Target]) -> None:
    """Writes the split unless it is there already, and waits until requests are routed by it."""
    if {Target(t.revision, t.percent, t.tag) for t in service.traffic} == set(targets):
        return
    wanted = [TrafficTarget(target.revision, target.percent, target.tag) for target in targets]
    try:
        written = await run.set_traffic(service.name, wanted, service.etag, TRAFFIC_TIMEOUT_S)
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
                service = await run.get_service(service.name) or service
    except TimeoutError as error:
        raise CloudError(
            f"Cloud Run accepted a new traffic split for {service.name} but does not route by it: {service.message}",
            "look at the service's conditions with gcloud run services describe, then start the run again.",
            Cause.TIMEOUT,
            state="The split is written; what is routed may still be the old one.",
        ) from error


async def _take_back(request: Request, candidates: Sequence[Candidate], error: BaseException) -> None:
    """Gives traffic back wherever a candidate has some; a service where that fails keeps no other from it."""
    logger, started = get_run_logger(), time.monotonic()
    logger.warning("taking the release back: %s", str(error).partition("\n")[0] or type(error).__name__)
    outcomes = await asyncio.gather(*(_restore(request, each) for each in candidates), return_exceptions=True)
    for candidate, outcome in zip(candidates, outcomes, strict=True):
        where = f"{candidate.service} in {candidate.region}"
        if isinstance(outcome, BaseException):
            logger.error("%s could not be taken back: %s", where, explain(outcome).problem)
        elif outcome:
            logger.warning("%s serves %s again", where, candidate.before.serving or "its placeholder")
    logger.info("taken back in %.1f s", time.monotonic() - started)


async def _restore(request: Request, candidate: Candidate) -> bool:
    """Whether there was anything to give back."""
    async with asyncio.timeout(RESTORE_TIMEOUT_S):
        service, revisions = await read_service(request.run_service(candidate.service, candidate.region))
        if not any(t.percent for t in (*service.traffic, *service.live) if t.revision == candidate.revision):
            return False
        live = live_traffic(service, revisions)
        await write_split(service, traffic_plan.restore(live, as_live(candidate.before, live)))
        return True


def as_live(before: Snapshot, live: traffic_plan.Live) -> traffic_plan.Live:
    targets = tuple(Target(t.revision, t.percent, t.tag) for t in before.traffic)
    return traffic_plan.Live(targets, before.latest_ready or None, live.ready)
