"""Gives traffic back: whatever ends a release early, every service serves what it served before."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.exceptions import Pause
from prefect.logging import get_run_logger

from infra.gcp import monitoring
from infra.gcp.calls.attempts import closed_circuits
from infra.gcp.calls.errors import GoogleError
from infra.gcp.run.traffic import TrafficTarget
from tasks.analysis.metrics import judge_serving, rules_for
from tasks.analysis.probes import probe_service, rules_of
from tasks.analysis.verdict import Judgement, combine, escalate, judge_probes
from tasks.failures.errors import SlipwayError
from tasks.failures.explain import explain
from tasks.history.ledger import Ledger
from tasks.history.record import seen_healthy
from tasks.history.store import read_history
from tasks.model import Candidate, Ending, Outcome, Place, Request, Snapshot, Verdict
from tasks.orchestration.gather import all_of
from tasks.orchestration.retry import repeated
from tasks.rollout import split
from tasks.rollout.live import LiveService, read_live
from tasks.rollout.split import Traffic
from tasks.rollout.traffic import Splits, ask_service, foreign_changes, write_split

LIMIT_S = 25.0  # a cancelled run is killed after 30 s
CAREFUL_LIMIT_S = 120.0  # with the probes of what to go back to
VERIFY_LIMIT_S = 60.0
# Users wait for what the revision to go back to answers: half a minute at most, even if it hangs.
QUICKLY = {"tries": 3, "backoff_min_s": 0.5, "backoff_max_s": 1.0, "samples": 5}
QUICK_TIMEOUT_S = 10.0
PAUSES_S = (0.5, 1.0, 2.0, 4.0)
ALARMING = frozenset({Outcome.FAILED, Outcome.ESCALATED, Outcome.LEFT})  # somebody has to look
LOOK_BACK = timedelta(minutes=5)  # the requests by which the revision to go back to is judged


@asynccontextmanager
async def taken_back_on_failure(
    request: Request,
    candidates: Sequence[Candidate],
    written: Mapping[Place, Splits],
    ledger: Ledger,
) -> AsyncIterator[None]:
    """All or nothing: when the block ends the release stands; when it ends early, all candidates so far give back
    what they have.

    written: the splits that the run may have written last, by place; what others changed is left to them.
    """
    try:
        yield
        await ledger.released()
    except BaseException as error:
        if not isinstance(error, Pause):  # a run that waits for a person goes on later
            careful = isinstance(error, Exception)  # a run that is being cancelled has no time for probes
            with closed_circuits():
                work = [give_back(request, each, written[each.place], careful) for each in candidates]
                await asyncio.shield(asyncio.ensure_future(_take_back(work, ledger, error)))
        raise


async def _take_back(work: Sequence[Coroutine[Any, Any, Ending]], ledger: Ledger, error: BaseException) -> None:
    """All at once; the error that ended the release tells what became of each service."""
    if not work:
        return
    logger, started = get_run_logger(), time.monotonic()
    logger.warning("taking the release back: %s", str(error).partition("\n")[0] or type(error).__name__)
    endings = await all_of(work)
    seconds = max(each.at_s for each in endings) - started
    for each in endings:
        logger.log(logging.ERROR if each.outcome in ALARMING else logging.WARNING, "%s", each)
    logger.info("taken back in %.1f s", seconds)
    if isinstance(error, SlipwayError) and any(each.outcome is not Outcome.UNTOUCHED for each in endings):
        error.state = "\n".join(map(str, endings))
    try:
        await ledger.taken_back(endings, seconds)
    except SlipwayError as unwritten:
        logger.error("the release record does not say so: %s", unwritten.problem)


async def give_back(request: Request, candidate: Candidate, written: Splits, careful: bool) -> Ending:
    """One service, with more than one try; a failure here keeps no other from being taken back.

    careful: what is gone back to is probed before it gets traffic, and the service after it.
    """
    try:
        async with asyncio.timeout(CAREFUL_LIMIT_S if careful else LIMIT_S):
            found = await repeated(lambda: _one(request, candidate, written, careful), PAUSES_S)
    except Exception as error:
        return Ending(candidate.place, Outcome.FAILED, explain(error).problem)
    if careful and found.outcome is Outcome.TAKEN_BACK and candidate.before.serving:
        return replace(found, said=f"{found.said} and {await _verified(request, candidate)}")
    return found


async def _one(request: Request, candidate: Candidate, written: Splits, careful: bool) -> Ending:
    place, serving = candidate.place, candidate.before.serving or "its placeholder"
    live = await read_live(request, place)
    if not any(t.percent for t in (*live.service.traffic, *live.service.live) if t.revision == candidate.revision):
        return Ending(place, Outcome.UNTOUCHED, f"{serving} served all the time")
    if changes := foreign_changes(live.service, written):
        return Ending(place, Outcome.LEFT, f"somebody else has moved its traffic: {'; '.join(changes)}")
    bad = await _why_not(request, candidate, live, candidate.before.serving) if careful else ""
    instead = await _last_seen_healthy(request, candidate) if bad else ""
    if bad and (not instead or await _why_not(request, candidate, live, instead)):
        other = (
            f"{instead}, the last release seen healthy, is no better" if instead else "no other release can take over"
        )
        return Ending(place, Outcome.ESCALATED, f"{bad} and {other}: traffic stays where it is")
    await write_split(live.service, split_back(candidate, live.traffic, instead))
    said = f"{instead}, the last release seen healthy, serves, as {bad}" if bad else f"{serving} serves again"
    return Ending(place, Outcome.TAKEN_BACK, said)


def split_back(candidate: Candidate, now: Traffic, instead: str = "") -> tuple[TrafficTarget, ...]:
    """What was live before the release, or all traffic to the revision that is to serve `instead`."""
    if not instead:
        return split.restore(now, as_live(candidate.before, now))
    return split.restore(now, replace(now, targets=(TrafficTarget(instead, split.ALL),)))


async def _why_not(request: Request, candidate: Candidate, live: LiveService, revision: str) -> str:
    """Why traffic should not go to this revision instead of the candidate; '' if nothing is known against it."""
    if not revision:
        return ""
    if revision not in live.traffic.ready:
        return f"{revision} is gone or not ready"
    judgements = await asyncio.gather(
        _probed(request, candidate, live.service.uri_of(revision)), _measured(request, candidate.place, revision)
    )
    found = combine(judgements)
    bad = escalate(Judgement(Verdict.UNHEALTHY, "the release failed"), found)
    return f"{revision} is unhealthy too ({found.reason})" if bad else ""


async def _last_seen_healthy(request: Request, candidate: Candidate) -> str:
    """For when what served before the release is bad too, as when somebody had deployed it by hand; '' if none is."""
    if candidate.before.serving == candidate.revision:
        return ""  # it was not this release that brought it
    history = await read_history(request.settings.bucket, request.app, request.environment)
    besides = (candidate.revision, candidate.before.serving)
    return seen_healthy(history, candidate.place, besides)


async def _probed(request: Request, candidate: Candidate, url: str) -> Judgement:
    if not url:
        return Judgement(Verdict.INCONCLUSIVE, "it has no URL of its own")
    health = request.service(candidate.place.service).health
    quick = health.model_copy(update={**QUICKLY, "timeout_s": min(health.timeout_s, QUICK_TIMEOUT_S)})
    probes = await probe_service(request.run_service(candidate.place), candidate.service_url, url, quick)
    return judge_probes(probes, rules_of(quick))


async def _measured(request: Request, place: Place, revision: str) -> Judgement:
    """By the requests it served last. Metrics that cannot be had keep no traffic from being given back."""
    end = datetime.now(UTC) - timedelta(seconds=request.settings.slo.metrics_lag_s)
    try:
        found = await monitoring.served(request.run_service(place), revision, end - LOOK_BACK, end)
    except GoogleError as error:
        return Judgement(Verdict.INCONCLUSIVE, explain(error).problem)
    return judge_serving(found, rules_for(request.settings, len(request.services)))


async def _verified(request: Request, candidate: Candidate) -> str:
    """How the service answers now where its users call it."""
    try:
        async with asyncio.timeout(VERIFY_LIMIT_S):
            judgement = await ask_service(request, candidate)
    except Exception as error:
        return f"could not be verified ({explain(error).problem})"
    return f"is {judgement.verdict}" + ("" if judgement.verdict is Verdict.HEALTHY else f" ({judgement.reason})")


def as_live(before: Snapshot, now: Traffic) -> Traffic:
    return Traffic(before.traffic, before.latest_ready or None, now.ready)
