"""What an environment runs before and after a release: HTTP calls and Cloud Run jobs that must succeed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import takewhile
from typing import Literal, TypeVar

import httpx
from prefect.logging import get_run_logger

from infra.gcp import logs
from infra.gcp.calls.attempts import closed_circuits
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.polling import until
from infra.gcp.run import jobs
from tasks.analysis.tail import in_lines, last_lines
from tasks.failures.cause import Cause
from tasks.failures.errors import NOT_MOVED, HookFailed
from tasks.failures.explain import explain, to_slipway
from tasks.history.ledger import Ledger
from tasks.history.record import ReleaseRecord
from tasks.history.step_record import HookRecord
from tasks.history.store import read_until
from tasks.manifest.shipping import Hook, HttpCall, HttpHook, JobHook
from tasks.model import Request
from tasks.names import resources
from tasks.names.naming import execution_token
from tasks.orchestration.addresses import NETWORKS_VARIABLE, addresses_of, parse_networks, refusal
from tasks.orchestration.pinned import first_of, pinned
from tasks.orchestration.step import step
from tasks.orchestration.tls import trusted

STOP_S = 10.0  # a cancelled run is killed after 30 s
BEGINNINGS = 5  # so often an execution is begun of a job that others change at the same time

When = Literal["before", "after"]
T = TypeVar("T")


async def run_hooks(request: Request, when: When, ledger: Ledger) -> None:
    """The environment's `before` or `after` hooks, one after the other. Raises HookFailed at the first that fails.

    The record keeps each that has succeeded. What has by then is not run again when Prefect starts the run anew under
    the same id; nor is a job of slipway.yaml that had begun when the process died, of which the end is waited for. An
    HTTP call or another job that had begun is, so that those must bear being repeated.
    """
    hooks = request.settings.before if when == "before" else request.settings.after
    if not hooks:
        return
    settings = request.settings
    newest = await read_until(settings.bucket, request.app, request.environment, lambda n: len(attempts(n)) < len(n))
    attempt = named_attempt(request, newest, when)
    done = done_already(newest, [hook.name for hook in hooks], when)
    for each in done:
        get_run_logger().info("hook %s: succeeded in this run at %s, so not again", each.name, each.began.isoformat())
    if done:
        await ledger.hooked(*done)
    for number, hook in enumerate(hooks[len(done) :], len(done)):
        began = datetime.now(UTC)
        execution = await run_hook(request, hook, when, execution_token(attempt, when, number))
        seconds = round((datetime.now(UTC) - began).total_seconds(), 2)
        await ledger.hooked(HookRecord(name=hook.name, when=when, began=began, seconds=seconds, execution=execution))


def attempts(newest: Sequence[ReleaseRecord]) -> list[ReleaseRecord]:
    """The records of this very run, its own first, as long as it shipped the same and nobody else came between."""

    def what(record: ReleaseRecord) -> tuple[str, str, str]:
        return record.run_id, record.version, record.commit

    return list(takewhile(lambda each: what(each) == what(newest[0]), newest))


def named_attempt(request: Request, newest: Sequence[ReleaseRecord], when: When) -> str:
    """What executions are named after: for `before` the first of the run's attempts, whose job may be at work still.

    `after` hooks look at what serves now, so each attempt has its own; and where another release came in between, or
    the run ships another version, what had been done for the earlier one is not what this one needs.
    """
    own = attempts(newest)
    first = [each.started.isoformat() for each in (own[-1:] if when == "before" else own[:1])]
    return "\n".join([request.run_id, *first])


def done_already(newest: Sequence[ReleaseRecord], names: Sequence[str], when: When) -> Sequence[HookRecord]:
    """The first of these hooks that this very run has behind it: its own record is the newest, its last one follows.

    Where another release came in between, or the run ships another version now, none: then what they did may be undone,
    or not be what this one needs. `after` hooks look at what serves, which is not what served then.
    """
    last = attempts(newest)[1:2]
    if when == "after" or not last:
        return ()
    done = [each for each in last[0].hooks if each.when == when]
    return [each for each, _ in takewhile(lambda pair: pair[0].name == pair[1], zip(done, names, strict=False))]


@step("hook", run_name="hook {when}: {hook.name}", timeout_s=7 * 24 * 3600)
async def run_hook(request: Request, hook: Hook, when: When, token: str) -> str:
    """Answers the name of the job's execution, '' for an HTTP call. token: names the execution of a job of ours."""
    if isinstance(hook, HttpHook):
        await _call(hook, when)
        return ""
    try:
        if hook.job.name in request.manifest.jobs:
            return await _execute_own(request, hook, when, token)
        return await _execute(request, hook, when)
    except GoogleError as error:
        raise to_slipway(error, f"The hook {hook.name} ({when} the release)", _state(when)) from error


async def _execute(request: Request, hook: JobHook, when: When) -> str:
    """What has begun is not left running for a release that is over."""
    job = hook.job
    operation = await jobs.start_job(resources.job(request.project, job.region or request.build_region, job.name))
    execution = jobs.execution_of(operation)
    get_run_logger().info("hook %s is %s", hook.name, execution)
    ended = await stopped_early(jobs.ended(operation, job.timeout_s), lambda: _stop(operation))
    await _refuse_unfinished(request.project, hook, when, ended)
    return execution


async def _execute_own(request: Request, hook: JobHook, when: When, token: str) -> str:
    """Of a job that the release has deployed: begun once, however often the run is repeated, and known by its name."""
    if hook.job.name not in request.jobs:
        told = "hook %s: the job %s is not part of what is shipped, so it runs as it was last deployed"
        get_run_logger().warning(told, hook.name, hook.job.name)
    name = request.run_job(hook.job.name)
    execution = jobs.named_execution(name, token)
    get_run_logger().info("hook %s is %s", hook.name, execution)
    started = time.monotonic()

    async def work() -> jobs.Execution:
        await _begin(name, token, hook.job.timeout_s)
        left_s = max(hook.job.timeout_s - (time.monotonic() - started), 1.0)
        return await jobs.ended_execution(execution, left_s)

    ended = await stopped_early(work(), lambda: _stop_named(execution))
    await _refuse_unfinished(request.project, hook, when, ended)
    return execution


async def _begin(name: str, token: str, timeout_s: float) -> None:
    """Whoever changes the job meanwhile has it begun as he left it."""
    for left in reversed(range(BEGINNINGS)):
        job = await jobs.get_job(name)
        if job is None:
            raise GoogleError("run.jobs.get", "NOT_FOUND", f"{name} is not there.")
        try:
            await jobs.begin(job, token, timeout_s)
            return
        except GoogleError as error:
            if error.status != "ABORTED" or not left:
                raise


async def _stop_named(execution: str) -> None:
    """One that is not there yet may be about to come: its beginning is under way."""
    try:
        await until(lambda: jobs.cancel_execution(execution), limit_s=STOP_S, pause_s=1.0)
    except TimeoutError:
        return
    except GoogleError as error:
        get_run_logger().warning("%s may be running still: %s", execution, explain(error).said)


async def _refuse_unfinished(project: str, hook: JobHook, when: When, ended: jobs.Execution) -> None:
    if ended.shortfall:
        *_, job, _, execution = ended.name.split("/")
        said = in_lines(await last_lines(project, job, execution, logs.JOB))
        raise HookFailed(
            f"The hook {hook.name} ({when} the release) did not do all of its work: {ended.shortfall}.{said}",
            f"see in the log of {ended.name} why, or who cancelled it.",
            Cause.OTHER,
            state=_state(when),
        )


async def stopped_early(work: Awaitable[T], stop: Callable[[], Awaitable[None]]) -> T:
    """What the work answers; when it fails or is cancelled, what it had begun is stopped before that goes on."""
    try:
        return await work
    except BaseException:
        with closed_circuits():
            await asyncio.shield(asyncio.ensure_future(stop()))
        raise


async def _stop(operation: jobs.Operation) -> None:
    try:
        async with asyncio.timeout(STOP_S):
            await jobs.cancel(operation)
    except (GoogleError, TimeoutError) as error:
        get_run_logger().warning("%s may be running still: %s", jobs.execution_of(operation), explain(error).said)


async def _call(hook: HttpHook, when: When) -> None:
    """Of the answer only the status counts; what it says stays out of the run, which many can read."""
    call = hook.http
    try:
        async with asyncio.timeout(call.timeout_s):  # httpx's own time-outs are per read, not for the whole answer
            status = await _status(hook, when)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, UnicodeError) as error:
        raise HookFailed(
            f"The hook {hook.name} ({when} the release) got no answer from {host_of(call)} within {call.timeout_s:g} s "
            f"({type(error).__name__}).",
            "see that it answers, or give it more time with `timeout`.",
            Cause.TIMEOUT if isinstance(error, TimeoutError | httpx.TimeoutException) else Cause.NETWORK,
            state=_state(when),
        ) from error
    if status not in call.status:
        raise HookFailed(
            f"The hook {hook.name} ({when} the release) answered {status}.",
            f"see in the log of {host_of(call)} why; accepted are {', '.join(map(str, call.status))}.",
            Cause.OTHER,
            state=_state(when),
        )


def host_of(call: HttpCall) -> str:
    """What of its URL many may read: the rest of a webhook's is often all that it takes to use it."""
    return call.url.partition("://")[2].partition("/")[0].partition("?")[0].rpartition("@")[2]


async def _status(hook: HttpHook, when: When) -> int:
    """The status of the answer of the first address that takes the call, once all of the name's have been checked.

    No proxy of the machine is asked, as it would look the name up itself.
    """
    url = httpx.URL(hook.http.url)
    addresses = await _allowed(hook, when, url)
    timeout = httpx.Timeout(hook.http.timeout_s)
    async with httpx.AsyncClient(verify=trusted(), timeout=timeout, follow_redirects=False, trust_env=False) as client:

        async def status_at(address: str) -> int:
            to = pinned(url, address)
            to["headers"] |= hook.http.headers
            async with client.stream(hook.http.method, **to) as response:
                async for _ in response.aiter_raw():
                    pass
                return response.status_code

        return await first_of(addresses, status_at)


async def _allowed(hook: HttpHook, when: When, url: httpx.URL) -> list[str]:
    """The addresses of the URL's host. HookFailed when one of them may not be reached from here."""
    try:
        allowed = parse_networks(os.environ.get(NETWORKS_VARIABLE, ""))
    except ValueError as error:
        remedy = f"correct {NETWORKS_VARIABLE} on the worker: networks like 10.8.0.0/16, with commas between them."
        raise HookFailed(f"{NETWORKS_VARIABLE}: {error}.", remedy, Cause.INVALID_CONFIG, state=_state(when)) from None
    addresses = await addresses_of(url.host, url.port)
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
