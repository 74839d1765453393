"""One release at a time per app and environment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect import get_client
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError, concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.logging import get_run_logger

from tasks.failures.cause import Cause, Transient
from tasks.failures.errors import PrefectUnavailable, ReleaseBusy
from tasks.model import Request
from tasks.orchestration.retry import repeated

ASKED_AGAIN_AFTER_S = (1.0, 2.0, 4.0)  # besides what Prefect's client does: SQLite turns many away while many runs ask
EMERGENCY_S = 150.0  # until a cancelled run is killed, or was cut off from giving back, and its lease is over
LEASE_S = 60.0  # the shortest that Prefect allows: so long a killed run keeps others waiting
PAUSE_S, LONGEST_PAUSE_S = 0.25, 2.0  # Prefect itself would tell who waits to come again after up to half a minute
NOTING_S = 5.0
MANY = 100  # rollbacks that may be wanted at the same time

T = TypeVar("T")
LetGo = Callable[[], Awaitable[None]]


@asynccontextmanager
async def one_at_a_time(request: Request, patience_s: float | None = None) -> AsyncIterator[LetGo]:
    """Holds the app's slot in this environment; waits for it or raises ReleaseBusy, as the manifest says.

    It is given back when the block ends, or by what is yielded: for what is left to do when others may go on.
    Whoever waits stands back as long as a rollback is wanted.

    patience_s: how long to wait, whatever the manifest says.

    The lease is no fence: a run that lost it may still be writing, so every write is guarded by etag besides.

    Raises PrefectUnavailable if Prefect does not answer.
    """
    if patience_s is None and request.settings.when_busy == "wait":
        patience_s = request.settings.busy_timeout_s
    async with AsyncExitStack() as held:
        await _take(request, held, lambda: _try(request, held, stands_back=True), patience_s)
        yield held.aclose


@asynccontextmanager
async def before_all_others(request: Request, make_way: Callable[[], Awaitable[None]]) -> AsyncIterator[LetGo]:
    """`one_at_a_time` for an emergency: all others that wait stand back. Raises ReleaseBusy, PrefectUnavailable.

    make_way: what is done, again and again, to have the slot free.
    """

    async def work() -> bool:
        await make_way()
        return await _try(request, held, stands_back=False)

    async with AsyncExitStack() as held:
        await _repeated(request, lambda: held.enter_async_context(_wanting(request)))
        await _take(request, held, work, EMERGENCY_S)
        yield held.aclose


async def unless_rollback_wanted(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What the work answers; for whoever has the slot, and can be ended at any moment. Raises ReleaseBusy as soon as a
    rollback is wanted.
    """
    running = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait([running], timeout=LONGEST_PAUSE_S))[0]:
            with suppress(PrefectUnavailable):  # then nobody can ask for one either
                if await _is_rollback_wanted(request):
                    raise _busy(request)
        return running.result()
    finally:
        running.cancel()
        await asyncio.wait([running])


async def is_held(request: Request) -> bool:
    """Whether anybody has the app's slot in this environment, or a rollback waits for it. Raises PrefectUnavailable."""
    return await _is_in_use(request, slot_of(request)) or await _is_rollback_wanted(request)


def slot_of(request: Request) -> str:
    """What the slot is called, and what the run is tagged with that has it."""
    return f"slipway:{request.app}:{request.environment}"


async def _take(
    request: Request, held: AsyncExitStack, work: Callable[[], Awaitable[bool]], patience_s: float | None
) -> None:
    """Raises ReleaseBusy when the slot was not had within that time of being refused first; at once without."""
    until, pause_s = None, PAUSE_S
    while not await _repeated(request, work):
        now = time.monotonic()
        if until is None:
            until = now + (patience_s or 0.0)
            if patience_s:
                get_run_logger().info("%s in %s is busy with another run: waiting", request.app, request.environment)
        if now >= until:
            raise _busy(request)
        await asyncio.sleep(min(pause_s, until - now))
        pause_s = min(pause_s * 1.4, LONGEST_PAUSE_S)
    await held.enter_async_context(_noted(request))


async def _try(request: Request, held: AsyncExitStack, *, stands_back: bool) -> bool:
    """Whether the slot could be had. A rollback may be wanted since, which would wait for whoever has just taken it."""
    if stands_back and await _is_rollback_wanted(request):
        return False
    async with AsyncExitStack() as slot:
        try:
            await slot.enter_async_context(_slot(request, slot_of(request), lost=True))
        except ConcurrencySlotAcquisitionError as error:
            if _is_taken(error):
                return False
            raise
        if stands_back and await _is_rollback_wanted(request):
            return False
        held.push_async_exit(slot.pop_all())
    return True


@asynccontextmanager
async def _wanting(request: Request) -> AsyncIterator[None]:
    """A slot of its own says that a rollback is wanted: its lease ends when the rollback dies."""
    async with _slot(request, _wanted(request), MANY, lost=False):
        yield


@asynccontextmanager
async def _slot(request: Request, name: str, limit: int = 1, *, lost: bool) -> AsyncIterator[None]:
    """Takes it at once or raises ConcurrencySlotAcquisitionError. lost: whether to end the block with the lease."""
    async with get_client() as client:
        with suppress(ObjectAlreadyExists):  # another run that started with this one was first
            await client.upsert_global_concurrency_limit_by_name(name, limit)
    async with concurrency(
        name, strict=True, max_retries=0, lease_duration=LEASE_S, raise_on_lease_renewal_failure=lost
    ):
        yield


@asynccontextmanager
async def _noted(request: Request) -> AsyncIterator[None]:
    """The run is tagged with the slot while it has it: so a rollback finds whom it has to cancel."""
    await _note(request, {slot_of(request)}, set())
    try:
        yield
    finally:
        await _note(request, set(), {slot_of(request)})


async def _note(request: Request, more: set[str], less: set[str]) -> None:
    """Raises nothing that a release would fail by."""
    try:
        async with asyncio.timeout(NOTING_S), get_client() as client:
            run = await client.read_flow_run(UUID(request.run_id))
            await client.update_flow_run(run.id, tags=sorted((set(run.tags) | more) - less))
    except Exception as error:  # whatever Prefect's client says
        why = str(error) or f"no answer in {NOTING_S:g} s"  # a TimeoutError says nothing of itself
        get_run_logger().warning("a rollback may have to wait for this run: it cannot be tagged (%s)", why)


def _wanted(request: Request) -> str:
    return f"{slot_of(request)}:rollback"


async def _is_rollback_wanted(request: Request) -> bool:
    return await _is_in_use(request, _wanted(request))


async def _is_in_use(request: Request, name: str) -> bool:
    async def look() -> bool:
        async with get_client() as client:
            try:
                return bool((await client.read_global_concurrency_limit_by_name(name)).active_slots)
            except ObjectNotFound:  # nobody has asked for it yet
                return False

    return await _answered(request, look)


async def _repeated(request: Request, work: Callable[[], Awaitable[T]]) -> T:
    return await repeated(lambda: _answered(request, work), ASKED_AGAIN_AFTER_S)


async def _answered(request: Request, work: Callable[[], Awaitable[T]]) -> T:
    try:
        return await work()
    except (httpx.HTTPError, ConcurrencySlotAcquisitionError) as error:
        raise _unanswered(request, error) from error


def _is_taken(error: ConcurrencySlotAcquisitionError) -> bool:
    cause = error.__cause__
    return isinstance(cause, httpx.HTTPStatusError) and cause.response.status_code == httpx.codes.LOCKED


def _busy(request: Request) -> ReleaseBusy:
    return ReleaseBusy(
        f"Another run is shipping {request.app} to {request.environment}.",
        f"wait for it to end or cancel it, then start again; environments.{request.environment}.when_busy and "
        "busy_timeout in slipway.yaml decide how long a run waits.",
    )


def _unanswered(request: Request, error: BaseException) -> PrefectUnavailable:
    cause = error.__cause__ or error
    return PrefectUnavailable(
        f"The Prefect server did not say whether another run is shipping {request.app} to {request.environment}: "
        f"{str(cause) or type(cause).__name__}.",
        "look at the Prefect server and its database, then start again.",
        Cause.SERVICE_UNAVAILABLE,
        transient=Transient.YES,
    )
