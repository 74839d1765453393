"""What an environment runs before and after a release: HTTP calls and Cloud Run jobs that must succeed."""

from __future__ import annotations

import asyncio
import os
import socket
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
from tasks.release.addresses import NETWORKS_VARIABLE, parse_networks, refusal

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
    """Of the answer only the status counts; what it says stays out of the run, which many can read."""
    call = hook.http
    try:
        async with asyncio.timeout(call.timeout_s):  # httpx's own time-outs are per read, not for the whole answer
            status = await _status(hook, when)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, UnicodeError) as error:
        raise HookFailed(
            f"The hook {hook.name} ({when} the release) got no answer from {call.url} within {call.timeout_s:g} s "
            f"({type(error).__name__}).",
            "see that it answers, or give it more time with `timeout`.",
            Cause.TIMEOUT if isinstance(error, TimeoutError | httpx.TimeoutException) else Cause.NETWORK,
            state=_state(when),
        ) from error
    if status not in call.status:
        raise HookFailed(
            f"The hook {hook.name} ({when} the release) answered {status}.",
            f"see in the log of {call.url} why; accepted are {', '.join(map(str, call.status))}.",
            Cause.OTHER,
            state=_state(when),
        )


async def _status(hook: HttpHook, when: When) -> int:
    """The status of the answer of the first address that takes the call, once all of the name's have been checked.

    The connection goes to the address and not to the name: that could mean another one by then. No proxy of the machine
    is asked, as it would look the name up itself.
    """
    url = httpx.URL(hook.http.url)
    addresses = await _allowed(hook, when, url)
    headers = {"Host": url.netloc.decode(), **hook.http.headers}
    timeout = httpx.Timeout(hook.http.timeout_s)
    async with httpx.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=False) as client:
        for left, address in enumerate(addresses, 1 - len(addresses)):
            try:
                async with client.stream(
                    hook.http.method,
                    url.copy_with(host=address),
                    headers=headers,
                    extensions={"sni_hostname": url.host},
                ) as response:
                    async for _ in response.aiter_raw():
                        pass
                    return response.status_code
            except httpx.ConnectError:
                if not left:
                    raise
    raise OSError("the name has no address")


async def _allowed(hook: HttpHook, when: When, url: httpx.URL) -> list[str]:
    """The addresses of the URL's host. HookFailed when one of them may not be reached from here."""
    try:
        allowed = parse_networks(os.environ.get(NETWORKS_VARIABLE, ""))
    except ValueError as error:
        remedy = f"correct {NETWORKS_VARIABLE} on the worker: networks like 10.8.0.0/16, with commas between them."
        raise HookFailed(f"{NETWORKS_VARIABLE}: {error}.", remedy, Cause.INVALID_CONFIG, state=_state(when)) from None
    found = await asyncio.get_running_loop().getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(place[0]) for *_, place in found))
    if why := refusal(url.host, addresses, allowed):
        raise HookFailed(
            f"The hook {hook.name} ({when} the release) may not call {url.host}: {why}.",
            f"give an address on the internet; or let the operator of the worker allow the network in "
            f"{NETWORKS_VARIABLE}, which metadata servers cannot be.",
            Cause.PERMISSION,
            state=_state(when),
        )
    return addresses


def _state(when: When) -> str:
    return NOT_MOVED if when == "before" else "The release is being taken back."
