"""Services and worker pools until Cloud Run is done with a change, and changes whose answer was lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol, TypeVar

from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.polling import until

SETTLE_POLL_S = 0.5


class Settling(Protocol):
    """What a service and a worker pool have in common while they change."""

    @property
    def name(self) -> str: ...
    @property
    def etag(self) -> str: ...
    @property
    def settled(self) -> bool: ...
    @property
    def ready(self) -> bool: ...
    @property
    def message(self) -> str: ...
    @property
    def reason(self) -> str: ...


S = TypeVar("S", bound=Settling)


async def once_settled(found: S, get: Callable[[str], Awaitable[S | None]], method: str, timeout_s: float) -> S:
    """It, once nothing is reconciling any more. Raises GoogleError DEADLINE_EXCEEDED or NOT_FOUND, of that method."""

    async def look() -> S:
        now = await get(found.name)
        if now is None:
            raise GoogleError(method, "NOT_FOUND", f"{found.name} was deleted meanwhile.")
        return now

    if found.settled:
        return found
    try:
        return await until(look, lambda now: now.settled, limit_s=timeout_s, pause_s=SETTLE_POLL_S)
    except TimeoutError:
        raise GoogleError(method, "DEADLINE_EXCEEDED", f"{found.name} has not settled.") from None


async def written_all_the_same(
    found: S | None, as_asked: bool, etag: str, error: GoogleError, settle: Callable[[S], Awaitable[S]]
) -> S:
    """It, settled, if the change that ended with `error` was made all the same; else raises `error`.

    ABORTED then means what callers take it for, that it has changed since its etag was read: a write that was aborted
    for a reason of Google's own is UNAVAILABLE.
    """
    if found is None or not as_asked:
        if error.status == "ABORTED" and found is not None and found.etag == etag:
            raise replace(error, status="UNAVAILABLE") from error
        raise error
    settled = await settle(found)
    if not settled.ready:
        raise GoogleError(error.method, "FAILED_PRECONDITION", settled.message, reason=settled.reason)
    return settled
