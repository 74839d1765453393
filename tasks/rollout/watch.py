"""Watches a release while it has part of the traffic, and judges it by what it really served."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from prefect.logging import get_run_logger

from infra.gcp import monitoring
from infra.gcp.monitoring import Served
from tasks.analysis.probes import authorization, probe_until_clear, rules_of
from tasks.analysis.verdict import (
    Course,
    Judgement,
    Probe,
    Rules,
    Window,
    combine,
    judge_probes,
    judge_window,
    on_inconclusive,
    spread,
)
from tasks.manifest.settings import Canary, Health
from tasks.model import Candidate, Place, Request, Verdict
from tasks.orchestration.gather import all_of
from tasks.orchestration.step import step
from tasks.rollout.live import read_live
from tasks.rollout.split import ALL
from tasks.rollout.traffic import Written, refuse_foreign_change

LOOKS_PER_BAKE = 6  # how often a step is looked at while it bakes; `Rules.looks` pays for them
LONGEST_WAIT_S = 30.0
SHORTEST_WAIT_S = 0.5
WATCH_TIMEOUT_S = 24 * 3600.0
# Minutes differ, so what was served in others is no match: only this much slower is held against a candidate.
OTHER_MINUTES_RATIO = 2.0
OTHER_MINUTES_MS = 100.0
TESTS_PER_LOOK = 3  # errors, and latency by two tests


@dataclass(frozen=True, slots=True)
class Hold:
    """How long traffic has been where it is, and where it was before; aware times."""

    before: datetime  # since then it was where the candidates had less
    began: datetime


def following(request: Request, hold: Hold | None, now: datetime) -> Hold:
    """The hold that begins now; before the first one, stable has served for as long as a step bakes at least."""
    return Hold(hold.began if hold else now - timedelta(seconds=_bake_s(request)), now)


@step("watch", run_name="watch at {percent} %", timeout_s=WATCH_TIMEOUT_S, state="The candidates have traffic.")
async def watch(
    request: Request, candidates: Sequence[Candidate], written: Written, percent: int, hold: Hold
) -> Judgement:
    """The verdict on all candidates together once they have baked; UNHEALTHY ends the wait at once.

    INCONCLUSIVE is waited out beyond the bake as the environment says. Raises TrafficConflict when somebody else
    has moved traffic from where it was `written`.
    """
    settings, logger, started = request.settings, get_run_logger(), time.monotonic()
    asked: Counter[Candidate] = Counter()
    enough_s = _bake_s(request) + settings.slo.metrics_lag_s
    pause_s = min(max(enough_s / LOOKS_PER_BAKE, SHORTEST_WAIT_S), LONGEST_WAIT_S)
    while True:
        await asyncio.sleep(pause_s)
        await all_of([_refuse_moved(request, each, written) for each in candidates])
        judgement = combine(await all_of([_look(request, each, written, hold, asked) for each in candidates]))
        waited_s = time.monotonic() - started
        logger.info("%d %% after %.0f s: %s, %s", percent, waited_s, judgement.verdict, judgement.reason)
        if judgement.verdict is Verdict.UNHEALTHY:
            return judgement
        if waited_s < enough_s:
            continue
        course = on_inconclusive(Course(settings.on_inconclusive), waited_s - enough_s, settings.inconclusive_limit_s)
        if judgement.verdict is Verdict.HEALTHY or course is not Course.WAIT:
            return judgement


async def _refuse_moved(request: Request, candidate: Candidate, written: Written) -> None:
    live = await read_live(request, candidate.place)
    refuse_foreign_change(live.service, written[candidate.place])


async def _look(
    request: Request, candidate: Candidate, written: Written, hold: Hold, asked: Counter[Candidate]
) -> Judgement:
    """One candidate: its real requests in this hold against stable's, and whether it still answers on its own URL.

    Stable's are those of the same time, or where it has no share any more, those of the hold before; then only a much
    longer latency is held against the candidate. asked: how often we have called a candidate in this hold; Cloud
    Monitoring counts that in, but it says nothing about users.
    """
    end = datetime.now(UTC) - timedelta(seconds=request.settings.slo.metrics_lag_s)
    stable = candidate.before.serving
    compares = any(t.percent for t in written[candidate.place][-1] if t.revision == stable)
    since, until = (hold.began, end) if compares else (hold.before, min(hold.began, end))
    ours, theirs, probes = await asyncio.gather(
        served(request, candidate.place, candidate.revision, hold.began, end),
        served(request, candidate.place, stable, since, until),
        _probe(request, candidate),
    )
    asked[candidate] += len(probes)
    ours = replace(ours, requests=max(ours.requests - asked[candidate], ours.errors))
    next_percent = min((step for step in _steps(request) if step > share_of(candidate, written)), default=ALL)
    rules = rules_for(request)
    if not compares:
        rules = replace(rules, slower_ratio=OTHER_MINUTES_RATIO, slower_ms=OTHER_MINUTES_MS)
    judgements = [
        judge_window(window(ours), window(theirs), rules, next_percent),
        _answers(probes, request.service(candidate.place.service).health),
    ]
    return _named(candidate, combine(judgements))


async def served(request: Request, place: Place, revision: str, start: datetime, end: datetime) -> Served:
    if end <= start:
        return Served()
    return await monitoring.served(
        request.project, place.region, f"{request.app}-{place.service}", revision, start, end
    )


async def _probe(request: Request, candidate: Candidate) -> list[Probe]:
    """Tries until one is accepted, and no more than that."""
    health = request.service(candidate.place.service).health
    headers = await authorization(request.run_service(candidate.place), candidate.service_url)
    return await probe_until_clear(candidate.url + health.path, _once(health), headers)


def _answers(probes: Sequence[Probe], health: Health) -> Judgement:
    return judge_probes(probes, rules_of(_once(health)))


def _once(health: Health) -> Health:
    return health.model_copy(update={"samples": 1})


def rules_for(request: Request) -> Rules:
    """The more often a release is looked at, the more evidence each look needs; see `Rules.looks`."""
    slo = request.settings.slo
    holds = len(_steps(request)) + 1
    looks = len(request.services) * len(request.settings.regions) * holds * LOOKS_PER_BAKE * TESTS_PER_LOOK
    return Rules(error_limit=slo.max_error_rate, min_requests=slo.min_requests, looks=max(looks, Rules().looks))


def share_of(candidate: Candidate, written: Written) -> int:
    """Percent."""
    return sum(t.percent for t in written[candidate.place][-1] if t.revision == candidate.revision)


def _steps(request: Request) -> tuple[int, ...]:
    strategy = request.settings.strategy
    return tuple(strategy.canary) if isinstance(strategy, Canary) else ()


def _bake_s(request: Request) -> float:
    strategy = request.settings.strategy
    return strategy.bake_s if isinstance(strategy, Canary) else 0.0


def window(served: Served) -> Window:
    return Window(served.requests, served.errors, spread(served.bounds_ms, served.buckets) if served.requests else ())


def _named(candidate: Candidate, judgement: Judgement) -> Judgement:
    where = candidate.place
    evidence = tuple(f"{where}: {line}" for line in judgement.evidence)
    return Judgement(judgement.verdict, f"{where}: {judgement.reason}", evidence)
