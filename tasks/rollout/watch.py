"""Watches a release while it has part of the traffic, and judges it by what it really served."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, TypeAlias

from prefect.logging import get_run_logger

from infra.gcp.monitoring import Served
from tasks.analysis import decision
from tasks.analysis.decision import Seen, by_itself, decide, stable_is_down, while_it_bakes
from tasks.analysis.metrics import judge_users, rules_for, users_of
from tasks.analysis.probes import probe_until_accepted, rules_of
from tasks.analysis.reach import stable_at
from tasks.analysis.senses import Senses
from tasks.analysis.verdict import Course, Judgement, Probe, Rules, combine, judge_probes, on_inconclusive
from tasks.model import Candidate, Place, Request, Verdict
from tasks.orchestration.gather import all_of
from tasks.orchestration.step import step
from tasks.rollout.live import read_live
from tasks.rollout.sent import Splits, Written
from tasks.rollout.split import ALL
from tasks.rollout.traffic import refuse_foreign_change

PACE = 6  # looks while a step bakes, if that makes the pauses neither longer nor shorter than these
SAMPLED_S = 60.0  # Cloud Monitoring's period: there is nothing new more often
LONGEST_WAIT_S = SAMPLED_S
SHORTEST_WAIT_S = 0.5
WATCH_TIMEOUT_S = 24 * 3600.0
RINSE_S = 120.0  # after a step new instances start and warm up: their latencies say nothing about the revision
RINSED = 0.4  # of a bake at most
BASELINE_S = 1800.0  # before the first step: what stable's usual rate of errors is read from
QUIET_PROBES = 60  # a look, where users are too few: one a second
ASKED_S = 30.0  # and no longer than this, however slow the answers: a look may find that users are hurt
RECENT_S = 150.0  # whether stable is down now is seen by the probes of so long
OUTAGE = "stable fails, too: what hits both says nothing about either, and the evidence is gathered anew"


@dataclass(frozen=True, slots=True)
class Hold:
    """How long traffic has been where it is, and since when stable has served; aware times."""

    before: datetime  # the same in all holds of a release
    began: datetime


def following(hold: Hold | None, bake_s: float, now: datetime) -> Hold:
    """The hold that begins now; before the first one, stable has served for a while."""
    return Hold(hold.before if hold else now - timedelta(seconds=max(bake_s, BASELINE_S)), now)


Asked: TypeAlias = list[tuple[datetime, Probe]]  # our own requests, in the order they were made


@dataclass
class Watched:
    """One candidate in one hold, and what we have asked it and stable, by the time we did."""

    candidate: Candidate
    hold: Hold
    percent: int
    next_percent: int | None  # None: no more traffic is to come
    compares: bool  # stable has a share, too
    since: datetime  # what counts against stable
    alone: datetime  # and what counts by itself, where stable is down
    asked: Asked = field(default_factory=list)
    asked_stable: Asked = field(default_factory=list)
    quiet: bool = False

    @property
    def place(self) -> Place:
        return self.candidate.place

    def recent_stable(self, now: datetime) -> list[Probe]:
        return since(self.asked_stable, now - timedelta(seconds=RECENT_S))

    def kind(self, request: Request) -> decision.Hold:
        course = Course(request.settings.on_inconclusive)
        return decision.Hold(course, last=self.next_percent is None, next_percent=self.next_percent)


Unmoved = Callable[[Request, Candidate, Splits], Coroutine[Any, Any, None]]


def unhealthy(judgement: Judgement) -> str:
    """Why; '' while there may be a way on."""
    return judgement.reason if judgement.verdict is Verdict.UNHEALTHY else ""


@step(
    "watch",
    run_name="watch at {percent} %",
    timeout_s=WATCH_TIMEOUT_S,
    state="The candidates have traffic.",
    against=unhealthy,
)
async def watch(
    request: Request, candidates: Sequence[Candidate], written: Written, percent: int, hold: Hold
) -> Judgement:
    """The verdict on all candidates together once they have baked; UNHEALTHY ends the wait at once.

    INCONCLUSIVE is waited out beyond the bake as the environment says. Raises TrafficConflict when somebody else
    has moved traffic from where it was `written`.
    """
    return await keep_watch(request, candidates, written, hold, Senses(), get_run_logger(), _refuse_moved)


async def keep_watch(
    request: Request,
    candidates: Sequence[Candidate],
    written: Written,
    hold: Hold,
    senses: Senses,
    log: logging.Logger | logging.LoggerAdapter[logging.Logger],
    unmoved: Unmoved,
) -> Judgement:
    settings, started = request.settings, senses.now()
    watched = [_watched(request, each, written, hold) for each in candidates]
    enough_s = settings.bake_s + settings.slo.metrics_lag_s
    pause_s = min(max(enough_s / PACE, SHORTEST_WAIT_S), LONGEST_WAIT_S)
    while True:
        await senses.sleep(pause_s)
        await all_of([unmoved(request, each, written[each.place]) for each in candidates])
        over_s = (senses.now() - started).total_seconds() - enough_s
        judgement = combine(await all_of([_look(request, each, over_s, senses) for each in watched]))
        log.info("%d %% after %.0f s: %s, %s", *_told(watched, enough_s + over_s, judgement))
        if judgement.verdict is Verdict.UNHEALTHY:
            return judgement
        if over_s < 0:
            continue
        course = on_inconclusive(Course(settings.on_inconclusive), over_s, settings.inconclusive_limit_s)
        if judgement.verdict is Verdict.HEALTHY or course is not Course.WAIT:
            return judgement


async def _refuse_moved(request: Request, candidate: Candidate, written: Splits) -> None:
    live = await read_live(request, candidate.place)
    refuse_foreign_change(live.service, written)


def _told(watched: Sequence[Watched], seconds: float, found: Judgement) -> tuple[int, float, Verdict, str]:
    return min(each.percent for each in watched), seconds, found.verdict, found.reason


def _watched(request: Request, candidate: Candidate, written: Written, hold: Hold) -> Watched:
    compares = any(t.percent for t in written[candidate.place][-1] if t.revision == candidate.before.serving)
    share = share_of(candidate, written)
    higher = min((each for each in request.settings.steps if each > share), default=ALL)
    return Watched(candidate, hold, share, higher if compares else None, compares, hold.began, hold.began)


async def _look(request: Request, each: Watched, over_s: float, senses: Senses) -> Judgement:
    """One candidate: its real requests in this hold against stable's, and whether it still answers on its own URL.

    Stable's are those of the same time, or where it has no share any more, those before.
    """
    settings = request.settings
    end = senses.now() - timedelta(seconds=settings.slo.metrics_lag_s)
    rinse_s = min(RINSE_S, RINSED * settings.bake_s)
    service = request.run_service(each.place)
    since, until, warm_s = (each.since, end, rinse_s) if each.compares else (each.hold.before, each.hold.began, 0.0)
    ours, theirs, alive = await asyncio.gather(
        senses.served(service, each.candidate.revision, each.since, end, rinse_s),
        senses.served(service, each.candidate.before.serving, since, until, warm_s),
        _ask_both(request, each, senses),
    )
    rules = rules_for(settings, len(request.services))
    latest, usual = (users_of(theirs), None) if each.compares else (None, users_of(theirs))
    down = stable_is_down(each.recent_stable(senses.now()), latest, rules, usual)
    if down:
        ours = await senses.served(service, each.candidate.revision, each.alone, end, rinse_s)
        seen = by_itself(_seen(each, (ours, Served()), alive, rules, (each.alone, end)))
        each.since = senses.now()  # what hits both says nothing about either
    else:
        seen = _seen(each, (ours, theirs), alive, rules, (each.since, end))
    each.quiet = seen.quiet(seen.users.errors)
    seen = replace(seen, waited_s=max(over_s, 0.0), limit_s=settings.inconclusive_limit_s)
    found = while_it_bakes(seen) if over_s < 0 else decide(seen, each.kind(request))
    if down and found.verdict is Verdict.UNHEALTHY:
        each.alone = senses.now()
        found = Judgement(Verdict.INCONCLUSIVE, OUTAGE)
    return _named(each.place, found)


def _seen(
    each: Watched,
    served: tuple[Served, Served],
    alive: Judgement,
    rules: Rules,
    during: tuple[datetime, datetime],
) -> Seen:
    start, end = during
    users = judge_users(
        *served,
        rules,
        each.next_percent,
        asked=among(each.asked, served[0]),
        asked_stable=among(each.asked_stable, served[1]),
        same_minutes=each.compares,
    )
    if served[0].since and served[0].until:
        seen_s = (served[0].until - served[0].since).total_seconds()
    else:
        seen_s = (end - start).total_seconds() - 2 * SAMPLED_S  # as long as there may not be a whole sampling period
    return Seen(users, alive, since(each.asked, start), since(each.asked_stable, start), rules, max(seen_s, 0.0))


def since(asked: Asked, start: datetime, end: datetime | None = None) -> list[Probe]:
    """Those of our own requests that were made from then on, and before `end`."""
    first = bisect_left(asked, start, key=itemgetter(0))
    last = bisect_left(asked, end, key=itemgetter(0)) if end else len(asked)
    return [probe for _, probe in asked[first:last]]


def among(asked: Asked, served: Served) -> list[Probe]:
    """Those of our own requests that are among what was served."""
    return since(asked, served.since, served.until) if served.since and served.until else []


async def _ask_both(request: Request, each: Watched, senses: Senses) -> Judgement:
    """Whether the candidate answers, and more of it and stable for later; stable's URL is asked where it has one."""
    service, candidate = request.run_service(each.place), each.candidate
    health = request.service(each.place.service).health.model_copy(update={"samples": 1})

    async def ask_one(url: str, times: int) -> list[Probe]:
        until = senses.now() + timedelta(seconds=ASKED_S)
        async with senses.asking(service, candidate.service_url, url, health) as ask:
            probes = await probe_until_accepted(ask, health, senses.sleep)
            while len(probes) < times and probes[-1].status is not None and senses.now() < until:
                probes.append(await ask())  # of those that hang one is enough
            return probes

    stable_url = stable_at(candidate)
    ours, theirs = await asyncio.gather(
        ask_one(candidate.url, QUIET_PROBES if each.quiet else 1),
        ask_one(stable_url, QUIET_PROBES if each.quiet or not each.compares else 1) if stable_url else _nothing(),
    )
    now = senses.now()
    each.asked += [(now, probe) for probe in ours]
    each.asked_stable += [(now, probe) for probe in theirs]
    return judge_probes(ours[: health.tries], rules_of(health))


async def _nothing() -> list[Probe]:
    return []


def share_of(candidate: Candidate, written: Written) -> int:
    """Percent."""
    return sum(t.percent for t in written[candidate.place][-1] if t.revision == candidate.revision)


def _named(place: Place, judgement: Judgement) -> Judgement:
    evidence = tuple(f"{place}: {line}" for line in judgement.evidence)
    return replace(judgement, reason=f"{place}: {judgement.reason}", evidence=evidence)
