"""Watches a release while it has part of the traffic, and judges it by what it really served."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prefect.logging import get_run_logger

from infra.gcp import monitoring
from tasks.analysis.metrics import LOOKS_PER_BAKE, judge_served, rules_for
from tasks.analysis.probes import probe_service, rules_of
from tasks.analysis.verdict import Course, Judgement, combine, judge_probes, on_inconclusive
from tasks.model import Candidate, Place, Request, Verdict
from tasks.orchestration.gather import all_of
from tasks.orchestration.step import step
from tasks.rollout.live import read_live
from tasks.rollout.split import ALL
from tasks.rollout.traffic import Written, refuse_foreign_change

LONGEST_WAIT_S = 30.0
SHORTEST_WAIT_S = 0.5
WATCH_TIMEOUT_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Hold:
    """How long traffic has been where it is, and where it was before; aware times."""

    before: datetime  # since then it was where the candidates had less
    began: datetime


def following(hold: Hold | None, bake_s: float, now: datetime) -> Hold:
    """The hold that begins now; before the first one, stable has served for as long as a step bakes at least."""
    return Hold(hold.began if hold else now - timedelta(seconds=bake_s), now)


@step("watch", run_name="watch at {percent} %", timeout_s=WATCH_TIMEOUT_S, state="The candidates have traffic.")
async def watch(
    request: Request, candidates: Sequence[Candidate], written: Written, percent: int, hold: Hold
) -> Judgement:
    """The verdict on all candidates together once they have baked; UNHEALTHY ends the wait at once.

    INCONCLUSIVE is waited out beyond the bake as the environment says. Raises TrafficConflict when somebody else
    has moved traffic from where it was `written`.
    """
    settings, logger, started = request.settings, get_run_logger(), time.monotonic()
    asked: Counter[Place] = Counter()
    enough_s = settings.bake_s + settings.slo.metrics_lag_s
    pause_s = min(max(enough_s / LOOKS_PER_BAKE, SHORTEST_WAIT_S), LONGEST_WAIT_S)
    while True:
        await asyncio.sleep(pause_s)
        await all_of([_refuse_moved(request, each, written) for each in candidates])
        end = datetime.now(UTC) - timedelta(seconds=settings.slo.metrics_lag_s)
        judgement = combine(await all_of([_look(request, each, written, hold, end, asked) for each in candidates]))
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
    request: Request, candidate: Candidate, written: Written, hold: Hold, end: datetime, asked: Counter[Place]
) -> Judgement:
    """One candidate: its real requests in this hold against stable's, and whether it still answers on its own URL.

    Stable's are those of the same time, or where it has no share any more, those of the hold before. end: until when
    the metrics are known. asked: how often we have called a candidate in this hold, which Cloud Monitoring counts in.
    """
    place, stable = candidate.place, candidate.before.serving
    service = request.run_service(place)
    compares = any(t.percent for t in written[place][-1] if t.revision == stable)
    since, until = (hold.began, end) if compares else (hold.before, min(hold.began, end))
    health = request.service(place.service).health.model_copy(update={"samples": 1})  # until one answer is accepted
    ours, theirs, probes = await asyncio.gather(
        monitoring.served(service, candidate.revision, hold.began, end),
        monitoring.served(service, stable, since, until),
        probe_service(service, candidate.service_url, candidate.url, health),
    )
    asked[place] += len(probes)
    next_percent = min((each for each in request.settings.steps if each > share_of(candidate, written)), default=ALL)
    rules = rules_for(request.settings, len(request.services))
    judgements = [
        judge_served(ours, theirs, rules, next_percent, asked=asked[place], same_minutes=compares),
        judge_probes(probes, rules_of(health)),
    ]
    return _named(place, combine(judgements))


def share_of(candidate: Candidate, written: Written) -> int:
    """Percent."""
    return sum(t.percent for t in written[candidate.place][-1] if t.revision == candidate.revision)


def _named(place: Place, judgement: Judgement) -> Judgement:
    evidence = tuple(f"{place}: {line}" for line in judgement.evidence)
    return Judgement(judgement.verdict, f"{place}: {judgement.reason}", evidence)
