"""Waiting for what others do: the one way to look again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying
from tenacity.retry import retry_if_result
from tenacity.wait import wait_exponential

T = TypeVar("T")


async def until(
    look: Callable[[], Awaitable[T]],
    done: Callable[[T], bool] = bool,
    *,
    limit_s: float,
    pause_s: float,
    longest_s: float = 0.0,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """What is seen once it is `done`; TimeoutError after `limit_s`, and at once whatever `look` raises.

    The pause between two looks is `pause_s`; it grows to `longest_s` if that is more, by a tenth each time: so it is
    about a tenth of what has been waited already, and nothing is seen much later than it has come about.
    """

    async def seen() -> T:  # tenacity awaits only what is declared as async, no lambda
        return await look()

    looks = AsyncRetrying(
        retry=retry_if_result(lambda found: not done(found)),
        wait=wait_exponential(multiplier=pause_s, exp_base=1.1, max=max(pause_s, longest_s)),
        sleep=sleep,
    )
    async with asyncio.timeout(limit_s):
        return await looks(seen)
