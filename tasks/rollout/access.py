"""Who may call a service: whom slipway.yaml lets in, once it is proven, and as before when the release does not stand.

Whom a release of ours has let in goes when slipway.yaml says so no more; whom others have let in stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial

from prefect.logging import get_run_logger

from infra.gcp.run import access, services
from infra.gcp.run.members import EVERYONE
from tasks.failures.errors import BEING_GIVEN_BACK
from tasks.history.record import let_in
from tasks.model import Candidate, Request
from tasks.orchestration.step import step
from tasks.rollout.sent import Sent

NOBODY: frozenset[str] = frozenset()
_ALL = frozenset({EVERYONE})


@step("set who may call", run_name="set who may call {candidate.place}", attempts=3, state=BEING_GIVEN_BACK)
async def set_access(request: Request, candidate: Candidate, sent: Sent, *, serves: bool = True) -> None:
    """serves: whether nothing else does; until then nobody new is let in. sent: is told for whom that is a change."""
    place, name = candidate.place, request.run_service(candidate.place)
    come, go = coming(candidate) if serves else NOBODY, leaving(candidate)
    if EVERYONE in come:
        service, there = await asyncio.gather(services.get_service(name), access.invokers(name))
        # one that asks nobody is open, and an organisation policy may forbid to say so once more
        come -= _ALL if EVERYONE in there or (service and service.unchecked) else NOBODY
    if not (come or go):
        return
    changed = await access.let_in(name, come, go, before=partial(sent.add, place))
    for who, told in ((changed & come, "may be called by %s now"), (changed & go, "may not be called by %s any more")):
        if who:
            get_run_logger().info(f"%s {told}", place, in_words(who))


def in_words(members: Collection[str]) -> str:
    return ", ".join("everyone" if each == EVERYONE else each for each in sorted(members))


def coming(candidate: Candidate) -> frozenset[str]:
    """Whom it lets in, be they in already or not."""
    return (_ALL if candidate.public else NOBODY) | (candidate.invokers or NOBODY)


def leaving(candidate: Candidate) -> frozenset[str]:
    """Whom an earlier release has let in, and this one does not."""
    ours = let_in(candidate.before)
    closed = ours & _ALL if candidate.public is False else NOBODY
    return closed | (NOBODY if candidate.invokers is None else ours - _ALL - candidate.invokers)


def changing(candidate: Candidate) -> frozenset[str]:
    """For whom `set_access` makes a difference, where it is known who could call before the release."""
    there = candidate.before.callers
    return NOBODY if there is None else (coming(candidate) - there.keys()) | leaving(candidate)


async def give_access_back(request: Request, candidate: Candidate) -> str:
    """As it was before the release, in words; '' where the release cannot have changed it.

    The policy is written even if it is as it should be: a change of ours that is still under way then comes too late.
    """
    name, said = request.run_service(candidate.place), ""
    if touched := changing(candidate):
        there = touched & (candidate.before.callers or {}).keys()
        changed = await access.let_in(name, there, touched - there, always=True)
        said = f", open to {'everyone' if EVERYONE in there else 'its callers'} as before" if changed else ""
    if by_others := coming(candidate) & candidate.unsent:
        stay = by_others & await access.invokers(name)
        said += f", open to {in_words(stay)} by somebody else, which stays" if stay else ""
    return said
