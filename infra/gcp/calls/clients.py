"""How every call to Google is made: official async clients, a deadline each, reads retried, the run's id sent along."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import google.auth
from google.api_core.gapic_v1.client_info import ClientInfo
from google.api_core.retry_async import AsyncRetry
from google.auth.credentials import Credentials, with_scopes_if_required

from infra.gcp.calls.attempts import ONCE, READ, Attempts, attempted, current_caller
from infra.gcp.calls.errors import GoogleError, translated
from infra.gcp.calls.polling import until

__all__ = [
    "ONCE",
    "READ",
    "call",
    "client",
    "current_credentials",
    "delete",
    "finish",
    "read",
    "unless_gone",
    "use_credentials",
]

C = TypeVar("C")

CLIENT_INFO = ClientInfo(user_agent="slipway")
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
OPERATIONS = "operations.get"
FIRST_POLL_S, LONGEST_POLL_S = 0.1, 2.0  # quick at first, so that short operations cost little
NEVER = AsyncRetry(predicate=lambda _: False)  # attempts are counted here alone

_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[type, Any]] = WeakKeyDictionary()
_credentials: Credentials | None = None


def use_credentials(credentials: Credentials | None) -> None:
    """Takes these credentials, or for None Application Default ones, for all clients made from now on."""
    global _credentials
    _credentials = None if credentials is None else _self_signing(with_scopes_if_required(credentials, SCOPES))
    _clients.clear()


def current_credentials() -> Credentials:
    """What calls are made with. Raises GoogleError when there are no credentials.

    Application Default Credentials are read once: to check a key takes 30 ms, and every client would do it again.
    """
    global _credentials
    if _credentials is None:
        with translated("google.auth.default"):
            _credentials = _self_signing(google.auth.default(scopes=SCOPES)[0])
    return _credentials


def _self_signing(credentials: Any) -> Credentials:
    """With a service account's key a token needs no round trip of its own: https://google.aip.dev/auth/4111"""
    with_jwt = getattr(credentials, "with_always_use_jwt_access", None)
    return credentials if with_jwt is None else with_jwt(True)  # type: ignore[no-any-return]


def client(kind: type[C]) -> C:
    """The client of this kind for the running event loop (gRPC channels belong to one loop).

    Raises GoogleError when there are no credentials.
    """
    known = _clients.setdefault(asyncio.get_running_loop(), {})
    if kind not in known:
        known[kind] = kind(credentials=current_credentials(), client_info=CLIENT_INFO)  # type: ignore[call-arg]
    return known[kind]  # type: ignore[no-any-return]


async def call(name: str, method: Callable[..., Awaitable[Any]], request: Any, *, retry: Attempts = ONCE) -> Any:
    """One call to Google; `name` is what errors and circuits call it. Raises GoogleError.

    Pass `retry=READ` only where repeating the call is harmless.
    """
    reason = current_caller().reason

    async def once() -> Any:
        return await method(
            request=request,
            timeout=retry.timeout_s,
            retry=None,
            metadata=(("x-goog-request-reason", reason),) if reason else (),
        )

    return await attempted(name, once, retry)


async def finish(name: str, operation: Any, timeout_s: float) -> Any:
    """Waits for a long-running operation. Raises GoogleError when it fails or runs out of time.

    An error whose `method` is `OPERATIONS` says nothing of the operation, only that it could not be asked.
    """

    async def ended() -> bool:
        return bool(await attempted(OPERATIONS, lambda: operation.done(retry=NEVER), READ))

    try:
        await until(ended, limit_s=timeout_s, pause_s=FIRST_POLL_S, longest_s=LONGEST_POLL_S)
    except TimeoutError:
        late = f"The operation has not ended after {timeout_s:.0f} s."
        raise GoogleError(name, "DEADLINE_EXCEEDED", late) from None
    with translated(name):
        return await operation.result()


async def read(name: str, method: Callable[..., Awaitable[Any]], request: Any) -> Any | None:
    """A repeatable call that answers None when the thing is not there."""
    try:
        return await call(name, method, request, retry=READ)
    except GoogleError as error:
        if error.status == "NOT_FOUND":
            return None
        raise


async def delete(name: str, method: Callable[..., Awaitable[Any]], request: Any, timeout_s: float) -> bool:
    """A deletion that takes a while; False if the thing was gone already."""

    async def work() -> None:
        await finish(name, await call(name, method, request), timeout_s)

    return await unless_gone(work())


async def unless_gone(work: Awaitable[object]) -> bool:
    """Whether it was done; False if what it was to be done to was gone already."""
    try:
        await work
    except GoogleError as error:
        if error.status == "NOT_FOUND":
            return False
        raise
    return True
