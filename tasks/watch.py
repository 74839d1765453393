"""Watches a release while it has part of the traffic, and judges it by what it really served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from prefect.logging import get_run_logger

from infra.gcp import monitoring
from infra.gcp.monitoring import Served
from tasks.health import authorization, probe_until_clear, rules_of
from tasks.model import Candidate, Request, Verdict
from tasks.rollout import read_service
from tasks.steps import step
from tasks.together import all_of
from tasks.traffic import Written, refuse_foreign_change
from tasks.verdict import Course, Judgement, Rules, Window, combine, judge_probes, judge_window, on_inconclusive, spread

LOOKS_PER_BAKE = 6  # how often a step is looked at while it bakes; `Rules.looks` pays for them
LONGEST_WAIT_S = 30.0
SHORTEST_WAIT_S = 0.5
WATCH_TIMEOUT_S = 24 * 3600.0
PARTLY_SHIFTED = "The candidates have part of the traffic."


@step(
    "watch",
    run_name="watch at {percent} %",
    timeout_s=WATCH_TIMEOUT_S,
    state="The candidates have part of the traffic.",
)
async def watch(
    request: Request,
    candidates: Sequence[Candidate],
    written: Written,
    percent: int,
    next_percent: int,
    bake_s: float,
) -> Judgement:
    """The verdict on all candidates together after `bake_s` at `percent`; UNHEALTHY ends the wait at once.

    INCONCLUSIVE is waited out up to the environment's limit beyond the bake. Raises TrafficConflict when somebody else
    has moved traffic from where it was `written`.
    """
    shifted, started = datetime.now(UTC), time.monotonic()
    settings, logger = request.settings, get_run_logger()
    enough_s = bake_s + settings.slo.metrics_lag_s
    pause_s = min(max(enough_s / LOOKS_PER_BAKE, SHORTEST_WAIT_S), LONGEST_WAIT_S)
    while True:
        await asyncio.sleep(pause_s)
        await all_of([_refuse_moved(request, each, written) for each in candidates])
        judgement = combine(await all_of([_look(request, each, shifted, next_percent) for each in candidates]))
        waited_s = time.monotonic() - started
        logger.info("%d %% after %.0f s: %s, %s", percent, waited_s, judgement.verdict, judgement.reason)
        if judgement.verdict is Verdict.UNHEALTHY:
            return judgement
        if waited_s < enough_s:
            continue
        limit_s = enough_s + settings.inconclusive_limit_s
        if judgement.verdict is Verdict.HEALTHY or on_inconclusive(Course.WAIT, waited_s, limit_s) is not Course.WAIT:
            return judgement


async def _refuse_moved(request: Request, candidate: Candidate, written: Written) -> None:
    service, _ = await read_service(request.run_service(candidate.service, candidate.region))
    refuse_foreign_change(service, written[candidate.service, candidate.region])


async def _look(request: Request, candidate: Candidate, shifted: datetime, next_percent: int) -> Judgement:
    """One candidate: its real requests since the shift against stable's, and its own URL once more."""
    end = datetime.now(UTC) - timedelta(seconds=request.settings.slo.metrics_lag_s)
    served, stable, probes = await asyncio.gather(
        _served(request, candidate, candidate.revision, shifted, end),
        _served(request, candidate, candidate.before.serving, shifted, end),
        _probe(request, candidate),
    )
    rules = rules_for(request)
    judgements = [judge_window(window(served), window(stable), rules, next_percent), probes]
    return _named(candidate, combine(judgements))


async def _served(request: Request, candidate: Candidate, revision: str, start: datetime, end: datetime) -> Served:
    if end <= start:
        return Served()
    service = f"{request.app}-{candidate.service}"
    return await monitoring.served(request.project, candidate.region, service, revision, start, end)


async def _probe(request: Request, candidate: Candidate) -> Judgement:
    health = request.service(candidate.service).health
    headers = await authorization(request.run_service(candidate.service, candidate.region), candidate.service_url)
    return judge_probes(await probe_until_clear(candidate.url + health.path, health, headers), rules_of(health))


def rules_for(request: Request) -> Rules:
    slo = request.settings.slo
    return Rules(error_limit=slo.max_error_rate, min_requests=slo.min_requests)


def window(served: Served) -> Window:
    return Window(served.requests, served.errors, spread(served.bounds_ms, served.buckets) if served.requests else ())


def _named(candidate: Candidate, judgement: Judgement) -> Judgement:
    where = f"{candidate.service} in {candidate.region}"
    evidence = tuple(f"{where}: {line}" for line in judgement.evidence)
    return Judgement(judgement.verdict, f"{where}: {judgement.reason}", evidence)
