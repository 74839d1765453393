"""Gives traffic back: whatever ends a release early, every service serves what it served before."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from prefect.exceptions import Pause
from prefect.logging import get_run_logger

from infra.gcp.calls.attempts import closed_circuits
from infra.gcp.run.traffic import TrafficTarget
from tasks.analysis.probes import asked_for
from tasks.failures.errors import RecordInDoubt, SlipwayError
from tasks.failures.explain import explain
from tasks.history.ledger import Ledger
from tasks.history.record import TargetRecord
from tasks.manifest.settings import Health
from tasks.model import Candidate, Ending, Outcome, Place, Request, Snapshot, Verdict
from tasks.orchestration.gather import all_of
from tasks.orchestration.retry import repeated
from tasks.rollout import split
from tasks.rollout.access import changing, coming, give_access_back
from tasks.rollout.former import PAUSES_S, template_back, written_for
from tasks.rollout.live import LiveService, read_live
from tasks.rollout.sent import Sent, Splits
from tasks.rollout.split import Traffic
from tasks.rollout.suspect import last_seen_healthy, why_not
from tasks.rollout.traffic import ask_service, fence, foreign_changes, routed, write_split
from tasks.rollout.whole import give_whole_back, to_change

LIMIT_S = 25.0  # a cancelled run is killed after 30 s
CANCELS = 20  # of a give-back; more than anybody has the patience for
CLAIM_LIMIT_S = 5.0  # until it is known who has the record
TEMPLATE_LIMIT_S = 4.0  # of it; what is not done by then reconcile does
CAREFUL_LIMIT_S = 120.0  # with the probes of what to go back to
VERIFY_LIMIT_S = 60.0
FOR_A_WHILE = {"tries": 10, "backoff_min_s": 0.5, "backoff_max_s": 2.0}  # well within it, so that a bad answer is told
ALARMING = frozenset({Outcome.FAILED, Outcome.ESCALATED, Outcome.LEFT})  # somebody has to look


@dataclass(frozen=True, slots=True)
class Back:
    """By what traffic was given back, or was to be: nobody may know whether it has arrived."""

    split: tuple[TrafficTarget, ...]
    said: str
    health: Health | None  # what the revision that serves then was proven by


Given: TypeAlias = Mapping[Place, list[Back]]
ButForLater: TypeAlias = Callable[[Sequence[Candidate]], Coroutine[Any, Any, Sequence[Candidate]]]


@asynccontextmanager
async def taken_back_on_failure(
    request: Request,
    before: Sequence[Snapshot],
    candidates: Sequence[Candidate],
    written: Mapping[Place, Splits],
    ledger: Ledger,
    sent: Sent | None = None,
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
    later: ButForLater | None = None,
) -> AsyncIterator[None]:
    """All or nothing: when the block ends the release stands; when it ends early, all candidates so far give back
    what they have.

    before: of all places, also those whose candidate did not come about.
    written: the splits that the run may have written last, by place; what others changed is left to them.
    sent: what else it may have; all that it wants without.
    beside: gives back what else was released; at the same time, as nobody is to wait for probes of services.
    later: leaves to releases that came since what is theirs.
    """
    try:
        yield
        await ledger.released()
    except BaseException as error:
        # a run that waits for a person goes on later
        if (candidates or before) and not (ledger.stands or isinstance(error, Pause | RecordInDoubt)):
            met = [narrowed(each, sent) if sent else each for each in candidates]
            places = {each.place for each in candidates} | {each.place for each in before}
            ledger.owe(list(places), [each.before for each in met])
            given: Given = {each.place: [] for each in candidates}
            with closed_circuits():
                # a run that is being cancelled has no time for probes
                services = partial(_take_back, request, before, met, written, ledger, error, given, later)
                start = partial(_side_by_side, services, beside)
                await in_spite_of_cancels(start, careful=isinstance(error, Exception))
        raise


async def _side_by_side(
    services: Callable[[bool], Coroutine[Any, Any, None]],
    beside: Callable[[], Coroutine[Any, Any, None]] | None,
    careful: bool,
) -> None:
    await all_of([services(careful), *([beside()] if beside else [])])


def narrowed(candidate: Candidate, sent: Sent) -> Candidate:
    """The candidate, as if what its release has not sent had been so before it: somebody may have set it by hand."""
    told, before = sent.of(candidate.place), candidate.before
    callers, fields = changing(candidate) - told, {*to_change(candidate)} - told
    there = None if before.callers is None else {who: x for who, x in before.callers.items() if who not in callers}
    if there is not None:
        there |= dict.fromkeys(coming(candidate) & callers, False)
    whole = {key: value for key, value in before.whole.items() if key not in fields}
    whole |= {key: candidate.whole[key] for key in fields if key in candidate.whole}
    return replace(candidate, before=replace(before, callers=there, whole=whole), unsent=frozenset(callers | fields))


async def in_spite_of_cancels(start: Callable[[bool], Coroutine[Any, Any, None]], *, careful: bool) -> None:
    """Whoever cancels a give-back wants it over soon, and not half done: it begins anew, without what takes long.

    So it does when the event loop ends and cancels all that is under way.
    """
    work = asyncio.ensure_future(start(careful))
    for _ in range(CANCELS):
        try:
            await asyncio.shield(work)
            return
        except asyncio.CancelledError:
            if careful and not work.done():
                work.cancel()
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([work])
            if work.cancelled():
                careful, work = False, asyncio.ensure_future(start(False))


def _dark(
    request: Request, before: Sequence[Snapshot], candidates: Sequence[Candidate], version: str, careful: bool
) -> list[Coroutine[Any, Any, Ending]]:
    """Where a revision may have been written of which nothing came."""
    known = {each.place for each in candidates}
    return [give_template(request, each, version, careful) for each in before if each.place not in known]


async def give_template(request: Request, before: Snapshot, version: str, careful: bool) -> Ending:
    """Where the release has not come to a candidate, its template is all that there may be to give back."""
    ours = written_for(request.run_service(before.place).rpartition("/")[2], version)
    done, said = await _template_back(request, before, ours, careful)
    outcome = Outcome.UNTOUCHED if done else Outcome.FAILED
    return Ending(before.place, outcome, f"{before.serving or 'its placeholder'} served all the time{said}")


async def _take_back(
    request: Request,
    before: Sequence[Snapshot],
    candidates: Sequence[Candidate],
    written: Mapping[Place, Splits],
    ledger: Ledger,
    error: BaseException,
    given: Given,
    later: ButForLater | None,
    careful: bool,
) -> None:
    """All at once; the error that ended the release tells what became of each service."""
    logger, started = get_run_logger(), time.monotonic()
    if ledger.release.action == "rollback":
        await asyncio.wait([asyncio.ensure_future(ledger.claim())], timeout=CLAIM_LIMIT_S)
        if ledger.stands:
            logger.warning("somebody else has finished the rollback: traffic stays where it is")
            return
    logger.warning("taking the release back: %s", in_one_line(error))
    candidates = await later(candidates) if later else candidates
    work = [give_back(request, each, written[each.place], careful, given=given[each.place]) for each in candidates]
    endings = await all_of([*work, *_dark(request, before, candidates, ledger.release.version, careful)])
    seconds = max(each.at_s for each in endings) - started
    for each in endings:
        logger.log(logging.ERROR if each.outcome in ALARMING else logging.WARNING, "%s", each)
    logger.info("taken back in %.1f s", seconds)
    if isinstance(error, SlipwayError) and any(each.outcome is not Outcome.UNTOUCHED for each in endings):
        error.state = "\n".join(map(str, endings))
    await ledger.taken_back(endings, seconds)


def in_one_line(error: BaseException) -> str:
    """Why the release is taken back; a CancelledError says nothing of itself."""
    said = str(error).partition("\n")[0]
    return said or (
        "the run was cancelled, or took too long" if isinstance(error, asyncio.CancelledError) else repr(error)
    )


async def give_back(
    request: Request,
    candidate: Candidate,
    written: Splits,
    careful: bool,
    *,
    doubtful: bool = False,
    given: list[Back] | None = None,
) -> Ending:
    """One service, tried again until its time is over; a failure here keeps no other from being taken back.

    careful: what is gone back to is probed before it gets traffic, and the service after it.
    doubtful: other splits than these may have been written, or still be under way.
    given: by what it was tried before, if it begins anew; what is tried now is added.
    """
    tried = [] if given is None else given
    try:
        async with asyncio.timeout(CAREFUL_LIMIT_S if careful else LIMIT_S):
            found, health = await repeated(
                lambda: _one(request, candidate, written, tried, careful, doubtful), PAUSES_S
            )
    except Exception as error:
        return Ending(candidate.place, Outcome.FAILED, explain(error).said)
    if found.outcome not in (Outcome.UNTOUCHED, Outcome.TAKEN_BACK):
        return found
    done, said = await _template_back(request, candidate.before, lambda name: name == candidate.revision, careful)
    if careful and found.outcome is Outcome.TAKEN_BACK and candidate.before.serving:
        said = f" and {await _verified(request, candidate, health)}{said}"
    return replace(found, outcome=found.outcome if done else Outcome.FAILED, said=found.said + said)


async def _template_back(
    request: Request, before: Snapshot, ours: Callable[[str], bool], careful: bool
) -> tuple[bool, str]:
    limit_s = LIMIT_S if careful else TEMPLATE_LIMIT_S
    return await template_back(request, before, ours, limit_s, "the release's")


async def _one(
    request: Request, candidate: Candidate, written: Splits, tried: list[Back], careful: bool, doubtful: bool
) -> tuple[Ending, Health | None]:
    """With what the revision that serves now was proven by."""
    place, before = candidate.place, candidate.before
    live = await read_live(request, place)
    back = next((each for each in reversed(tried) if not foreign_changes(live.service, (each.split,))), None)
    if back:
        await routed(live.service, back.split)
        return await _given_back(request, candidate, back)
    if not (live.service.asked.get(candidate.revision) or live.service.routed.get(candidate.revision)):
        said = await _untouched(request, candidate, live, written, doubtful)
        return Ending(place, Outcome.UNTOUCHED, said), before.health
    if changes := foreign_changes(live.service, written):
        access = await settings_back(request, candidate)
        said = f"somebody else has moved its traffic: {'; '.join(changes)}{access}"
        return Ending(place, Outcome.LEFT, said), None
    bad = await why_not(request, candidate, live, before.serving, before.health) if careful else ""
    instead = await last_seen_healthy(request, candidate) if bad else None
    if bad and (instead is None or await why_not(request, candidate, live, instead.revision, instead.proven_by)):
        return Ending(place, Outcome.ESCALATED, f"{bad} and {_no_better(instead)}: traffic stays where it is"), None
    said = f"{instead.revision}, the last release seen healthy, serves, as {bad}" if instead else ""
    back = Back(
        split_back(candidate, live.traffic, instead.revision if instead else ""),
        said or f"{before.serving or 'its placeholder'} serves again",
        instead.proven_by if instead else before.health,
    )
    tried.append(back)
    await write_split(live.service, back.split)
    return await _given_back(request, candidate, back)


async def _given_back(request: Request, candidate: Candidate, back: Back) -> tuple[Ending, Health | None]:
    said = back.said + await settings_back(request, candidate)
    return Ending(candidate.place, Outcome.TAKEN_BACK, said), back.health


async def settings_back(request: Request, candidate: Candidate) -> str:
    """What is said of the service and not of a revision, in words."""
    return await give_access_back(request, candidate) + await give_whole_back(request, candidate)


async def _untouched(request: Request, candidate: Candidate, live: LiveService, written: Splits, doubtful: bool) -> str:
    """Nothing to give back. A write of ours that is still under way is kept from arriving later, and if Cloud Run has
    told what was before our last one, the fence meets that.
    """
    access = ""
    if doubtful or written != (candidate.split,):
        await fence(live.service)
        access = await settings_back(request, candidate)
    return f"{candidate.before.serving or 'its placeholder'} served all the time{access}"


def _no_better(instead: TargetRecord | None) -> str:
    if instead is None:
        return "no other release can take over"
    return f"{instead.revision}, the last release seen healthy, is no better"


def split_back(candidate: Candidate, now: Traffic, instead: str = "") -> tuple[TrafficTarget, ...]:
    """What was live before the release, or all traffic to the revision that is to serve `instead`."""
    if not instead:
        return split.restore(now, as_live(candidate.before, now))
    return split.all_to(now, instead).targets


async def _verified(request: Request, candidate: Candidate, health: Health | None) -> str:
    """How the service answers now where its users call it. health: what the revision that serves was proven by."""
    try:
        async with asyncio.timeout(VERIFY_LIMIT_S):
            judgement = await ask_service(request, candidate, asked_for(request, candidate.place, health), FOR_A_WHILE)
    except Exception as error:
        return f"could not be verified ({explain(error).said})"
    return f"is {judgement.verdict}" + ("" if judgement.verdict is Verdict.HEALTHY else f" ({judgement.reason})")


def as_live(before: Snapshot, now: Traffic) -> Traffic:
    return Traffic(before.traffic, before.latest_ready or None, now.ready)
