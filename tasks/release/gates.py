"""What may hold a release back: freeze windows, and people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from prefect.logging import get_run_logger

from tasks.failures.errors import NOT_MOVED, Frozen
from tasks.history.ledger import Ledger
from tasks.history.record import Approval
from tasks.manifest.settings import Environment
from tasks.model import Override, Proof, Request
from tasks.orchestration.approval import ask
from tasks.release.freeze import frozen_at


def refuse_frozen(environment: Environment, override: Override | None, now: datetime) -> None:
    """Raises Frozen inside a freeze window of the environment, unless somebody overrides it. now: aware.

    Asked before a run does anything, and again before traffic moves: in between it may have waited for days.
    """
    freeze = frozen_at(now, environment.freeze)
    if freeze is None:
        return
    if override:
        get_run_logger().warning("%s is %s; overridden by %s", environment.name, freeze, override)
        return
    raise Frozen(
        f"{environment.name} is {freeze}.",
        "start the run after that, or fill in `override` with your name and reason.",
        state=NOT_MOVED,
    )


async def approved(request: Request, proofs: Sequence[Proof], ledger: Ledger) -> None:
    """Asks for approval where the environment requires it, with the evidence so far; the answer is recorded."""
    if request.settings.approval == "none":
        return
    answer = await ask(_question(request, proofs, ledger), "approval", request.settings.approval_timeout_s, NOT_MOVED)
    when = datetime.now(UTC)
    await ledger.approved(Approval(who=answer.who, decision=answer.decision, reason=answer.why, when=when))


def _question(request: Request, proofs: Sequence[Proof], ledger: Ledger) -> str:
    rows = "\n".join(
        f"| {proof.place.service} | {proof.place.region} | {proof.verdict} | {proof.p50_ms or '-'} "
        f"| {proof.p95_ms or '-'} |"
        for proof in proofs
    )
    return (
        f"**{request.app} {ledger.release.version} -> {request.environment}** has no traffic yet and is proven.\n\n"
        f"| service | region | verdict | p50 ms | p95 ms |\n|---|---|---|---|---|\n{rows}\n\n"
        "`go` moves traffic to it, `no-go` leaves everything as it is."
    )
