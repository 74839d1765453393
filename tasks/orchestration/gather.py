"""Work side by side that ends as one: all done, or one error that names every failure.

asyncio's TaskGroup cancels the others at the first failure; here they may go on to their end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from tasks.failures.errors import SlipwayError

R = TypeVar("R")


async def all_of(work: Sequence[Coroutine[Any, Any, R]], *, stop_on_failure: bool = False) -> tuple[R, ...]:
    """The results in order. On failure the others go on to their end, or are cancelled with `stop_on_failure`."""
    running = [asyncio.ensure_future(each) for each in work]
    try:
        when = asyncio.FIRST_EXCEPTION if stop_on_failure else asyncio.ALL_COMPLETED
        if running:
            await asyncio.wait(running, return_when=when)
    finally:
        for task in running:
            task.cancel()
        outcomes = await asyncio.gather(*running, return_exceptions=True)
    failures = [o for o in outcomes if isinstance(o, BaseException) and not isinstance(o, asyncio.CancelledError)]
    if failures:
        raise first_of(failures)
    return tuple(task.result() for task in running)


def first_of(failures: Sequence[BaseException]) -> BaseException:
    """The first failure, with the problems of the others said behind its own."""
    first, *others = failures
    if not isinstance(first, SlipwayError) or not others:
        return first
    also = "\n".join(f"Also: {other.problem if isinstance(other, SlipwayError) else other}" for other in others)
    return type(first)(f"{first.problem}\n{also}", first.remedy, first.cause, first.link, first.state, first.transient)
