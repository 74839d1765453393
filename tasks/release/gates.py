"""What may hold a release back: freeze windows, people, and hooks before and after."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import httpx
from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict, Field

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import jobs
from tasks.failures.errors import NOT_MOVED, Cause, Frozen, HookFailed
from tasks.failures.explain import to_slipway
from tasks.history.record import Ledger
from tasks.manifest.settings import Hook, HttpHook
from tasks.model import Proof, Request
from tasks.names import resources
from tasks.orchestration.approval import Decision, ask
from tasks.orchestration.step import step
from tasks.release.freeze import frozen_at


class Override(BaseModel):
    """A person's decision against a safeguard; it goes into the release record."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    who: str = Field(min_length=2, max_length=100, description="Your name or e-mail.")
    why: str = Field(min_length=5, max_length=1000, description="Why the safeguard does not hold this time.")

    def __str__(self) -> str:
        return f"{self.who}: {self.why}"


def refuse_frozen(request: Request, override: Override | str | None) -> None:
    """Raises Frozen inside a freeze window of the environment, unless somebody overrides it.

    Asked before a run does anything, and again before traffic moves: in between it may have waited for days.
    """
    freeze = frozen_at(datetime.now(UTC), request.settings.freeze)
    if freeze is None:
        return
    if override:
        get_run_logger().warning("%s is %s; overridden by %s", request.environment, freeze, override)
        return
    raise Frozen(
        f"{request.environment} is {freeze}.",
        "start the run after that, or fill in `override` with your name and reason.",
        state=NOT_MOVED,
    )


async def approved(request: Request, proofs: tuple[Proof, ...], ledger: Ledger) -> Decision | None:
    """Asks for approval where the environment requires it, with the evidence so far; the answer is recorded."""
    if request.settings.approval == "none":
        return None
    answer = await ask(_question(request, proofs, ledger), "approval", request.settings.approval_timeout_s, NOT_MOVED)
    await ledger.note(approval=f"{answer.who}: {answer.decision}, {answer.why or 'no reason given'}")
    return answer


def _question(request: Request, proofs: tuple[Proof, ...], ledger: Ledger) -> str:
    rows = "\n".join(
        f"| {p.service} | {p.region} | {p.verdict} | {p.p50_ms or '-'} | {p.p95_ms or '-'} |" for p in proofs
    )
    return (
        f"**{request.app} {ledger.release.version} -> {request.environment}** has no traffic yet and is proven.\n\n"
        f"| service | region | verdict | p50 ms | p95 ms |\n|---|---|---|---|---|\n{rows}\n\n"
        "`go` moves traffic to it, `no-go` leaves everything as it is."
    )


async def run_hooks(request: Request, when: str) -> None:
    """The environment's `before` or `after` hooks, one after the other. Raises HookFailed at the first that fails."""
    for hook in request.settings.before if when == "before" else request.settings.after:
        await run_hook(request, hook, when)


@step("hook", run_name="hook {when}: {hook.name}", timeout_s=7 * 24 * 3600)
async def run_hook(request: Request, hook: Hook, when: str) -> None:
    if isinstance(hook, HttpHook):
        await _call(hook, when)
        return
    job = hook.job
    name = resources.job(request.project, job.region or request.build_region, job.name)
    try:
        await jobs.run_job(name, job.timeout_s)
    except GoogleError as error:
        raise to_slipway(error, f"The hook {hook.name} ({when} the release)", _state(when)) from error


async def _call(hook: HttpHook, when: str) -> None:
    call = hook.http
    try:
        async with (
            asyncio.timeout(call.timeout_s),  # httpx's own time-outs are per read, not for the whole answer
            httpx.AsyncClient(timeout=call.timeout_s, follow_redirects=False) as client,
        ):
            response = await client.request(call.method, str(call.url), headers=call.headers)
    except (httpx.HTTPError, TimeoutError) as error:
        raise HookFailed(
            f"The hook {hook.name} ({when} the release) got no answer from {call.url} within {call.timeout_s:g} s "
            f"({type(error).__name__}).",
            "see that it answers, or give it more time with `timeout`.",
            Cause.TIMEOUT if isinstance(error, TimeoutError | httpx.TimeoutException) else Cause.NETWORK,
            state=_state(when),
        ) from error
    if response.status_code not in call.status:
        raise HookFailed(
            f"The hook {hook.name} ({when} the release) answered {response.status_code}: {response.text[:300]}",
            f"correct what {call.url} complains of; accepted are {', '.join(map(str, call.status))}.",
            Cause.OTHER,
            state=_state(when),
        )


def _state(when: str) -> str:
    return NOT_MOVED if when == "before" else "The release is being taken back."
