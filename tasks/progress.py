"""Where a run is: a progress artifact in the Prefect UI, and the seconds that each stage takes."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

from tasks.model import Request

P = ParamSpec("P")
R = TypeVar("R")
Work = Callable[P, Coroutine[Any, Any, R]]

STAGES = ("preflight", "version", "create", "build", "deploy", "prove", "shift", "clean up")


@dataclass(slots=True)
class Progress:
    """`seconds` adds up what each stage took; a stage may be entered once per wave."""

    artifact: UUID
    title: str
    seconds: dict[str, float] = field(default_factory=dict)


_progress: ContextVar[Progress] = ContextVar("progress")


def key(*parts: str) -> str:
    """An artifact key: lower-case letters, digits and hyphens only."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


@asynccontextmanager
async def shown_progress(request: Request) -> AsyncIterator[Progress]:
    """Makes the run's progress artifact; within, `stage` reports to it."""
    title = f"{request.app} -> {request.environment}"
    artifact = await acreate_progress_artifact(
        progress=0.0, key=key(request.app, request.environment, "progress"), description=title
    )
    progress = Progress(artifact, title)
    token = _progress.set(progress)
    try:
        yield progress
    finally:
        _progress.reset(token)
    await aupdate_progress_artifact(artifact, progress=100.0, description=f"{title}: done")


def stage(name: str) -> Callable[[Work[P, R]], Work[P, R]]:
    """Makes an async function one of the run's stages: shown when it begins, timed until it ends."""

    def decorate(work: Work[P, R]) -> Work[P, R]:
        @functools.wraps(work)
        async def staged(*args: P.args, **kwargs: P.kwargs) -> R:
            progress = _progress.get(None)
            if progress is None:
                return await work(*args, **kwargs)
            percent = STAGES.index(name) * 100 / len(STAGES)
            await aupdate_progress_artifact(
                progress.artifact, progress=percent, description=f"{progress.title}: {name}"
            )
            started = time.monotonic()
            try:
                return await work(*args, **kwargs)
            finally:
                progress.seconds[name] = progress.seconds.get(name, 0.0) + time.monotonic() - started

        return staged

    return decorate
