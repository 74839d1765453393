"""One run of Terraform at a time in an environment. Releases and rollbacks do not wait for it, nor it for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from tasks.failures.errors import ReleaseBusy
from tasks.model import Request
from tasks.orchestration.lock import one_at_a_time


@asynccontextmanager
async def alone(request: Request, patience_s: float | None = None) -> AsyncIterator[None]:
    """Waits for its turn as the environment says; raises ReleaseBusy."""
    own = replace(request, environment=f"({request.environment}'s Terraform)")  # no environment is called so
    try:
        async with one_at_a_time(own, patience_s):
            yield
    except ReleaseBusy as error:
        raise ReleaseBusy(
            f"Another run is provisioning {request.app} in {request.environment}.",
            "wait for it to end or cancel it, then start again.",
        ) from error
