"""A rollback that has moved traffic, and cannot do the rest for a while: reconcile finishes it, nobody undoes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

from infra.gcp.calls.attempts import closed_circuits
from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import services
from tasks.analysis.proof import unproven
from tasks.failures.cause import Cause, Transient
from tasks.failures.errors import NotReconciled, RecordInDoubt
from tasks.failures.explain import explain
from tasks.model import Candidate, Place, Proof, Request, Verdict
from tasks.orchestration.gather import all_of
from tasks.rollout.sent import Written

LOOK_S = 10.0  # for what has moved


def passes(error: Exception) -> bool:
    """Whether it says nothing against what is gone back to: something does not answer, or takes too long."""
    found = explain(error)
    return isinstance(error, TimeoutError) or found.transient is not Transient.NO or found.cause is Cause.TIMEOUT


@asynccontextmanager
async def finished_later(
    request: Request, version: str, candidates: Sequence[Candidate], written: Written
) -> AsyncIterator[None]:
    """Within, traffic moves back to the version. Once any has, what passes undoes nothing of it: raises RecordInDoubt,
    so that the record stays open.
    """
    try:
        yield
    except Exception as error:
        if not passes(error):
            raise
        with closed_circuits():
            moved = await all_of([_has_moved(request, each, written) for each in candidates])
        there = [str(each.place) for each, has in zip(candidates, moved, strict=True) if has]
        if not there:
            raise
        found = explain(error)
        raise RecordInDoubt(
            f"The rollback to {version} has moved traffic, and cannot be finished now: {found.said}",
            "reconcile finishes it by itself when that has passed; or start the rollback once more.",
            found.cause,
            found.link,
            f"{version} has the traffic of {', '.join(there)}, and keeps it.",
        ) from error


async def _has_moved(request: Request, candidate: Candidate, written: Written) -> bool:
    """As the service says; where it does not, as far as this run knows."""
    before = {t.revision or candidate.before.latest_ready: t.percent for t in candidate.before.traffic if t.percent}
    try:
        async with asyncio.timeout(LOOK_S):
            service = await services.get_service(request.run_service(candidate.place))
    except (GoogleError, TimeoutError):
        return len(written[candidate.place]) == 1 and written[candidate.place] != (candidate.split,)
    return service is not None and service.asked.get(candidate.revision, 0) > before.get(candidate.revision, 0)


def refuse_unproven_elsewhere(proofs: Sequence[Proof], serving: Collection[Place]) -> None:
    """Raises NotReconciled where what is gone back to is unproven only in places that have none of its traffic, as in
    a region that is away: where it serves, nobody is served better by what it came from.
    """
    bad = [each for each in proofs if each.verdict is not Verdict.HEALTHY]
    if bad and not any(each.place in serving for each in bad):
        raise NotReconciled(
            "\n".join(map(unproven, bad)),
            "start the rollback once more when it answers there, or ship a version that mends what is bad.",
            Cause.SERVICE_UNAVAILABLE,
            state="What has gone back stays; what has not is as the dead run left it.",
            transient=Transient.MAYBE,
        )
