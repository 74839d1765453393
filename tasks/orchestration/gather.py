"""Work side by side that ends as one: all done, or one error that names every failure.

asyncio's TaskGroup cancels the others at the first failure; here they may go on to their end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from tasks.failures.errors import SlipwayError

R = TypeVar("R")
S = TypeVar("S")


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


async def both(
    one: Coroutine[Any, Any, R], other: Coroutine[Any, Any, S], *, stop_on_failure: bool = False
) -> tuple[R, S]:
    """`all_of` for two that answer different things."""
    work: list[Coroutine[Any, Any, Any]] = [one, other]
    first, second = await all_of(work, stop_on_failure=stop_on_failure)
    return first, second


async def to_its_end(work: Coroutine[Any, Any, R]) -> R:
    """What may not be left half done: who is cancelled meanwhile learns of it when the work is over.

    If it has failed by then, that is what is raised.
    """
    running, cancelled = asyncio.ensure_future(work), False
    while not running.done():
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            cancelled = True
        except Exception:  # noqa: S110 - raised below
            pass
    result = running.result()
    if cancelled:
        raise asyncio.CancelledError
    return result


def first_of(failures: Sequence[BaseException]) -> BaseException:
    """The first failure, with the problems of the others said behind its own."""
    first, *others = failures
    if not isinstance(first, SlipwayError) or not others:
        return first
    also = "\n".join(f"Also: {other.problem if isinstance(other, SlipwayError) else other}" for other in others)
    return type(first)(f"{first.problem}\n{also}", first.remedy, first.cause, first.link, first.state, first.transient)
