"""Moves traffic to a proven set of candidates, step by step, each step kept until it is proven again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from tasks.analysis.verdict import Judgement
from tasks.failures.errors import BEING_GIVEN_BACK, Cause, ProofFailed
from tasks.failures.redact import redact
from tasks.history.ledger import Ledger
from tasks.history.record import StepRecord
from tasks.model import Candidate, Request, Serving, Verdict
from tasks.orchestration.approval import ask
from tasks.orchestration.gather import all_of
from tasks.orchestration.stage import stage
from tasks.rollout.split import Move, NextSplit
from tasks.rollout.traffic import Written, advance, open_to_everyone, verify
from tasks.rollout.watch import Hold, following, share_of, watch


@stage("shift")
async def shift(
    request: Request, candidates: Sequence[Candidate], written: Written, ledger: Ledger
) -> tuple[Serving, ...]:
    """Until each candidate was healthy with all it can get; raises ProofFailed at the first step that is not proven.

    Each step's verdict is kept in the release's record.
    """
    hold: Hold | None = None
    while any(taken.move is not Move.DONE for taken in await _advance_all(request, candidates, written)):
        hold = following(hold, request.settings.bake_s, datetime.now(UTC))
        await _prove_step(request, candidates, written, hold, ledger)
    return await all_of([verify(request, candidate) for candidate in candidates])


@stage("shift")
async def shift_at_once(request: Request, candidates: Sequence[Candidate], written: Written) -> None:
    """All traffic in one step, for revisions that have served before."""
    await all_of([advance(request, each, (), written) for each in candidates])


async def _advance_all(request: Request, candidates: Sequence[Candidate], written: Written) -> list[NextSplit]:
    """One step for all, dependencies before the services that call them."""
    taken: list[NextSplit] = []
    for level in request.manifest.order(request.services):
        chosen = [candidate for candidate in candidates if candidate.place.service in level]
        taken += await all_of([advance(request, each, steps_for(request, each), written) for each in chosen])
        await all_of([open_to_everyone(request, each) for each in chosen])
    return taken


def steps_for(request: Request, candidate: Candidate) -> tuple[int, ...]:
    """The percentages on the way to all traffic; none where nothing of ours serves yet, so nothing is at risk."""
    return request.settings.steps if candidate.before.serving else ()


async def _prove_step(
    request: Request, candidates: Sequence[Candidate], written: Written, hold: Hold, ledger: Ledger
) -> None:
    """Raises ProofFailed unless the step is HEALTHY, or a person takes an unclear one on their own account."""
    moving = [each for each in candidates if steps_for(request, each) and each.before.serving != each.revision]
    if not moving:
        return
    percent = min(share_of(each, written) for each in moving)
    judgement = await watch(request, moving, written, percent, hold)
    await ledger.stepped(_step_record(moving, percent, hold.began, datetime.now(UTC), judgement))
    if judgement.verdict is Verdict.HEALTHY:
        return
    if judgement.verdict is Verdict.INCONCLUSIVE and request.settings.on_inconclusive == "pause":
        limit_s = request.settings.approval_timeout_s
        await ask(_question(request, judgement, percent), f"step-{percent}", limit_s, BEING_GIVEN_BACK)
        return
    raise ProofFailed(
        f"At {percent} % the release is {judgement.verdict}: {judgement.reason}",
        _remedy(request, judgement),
        Cause.OTHER,
        state=f"{BEING_GIVEN_BACK} What became of each service is in the log and the release record.",
    )


def _step_record(
    moving: Sequence[Candidate], percent: int, began: datetime, ended: datetime, judgement: Judgement
) -> StepRecord:
    return StepRecord(
        percent=percent,
        regions=tuple(dict.fromkeys(each.place.region for each in moving)),
        began=began,
        ended=ended,
        verdict=judgement.verdict,
        reason=redact(judgement.reason),
    )


def _remedy(request: Request, judgement: Judgement) -> str:
    if judgement.verdict is Verdict.UNHEALTHY:
        return "look at the service's log for that time, correct it and ship a new version."
    where = f"environments.{request.environment}"
    return f"send more traffic, raise {where}.inconclusive_limit, or set {where}.on_inconclusive to pause."


def _question(request: Request, judgement: Judgement, percent: int) -> str:
    lines = "\n".join(f"- {line}" for line in judgement.evidence)
    return (
        f"**{request.app} -> {request.environment}** has {percent} % of the traffic and the evidence does not suffice: "
        f"{judgement.reason}\n\n{lines}\n\n`go` carries on with the release, `no-go` takes the release back."
    )
