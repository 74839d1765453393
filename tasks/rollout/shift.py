"""Moves traffic to a proven set of candidates, step by step, each step kept until it is proven again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from tasks.analysis.verdict import Judgement
from tasks.failures.cause import Cause
from tasks.failures.errors import BEING_GIVEN_BACK, ProofFailed
from tasks.failures.redact import redact
from tasks.history.ledger import Ledger
from tasks.history.step_record import StepRecord
from tasks.model import Candidate, Request, Serving, Verdict
from tasks.orchestration.approval import ask
from tasks.orchestration.gather import all_of
from tasks.orchestration.stage import stage
from tasks.rollout.access import coming, leaving, set_access
from tasks.rollout.former import take_template_along
from tasks.rollout.sent import Sent, Written, begin
from tasks.rollout.split import ALL, Move, NextSplit
from tasks.rollout.traffic import advance, verify
from tasks.rollout.watch import Hold, following, share_of, watch
from tasks.rollout.whole import set_whole


@stage("shift")
async def shift(
    request: Request, candidates: Sequence[Candidate], written: Written, sent: Sent, ledger: Ledger
) -> tuple[Serving, ...]:
    """Until each candidate was healthy with all it can get; raises ProofFailed at the first step that is not proven.

    Each step's verdict is kept in the release's record.
    """
    hold: Hold | None = None
    while True:
        moved = await _advance_all(request, candidates, written, sent)
        if all(each.move is Move.DONE for each in moved):
            break
        hold = following(hold, request.settings.bake_s, datetime.now(UTC))
        watched = await _prove_step(request, candidates, written, hold, ledger)
        if not watched and all(map(has_all, moved)):
            break  # no time has passed in which anything could have become of it
    # one that does not answer has users: nobody waits for the others
    return await all_of([verify(request, candidate) for candidate in candidates], stop_on_failure=True)


@stage("shift")
async def shift_at_once(request: Request, candidates: Sequence[Candidate], written: Written, sent: Sent) -> None:
    """All traffic in one step, for revisions that have served before; who may call is as it was with them.

    But a door that was closed then closes by `close_as_then`: it may be the way by which the service is verified.
    """
    await all_of([advance(request, each, None, written) for each in candidates])
    await all_of([set_access(request, each, sent) for each in candidates])
    await all_of([set_whole(request, each, sent, rest=False) for each in candidates])


async def close_as_then(request: Request, candidates: Sequence[Candidate], sent: Sent) -> None:
    """What is left to set of services that are verified, and what other tools build on."""
    await all_of([set_whole(request, each, sent, opens=False) for each in candidates])
    await all_of([take_template_along(request, each) for each in candidates])


async def _advance_all(
    request: Request, candidates: Sequence[Candidate], written: Written, sent: Sent
) -> list[NextSplit]:
    """One step for all, dependencies before the services that call them.

    While two revisions share the traffic, those may call who may call either: a door closes before the first request
    goes to a candidate that wants it closed, and opens when nothing else serves any more.
    """
    taken: list[NextSplit] = []
    for level in request.manifest.order(request.services):
        chosen = [candidate for candidate in candidates if candidate.place.service in level]
        closing = [each for each in chosen if leaving(each)]
        begin(written, [each.place for each in closing])
        await all_of([set_access(request, each, sent, serves=False) for each in closing])
        moved = await all_of([advance(request, each, steps_for(request, each), written) for each in chosen])
        arrived = [each for each, split in zip(chosen, moved, strict=True) if has_all(split)]
        await all_of([set_access(request, each, sent) for each in arrived if coming(each)])
        await all_of([set_whole(request, each, sent, opens=each in arrived) for each in chosen])
        taken += moved
    return taken


def has_all(taken: NextSplit) -> bool:
    """Whether the candidate has all the traffic that it can get."""
    return taken.move is Move.DONE or taken.percent == ALL


def steps_for(request: Request, candidate: Candidate) -> tuple[int, ...]:
    """The percentages on the way to all traffic; none where nothing of ours serves yet, so nothing is at risk."""
    return request.settings.steps if candidate.before.serving else ()


async def _prove_step(
    request: Request, candidates: Sequence[Candidate], written: Written, hold: Hold, ledger: Ledger
) -> bool:
    """Whether there was anything to watch: what moves at once is not.

    Raises ProofFailed unless the step is HEALTHY, or a person takes an unclear one on their own account.
    """
    moving = [each for each in candidates if steps_for(request, each) and each.before.serving != each.revision]
    if not moving:
        return False
    percent = min(share_of(each, written) for each in moving)
    judgement = await watch(request, moving, written, percent, hold)
    await ledger.stepped(_step_record(moving, percent, hold.began, datetime.now(UTC), judgement))
    if judgement.verdict is Verdict.HEALTHY:
        return True
    if judgement.verdict is Verdict.INCONCLUSIVE and request.settings.on_inconclusive == "pause":
        limit_s = request.settings.approval_timeout_s
        question = _question(request, judgement, percent, _regions(moving))
        await ask(question, f"step-{percent}", limit_s, BEING_GIVEN_BACK)
        return True
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
        regions=_regions(moving),
        began=began,
        ended=ended,
        verdict=judgement.verdict,
        reason=redact(judgement.reason),
    )


def _remedy(request: Request, judgement: Judgement) -> str:
    if judgement.verdict is Verdict.UNHEALTHY:
        return "look at the service's log for that time, correct it and ship a new version."
    where = f"environments.{request.environment}"
    if request.settings.on_inconclusive == "probe":
        return f"wait longer ({where}.inconclusive_limit), or set {where}.on_inconclusive to pause and decide yourself."
    return (
        f"send more traffic, raise {where}.inconclusive_limit, or set {where}.on_inconclusive to probe (few users are "
        "no reason to go back) or pause (you decide)."
    )


def _regions(moving: Sequence[Candidate]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.place.region for each in moving))


def _question(request: Request, judgement: Judgement, percent: int, regions: Sequence[str]) -> str:
    lines = "\n".join(f"- {line}" for line in judgement.evidence)
    return (
        f"**{request.app} -> {request.environment}** has {percent} % of the traffic in {', '.join(regions)}, and the "
        f"evidence does not suffice: {judgement.reason}\n\n{lines}\n\n`go` carries on with the release, `no-go` takes "
        "it back."
    )
