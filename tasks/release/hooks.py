"""What an environment runs before and after a release: HTTP calls and Cloud Run jobs that must succeed."""

from __future__ import annotations

import asyncio
from typing import Literal

import httpx

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import jobs
from tasks.failures.errors import NOT_MOVED, Cause, HookFailed
from tasks.failures.explain import to_slipway
from tasks.manifest.settings import Hook, HttpHook
from tasks.model import Request
from tasks.names import resources
from tasks.orchestration.step import step

When = Literal["before", "after"]


async def run_hooks(request: Request, when: When) -> None:
    """The environment's `before` or `after` hooks, one after the other. Raises HookFailed at the first that fails."""
    for hook in request.settings.before if when == "before" else request.settings.after:
        await run_hook(request, hook, when)


@step("hook", run_name="hook {when}: {hook.name}", timeout_s=7 * 24 * 3600)
async def run_hook(request: Request, hook: Hook, when: When) -> None:
    if isinstance(hook, HttpHook):
        await _call(hook, when)
        return
    job = hook.job
    name = resources.job(request.project, job.region or request.build_region, job.name)
    try:
        await jobs.run_job(name, job.timeout_s)
    except GoogleError as error:
        raise to_slipway(error, f"The hook {hook.name} ({when} the release)", _state(when)) from error


async def _call(hook: HttpHook, when: When) -> None:
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


def _state(when: When) -> str:
    return NOT_MOVED if when == "before" else "The release is being taken back."
