"""What may hold a release back: freeze windows, and people."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from time import monotonic

from prefect.logging import get_run_logger

from tasks.failures.errors import NOT_MOVED, Frozen, NotApproved
from tasks.history.record import Approval, ReleaseRecord
from tasks.history.run import NOBODY_SAYS, who_started
from tasks.manifest.environment import Environment
from tasks.model import Candidate, Override, Proof, Request
from tasks.names.tags import STARTED_BY
from tasks.orchestration.approval import Decision, ask
from tasks.release.freeze import frozen_at
from tasks.rollout.changes import changes, lines

MOST_SHOWN = 20  # changed settings in a question
_MAIL = re.compile(r"[^\s<>()\"',;]+@[^\s<>()\"',;]+")
NAMES_ARE_SAID = "Who started it and who answers is what they say of themselves: Prefect does not check it."


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
    )


async def refuse_held_back(request: Request, override: Override | None) -> None:
    """What is known before a run does anything: `refuse_frozen` now, and `refuse_nameless`."""
    refuse_frozen(request.settings, override, datetime.now(UTC))
    await refuse_nameless(request)


async def refuse_nameless(request: Request) -> None:
    """Raises NotApproved where somebody else must agree, and nobody says who it is that starts the release.

    Prefect's own server knows nobody: it tells runs that an automation or a schedule has started, and no people.
    """
    if request.settings.approval == "another":
        _refuse_unknown(request, await who_started(request.run_id))


def _refuse_unknown(request: Request, trigger: str) -> None:
    if trigger == NOBODY_SAYS:
        raise NotApproved(
            f"In {request.environment} somebody else than who starts a release must agree to it, and nobody knows who "
            "has started this one: Prefect does not tell.",
            f"start it with the slipway command, which says who you are, or over the API with the label {STARTED_BY}.",
        )


def same_person(one: str, other: str) -> bool:
    """Whether two names may be one person's: alike but for case and spaces, or one is of the other's e-mail."""
    return bool(_names(one) & _names(other))


def _names(said: str) -> set[str]:
    text = " ".join(said.casefold().split())
    mails = _MAIL.findall(text)
    alone = _MAIL.sub("", text).strip(" <>()\"'")
    return {text, *mails, *(mail.partition("@")[0] for mail in mails)} | ({alone} if alone else set())


Asking = Callable[[str, str, float, str], Awaitable[Decision]]


async def approval(
    request: Request,
    candidates: Sequence[Candidate],
    proofs: Sequence[Proof],
    release: ReleaseRecord,
    asking: Asking = ask,
) -> Approval | None:
    """A person's, where the environment requires it: asked for with the evidence so far. Raises NotApproved."""
    if request.settings.approval == "none":
        return None
    if request.settings.approval == "another":
        _refuse_unknown(request, release.trigger)
    question, until = _question(request, candidates, proofs, release), monotonic() + request.settings.approval_timeout_s
    answer = await asking(question, "approval", request.settings.approval_timeout_s, NOT_MOVED)
    times = 1
    while request.settings.approval == "another" and same_person(answer.who, release.trigger):
        times += 1
        again = f"{answer.who} has started this release: **somebody else must agree to it**.\n\n{question}"
        answer = await asking(again, f"approval-{times}", max(1.0, until - monotonic()), NOT_MOVED)
    return Approval(who=answer.who, decision=answer.decision, reason=answer.why, when=datetime.now(UTC))


def _question(
    request: Request, candidates: Sequence[Candidate], proofs: Sequence[Proof], release: ReleaseRecord
) -> str:
    urls = {candidate.place: candidate.url for candidate in candidates}
    rows = "\n".join(
        f"| {proof.place.service} | {proof.place.region} | {urls.get(proof.place) or '-'} | {proof.verdict} "
        f"| {proof.p50_ms or '-'} | {proof.p95_ms or '-'} |"
        for proof in proofs
    )
    return (
        f"**{request.app} {release.version} -> {request.environment}** has no traffic yet and is proven.\n\n"
        f"Commit `{release.commit[:12]}`, started by {release.trigger}.\n\n"
        f"| service | region | look at it | verdict | p50 ms | p95 ms |\n|---|---|---|---|---|---|\n{rows}\n\n"
        f"{_differences(candidates)}\n\n"
        "`go` moves traffic to it, `no-go` leaves everything as it is. "
        f"{NAMES_ARE_SAID}"
    )


def _differences(candidates: Sequence[Candidate]) -> str:
    """What of the settings is not as before, as far as there is room."""
    found = [
        f"- {candidate.place}: {line.removeprefix('changes ')}"
        for candidate in candidates
        if candidate.template and candidate.before.config
        for line in lines(changes(candidate.before.config, candidate.template, candidate.before.whole, candidate.whole))
        if line.startswith("changes ")
    ]
    more = [f"- and {len(found) - MOST_SHOWN} more, which the log has"] if len(found) > MOST_SHOWN else []
    return "\n".join(["What changes:", "", *found[:MOST_SHOWN], *more]) if found else "No setting changes."
