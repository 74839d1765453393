"""Clean-up comes last: it steps aside for whoever ships, and only one clean-up of an app is at work.

It does not hold the locks of the environments, for a rollback must not wait for it. Right before each step it asks
whether anybody holds one, and waits until nobody does; what a release that came in between needs is read anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from prefect.logging import get_run_logger

from infra.gcp.storage import objects
from tasks.cleanup.scope import Scope
from tasks.failures.errors import ReleaseBusy
from tasks.history.store import OPEN_AMONG, prefix
from tasks.model import Request
from tasks.orchestration.gather import all_of
from tasks.orchestration.lock import is_held, one_at_a_time

POLL_S = 2.0
PATIENCE_S = 4 * 3600.0  # a release that waits for an approval may take long; then the next clean-up goes on
SOON_S = 90.0  # until the lease of a clean-up that was killed is over
CLEAN_UP = "(clean-up)"  # no environment is called so

History = tuple[tuple[str, int], ...]


@asynccontextmanager
async def only_clean_up(scope: Scope, patience_s: float | None = None) -> AsyncIterator[None]:
    """Raises ReleaseBusy while another clean-up of the app is at work."""
    async with AsyncExitStack() as held:
        try:
            own = replace(scope.requests[0], environment=CLEAN_UP)
            await held.enter_async_context(one_at_a_time(own, patience_s or SOON_S))
        except ReleaseBusy as error:
            raise ReleaseBusy(f"Another clean-up of {scope.app} is at work.", "wait for it to end.") from error
        yield


async def is_at_work(request: Request) -> bool:
    """Whether a clean-up of the app is."""
    return await is_held(replace(request, environment=CLEAN_UP))


async def shipping(requests: Sequence[Request]) -> bool:
    """Whether anybody is releasing or rolling back in any of the environments."""
    return any(await all_of([is_held(request) for request in requests]))


async def until_free(
    requests: Sequence[Request], limit_s: float = PATIENCE_S, clock: Callable[[], float] = time.monotonic
) -> None:
    """Raises ReleaseBusy when it takes too long."""
    until, told = clock() + limit_s, False
    while await shipping(requests):
        if clock() > until:
            raise ReleaseBusy(
                f"{requests[0].app} has been released for {limit_s / 3600:.0f} h without an end.",
                "start the clean-up again afterwards: it goes on where it was.",
            )
        if not told:
            get_run_logger().info("somebody ships %s: clean-up steps aside", requests[0].app)
        told = True
        await asyncio.sleep(POLL_S)


async def newest_records(requests: Sequence[Request]) -> History:
    """What changes whenever a release is recorded or goes on: names and generations of the newest records."""
    listed = await all_of(
        [objects.list_objects(each.settings.bucket, prefix(each.app, each.environment)) for each in requests]
    )
    newest = (sorted(((each.name, each.generation) for each in found), reverse=True)[:OPEN_AMONG] for found in listed)
    return tuple(record for some in newest for record in some)
