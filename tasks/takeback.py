"""Gives traffic back: whatever ends a release early, every service serves what it served before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.exceptions import Pause
from prefect.logging import get_run_logger

from infra.gcp.attempts import closed_circuits
from infra.gcp.errors import GoogleError
from tasks import traffic_plan
from tasks.errors import SlipwayError
from tasks.explain import explain
from tasks.health import authorization, probe_until_clear, rules_of
from tasks.history import Ledger
from tasks.model import Candidate, Request, Snapshot, Verdict
from tasks.retry import repeated
from tasks.rollout import live_traffic, read_service
from tasks.together import all_of
from tasks.traffic import Splits, ask_service, foreign_changes, write_split
from tasks.traffic_plan import Target
from tasks.verdict import Judgement, combine, escalate, judge_probes, judge_stable
from tasks.watch import rules_for, served, window

LIMIT_S = 25.0  # a cancelled run is killed after 30 s
PAUSES_S = (0.5, 1.0, 2.0, 4.0)
LOOK_BACK = timedelta(minutes=5)  # the requests by which the revision to go back to is judged


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one service in one region."""

    service: str
    region: str
    outcome: str  # untouched, taken back, left, escalated or failed
    said: str


@asynccontextmanager
async def taken_back_on_failure(
    request: Request,
    candidates: Sequence[Candidate],
    written: Mapping[tuple[str, str], Splits],
    ledger: Ledger,
) -> AsyncIterator[None]:
    """All or nothing: when the block ends the release stands; when it ends early, all candidates so far give back
    what they have.

    written: the splits that the run may have written last, by service and region; what others changed is left to them.
    """
    try:
        yield
        await ledger.released()
    except BaseException as error:
        if not isinstance(error, Pause):  # a run that waits for a person goes on later
            careful = isinstance(error, Exception)  # a run that is being cancelled has no time for probes
            with closed_circuits():
                work = [give_back(request, each, written[each.service, each.region], careful) for each in candidates]
                await asyncio.shield(asyncio.ensure_future(_take_back(work, ledger, error)))
        raise


async def _take_back(work: Sequence[Coroutine[Any, Any, Outcome]], ledger: Ledger, error: BaseException) -> None:
    if not work:
        return
    logger, started = get_run_logger(), time.monotonic()
    logger.warning("taking the release back: %s", str(error).partition("\n")[0] or type(error).__name__)
    outcomes = await all_of(work)
    seconds = time.monotonic() - started
    for each in outcomes:
        level = logger.error if each.outcome in ("failed", "escalated", "left") else logger.warning
        level("%s in %s: %s, %s", each.service, each.region, each.outcome, each.said)
    logger.info("taken back in %.1f s", seconds)
    try:
        await ledger.taken_back({(each.service, each.region): each.outcome for each in outcomes}, seconds)
    except SlipwayError as unwritten:
        logger.error("the release record does not say so: %s", unwritten.problem)


async def give_back(request: Request, candidate: Candidate, written: Splits, careful: bool) -> Outcome:
    """One service, with more than one try; a failure here keeps no other from being taken back."""
    try:
        async with asyncio.timeout(LIMIT_S):
            return await repeated(lambda: _one(request, candidate, written, careful), PAUSES_S)
    except Exception as error:
        return Outcome(candidate.service, candidate.region, "failed", explain(error).problem)


async def _one(request: Request, candidate: Candidate, written: Splits, careful: bool) -> Outcome:
    where = (candidate.service, candidate.region)
    serving = candidate.before.serving or "its placeholder"
    service, revisions = await read_service(request.run_service(*where))
    if not any(t.percent for t in (*service.traffic, *service.live) if t.revision == candidate.revision):
        return Outcome(*where, "untouched", f"{serving} served all the time")
    if changes := foreign_changes(service, written):
        return Outcome(*where, "left", f"somebody else has moved its traffic: {'; '.join(changes)}")
    if careful and (bad := await _target_is_bad(request, candidate)):
        return Outcome(*where, "escalated", f"{serving} is unhealthy too ({bad}): the outage is elsewhere")
    live = live_traffic(service, revisions)
    await write_split(service, traffic_plan.restore(live, as_live(candidate.before, live)))
    if careful and candidate.before.serving:
        judgement = await ask_service(request, candidate)
        return Outcome(*where, "taken back", f"{serving} serves again and is {judgement.verdict}")
    return Outcome(*where, "taken back", f"{serving} serves again")


async def _target_is_bad(request: Request, candidate: Candidate) -> str:
    """Why the revision to go back to should not get traffic; '' if nothing is known against it."""
    if not candidate.before.serving:
        return ""
    judgements = await asyncio.gather(_probed(request, candidate), _measured(request, candidate))
    return escalate(Judgement(Verdict.UNHEALTHY, "the release failed"), combine(judgements)) or ""


async def _probed(request: Request, candidate: Candidate) -> Judgement:
    if not candidate.before.serving_url:
        return Judgement(Verdict.INCONCLUSIVE, "it has no URL of its own")
    health = request.service(candidate.service).health
    headers = await authorization(request.run_service(candidate.service, candidate.region), candidate.service_url)
    probes = await probe_until_clear(candidate.before.serving_url + health.path, health, headers)
    return judge_probes(probes, rules_of(health))


async def _measured(request: Request, candidate: Candidate) -> Judgement:
    """By the requests it served last. Metrics that cannot be had keep no traffic from being given back."""
    end = datetime.now(UTC) - timedelta(seconds=request.settings.slo.metrics_lag_s)
    try:
        found = await served(request, candidate, candidate.before.serving, end - LOOK_BACK, end)
    except GoogleError as error:
        return Judgement(Verdict.INCONCLUSIVE, explain(error).problem)
    return judge_stable(window(found), rules_for(request))


def as_live(before: Snapshot, live: traffic_plan.Live) -> traffic_plan.Live:
    targets = tuple(Target(t.revision, t.percent, t.tag) for t in before.traffic)
    return traffic_plan.Live(targets, before.latest_ready or None, live.ready)
