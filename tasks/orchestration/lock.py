"""One release at a time per app and environment."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import httpx
from prefect import get_client
from prefect.concurrency.asyncio import (
    AcquireConcurrencySlotTimeoutError,
    ConcurrencySlotAcquisitionError,
    concurrency,
)
from prefect.exceptions import ObjectAlreadyExists
from prefect.logging import get_run_logger

from tasks.failures.errors import Cause, PrefectUnavailable, ReleaseBusy, Transient
from tasks.model import Request
from tasks.orchestration.retry import repeated

ASKED_AGAIN_AFTER_S = (1.0, 2.0, 4.0)  # besides what Prefect's client does: SQLite turns many away while many runs ask
LEASE_S = 60.0  # the shortest that Prefect allows: so long a killed run keeps others waiting


@asynccontextmanager
async def one_at_a_time(request: Request, patience_s: float | None = None) -> AsyncIterator[None]:
    """Holds the app's slot in this environment; waits for it or raises ReleaseBusy, as the manifest says.

    patience_s: how long to wait, whatever the manifest says.

    The lease is no fence: a run that lost it may still be writing, so every write is guarded by etag besides.

    Raises PrefectUnavailable if Prefect does not answer.
    """
    if patience_s is None and request.settings.when_busy == "wait":
        patience_s = request.settings.busy_timeout_s
    until = None if patience_s is None else time.monotonic() + patience_s
    async with AsyncExitStack() as held:
        await repeated(lambda: _take(request, held, until), ASKED_AGAIN_AFTER_S)
        yield


async def _take(request: Request, held: AsyncExitStack, until: float | None) -> None:
    """Waits until then; does not wait if it is None."""
    name = f"slipway:{request.app}:{request.environment}"
    if await _is_in_use(name, request) and until:
        get_run_logger().info("%s in %s is busy with another run: waiting", request.app, request.environment)
    slot = concurrency(
        name,
        strict=True,
        timeout_seconds=until and max(until - time.monotonic(), 0),
        max_retries=None if until else 0,
        lease_duration=LEASE_S,
        raise_on_lease_renewal_failure=True,
    )
    try:
        await held.enter_async_context(slot)
    except AcquireConcurrencySlotTimeoutError as error:
        raise _busy(request) from error
    except ConcurrencySlotAcquisitionError as error:
        raise _busy(request) if _is_taken(error) else _unanswered(request, error) from error


async def _is_in_use(name: str, request: Request) -> bool:
    try:
        async with get_client() as client:
            with suppress(ObjectAlreadyExists):  # another run that started with this one was first
                await client.upsert_global_concurrency_limit_by_name(name, 1)
            return bool((await client.read_global_concurrency_limit_by_name(name)).active_slots)
    except httpx.HTTPError as error:
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
