"""Where a run is: a progress artifact in the Prefect UI, and the seconds that each stage takes."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from tasks.failures.errors import TookTooLong
from tasks.model import Request
from tasks.orchestration.artifacts import key
from tasks.orchestration.channel import Standing
from tasks.orchestration.mirror import show_standing

P = ParamSpec("P")
R = TypeVar("R")
Work = Callable[P, Coroutine[Any, Any, R]]

LONGEST_RUN_S = 8 * 24 * 3600  # backstop of flows that may wait for people: a day beyond the longest timeouts.total
STAGES = ("preflight", "version", "create", "build", "deploy", "prove", "shift", "clean up")


@dataclass(slots=True)
class Progress:
    """`seconds` adds up what each stage took; a stage may be entered once per wave."""

    artifact: UUID
    title: str
    seconds: dict[str, float] = field(default_factory=dict)
    _telling: asyncio.Task[None] | None = None

    def tell(self, percent: float, what: str) -> None:
        """Shows it beside the work, which does not wait for that, and does not fail by it."""
        self._telling = asyncio.create_task(self._told(self._telling, percent, f"{self.title}: {what}"))

    async def told(self) -> None:
        """When all is shown that was told."""
        if self._telling is not None:
            await asyncio.wait([self._telling])

    async def _told(self, before: asyncio.Task[None] | None, percent: float, description: str) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            await aupdate_progress_artifact(self.artifact, progress=percent, description=description)
        except Exception as error:  # whatever Prefect's client says
            get_run_logger().warning("how far the run is cannot be shown: %s", error)


_progress: ContextVar[Progress] = ContextVar("progress")


@asynccontextmanager
async def shown_progress(request: Request) -> AsyncIterator[Progress]:
    """Makes the run's progress artifact; within, `stage` reports to it. Holds the run to its deadline."""
    title = f"{request.app} -> {request.environment}"
    artifact = await acreate_progress_artifact(
        progress=0.0, key=key(request.app, request.environment, "progress"), description=title
    )
    progress = Progress(artifact, title)
    begun = Standing("running", None, 0.0, request.app, request.environment, started=datetime.now(UTC))
    show_standing(str(flow_run.id), str(flow_run.name), begun)
    token = _progress.set(progress)
    try:
        async with deadline(request, "total"):
            yield progress
    finally:
        _progress.reset(token)
    progress.tell(100.0, "done")
    await progress.told()


@asynccontextmanager
async def deadline(request: Request, name: str) -> AsyncIterator[None]:
    """Raises TookTooLong when the block takes longer than the environment's timeouts allow for `name`."""
    limit_s = request.settings.timeouts.of(name)
    try:
        async with asyncio.timeout(limit_s) as limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TookTooLong(
            f"{'The run' if name == 'total' else f'The stage {name}'} took longer than {limit_s:g} s.",
            f"look at what it was waiting for; environments.{request.environment}.timeouts.{name.replace(' ', '_')} in "
            "slipway.yaml says how long it may take.",
        ) from error


def stage(name: str) -> Callable[[Work[P, R]], Work[P, R]]:
    """Makes an async function, whose first parameter is the request, one of the run's stages.

    It is shown when it begins, timed until it ends, and held to its deadline.
    """

    def decorate(work: Work[P, R]) -> Work[P, R]:
        @functools.wraps(work)
        async def staged(*args: P.args, **kwargs: P.kwargs) -> R:
            started = time.monotonic()
            _show(name)
            try:
                async with deadline(args[0], name):  # type: ignore[arg-type]
                    return await work(*args, **kwargs)
            finally:
                if progress := _progress.get(None):
                    progress.seconds[name] = progress.seconds.get(name, 0.0) + time.monotonic() - started

        return staged

    return decorate


def stage_seconds() -> dict[str, float]:
    """What each stage of this run took that has ended."""
    progress = _progress.get(None)
    return dict(progress.seconds) if progress else {}


def _show(name: str) -> None:
    if progress := _progress.get(None):
        done = STAGES.index(name) * 100 / len(STAGES)
        show_standing(str(flow_run.id), str(flow_run.name), Standing(stage=name, progress=done))
        progress.tell(done, name)
