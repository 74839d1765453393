"""How every call to Google is made: official async clients, a deadline each, reads retried, the run's id sent along."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from google.api_core import exceptions
from google.api_core.gapic_v1.client_info import ClientInfo
from google.api_core.retry import if_exception_type
from google.api_core.retry_async import AsyncRetry
from google.auth.credentials import Credentials

from infra.gcp.errors import GoogleError, translated

C = TypeVar("C")

CALL_TIMEOUT_S = 30.0
CLIENT_INFO = ClientInfo(user_agent="slipway")


class StillRunning(Exception):
    """A long-running operation has not ended yet."""


# The statuses that AIP-194 calls safe to retry, and DEADLINE_EXCEEDED of a single attempt.
TRANSIENT = (exceptions.ServiceUnavailable, exceptions.DeadlineExceeded, exceptions.TooManyRequests)
READ = AsyncRetry(
    predicate=if_exception_type(*TRANSIENT),
    initial=0.25,
    maximum=4.0,
    multiplier=2.0,
    timeout=CALL_TIMEOUT_S,
)
# Polling of long-running operations: quick at first, so that short ones cost little, then every 2 s.
POLL = AsyncRetry(predicate=if_exception_type(StillRunning, *TRANSIENT), initial=0.1, maximum=2.0, multiplier=1.4)

_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[type, Any]] = WeakKeyDictionary()
_credentials: Credentials | None = None
_reason: ContextVar[str] = ContextVar("request_reason", default="")


def use_credentials(credentials: Credentials | None) -> None:
    """Takes these credentials instead of Application Default ones, for all clients made from now on."""
    global _credentials
    _credentials = credentials
    _clients.clear()


def current_credentials() -> Credentials | None:
    return _credentials


@contextmanager
def request_reason(text: str) -> Iterator[None]:
    """Within, every call carries `text` as X-Goog-Request-Reason, which audit logs keep."""
    token = _reason.set(text)
    try:
        yield
    finally:
        _reason.reset(token)


def current_reason() -> str:
    return _reason.get()


def client(kind: type[C]) -> C:
    """The client of this kind for the running event loop (gRPC channels belong to one loop).

    Raises GoogleError when there are no credentials.
    """
    known = _clients.setdefault(asyncio.get_running_loop(), {})
    if kind not in known:
        with translated("google.auth.default"):
            known[kind] = kind(credentials=_credentials, client_info=CLIENT_INFO)  # type: ignore[call-arg]
    return known[kind]  # type: ignore[no-any-return]


async def call(
    name: str,
    method: Callable[..., Awaitable[Any]],
    request: Any,
    *,
    timeout_s: float = CALL_TIMEOUT_S,
    retry: AsyncRetry | None = None,
) -> Any:
    """One call with a deadline; `name` is what errors call it. Raises GoogleError.

    Pass `retry=READ` only where repeating the call is harmless.
    """
    reason = _reason.get()
    with translated(name):
        return await method(
            request=request,
            timeout=timeout_s if retry is None else timeout_s / 2,
            retry=retry,
            metadata=(("x-goog-request-reason", reason),) if reason else (),
        )


async def finish(name: str, operation: Any, timeout_s: float) -> Any:
    """Waits for a long-running operation; its error, and running out of time, are raised as GoogleError."""

    async def ended() -> None:
        if not await operation.done():
            raise StillRunning

    with translated(name):
        await POLL.with_timeout(timeout_s)(ended)()
        return await operation.result()


async def read(name: str, method: Callable[..., Awaitable[Any]], request: Any) -> Any | None:
    """A retried read that answers None when the thing is not there."""
    try:
        return await call(name, method, request, retry=READ)
    except GoogleError as error:
        if error.status == "NOT_FOUND":
            return None
        raise
