"""How a release shows others that it is under way: a mark beside its record every few seconds.

What the record says is not written anew, so that no beat can undo what others have written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from prefect.logging import get_run_logger

from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage import objects
from tasks.failures.errors import RecordLost
from tasks.failures.explain import explain

BEAT_S = 10.0
SILENT_S = 35.0  # so long without a beat, and its run is gone: three, each with time to be tried again
TAKEN_OVER = ("FAILED_PRECONDITION", "NOT_FOUND")


@asynccontextmanager
async def beating(mark: Callable[[], Awaitable[None]], version: str, every_s: float = BEAT_S) -> AsyncIterator[None]:
    """Marks the record meanwhile. Raises RecordLost, and ends the block, if others have taken the record over."""
    work, lost = asyncio.current_task(), False

    def stop(beats: asyncio.Task[None]) -> None:
        nonlocal lost
        lost = not beats.cancelled()
        if lost and work is not None:
            work.cancel()

    beats = asyncio.create_task(beat(mark, every_s))
    beats.add_done_callback(stop)
    try:
        yield
    except asyncio.CancelledError as error:
        if not lost:
            raise
        raise RecordLost(
            f"Somebody else has closed the record of {version}: another run, or another Prefect server.",
            "look at the runs of this environment, then ship again.",
            state="What became of its traffic is in the record.",
        ) from error
    finally:
        beats.remove_done_callback(stop)
        beats.cancel()


async def beat(mark: Callable[[], Awaitable[None]], every_s: float = BEAT_S) -> None:
    """Ends when somebody else has written the record."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await mark()
        except GoogleError as error:
            if error.status in TAKEN_OVER:
                return
            get_run_logger().warning("the release record could not be marked: %s", explain(error).said)


async def is_alive(bucket: str, name: str, generation: int, silent_s: float = SILENT_S) -> bool:
    """Whether somebody is at work on a record that was read at this generation. Takes as long as that may be.

    No clock is asked, so none can be wrong.
    """
    before = await objects.age_of(bucket, name)
    await asyncio.sleep(silent_s)
    after = await objects.age_of(bucket, name)
    return after is not None and (after != before or after[0] != generation)
