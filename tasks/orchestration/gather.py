"""Work side by side that ends as one: all done, or one error that names every failure.

asyncio's TaskGroup cancels the others at the first failure; here they may go on to their end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from tasks.failures.errors import SlipwayError

R = TypeVar("R")
S = TypeVar("S")
_going_on: set[asyncio.Future[Any]] = set()


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


async def one_by_one(work: Sequence[Callable[[], Awaitable[R]]]) -> list[R]:
    """The results in order. Each begins when the one before has ended, well or not; fails as `all_of` does."""
    results: list[R] = []
    failures: list[BaseException] = []
    for begin in work:
        try:
            results.append(await begin())
        except Exception as error:
            failures.append(error)
    if failures:
        raise first_of(failures)
    return results


async def both(
    one: Coroutine[Any, Any, R], other: Coroutine[Any, Any, S], *, stop_on_failure: bool = False
) -> tuple[R, S]:
    """`all_of` for two that answer different things."""
    work: list[Coroutine[Any, Any, Any]] = [one, other]
    first, second = await all_of(work, stop_on_failure=stop_on_failure)
    return first, second


async def to_its_end(work: Coroutine[Any, Any, R], patience_s: float | None = None) -> R:
    """What may not be left half done: who is cancelled meanwhile learns of it when the work is over.

    If it has failed by then, that is what is raised. patience_s: who is cancelled waits no longer than this; then the
    work goes on by itself.
    """
    running, clock = asyncio.ensure_future(work), asyncio.get_running_loop().time
    cancelled_at: float | None = None
    while not running.done():
        left_s = None
        if cancelled_at is not None and patience_s is not None:
            left_s = cancelled_at + patience_s - clock()
            if left_s <= 0:
                _goes_on(running)
                raise asyncio.CancelledError
        try:
            await asyncio.wait([running], timeout=left_s)
        except asyncio.CancelledError:
            cancelled_at = clock() if cancelled_at is None else cancelled_at
    result = running.result()
    if cancelled_at is not None:
        raise asyncio.CancelledError
    return result


async def briefly(work: Coroutine[Any, Any, Any], patience_s: float) -> None:
    """What is waited for no longer than this, or until a cancel, and then goes on by itself. Raises what it raises."""
    running = asyncio.ensure_future(work)
    try:
        await asyncio.wait([running], timeout=patience_s)
    finally:
        _goes_on(running)
    if running.done():
        running.result()


def _goes_on(running: asyncio.Future[Any]) -> None:
    """Nobody waits for it any more: whoever makes use of it looks for what has become of it."""
    _going_on.add(running)  # the event loop itself holds tasks weakly
    running.add_done_callback(_going_on.discard)
    running.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


def first_of(failures: Sequence[BaseException]) -> BaseException:
    """The first failure, with the problems of the others said behind its own."""
    first, *others = failures
    if not isinstance(first, SlipwayError) or not others:
        return first
    also = "\n".join(f"Also: {other.problem if isinstance(other, SlipwayError) else other}" for other in others)
    return type(first)(f"{first.problem}\n{also}", first.remedy, first.cause, first.link, first.state, first.transient)
