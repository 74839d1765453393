"""By what a run is found in the Prefect UI, and why it failed, at a glance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

from prefect import Flow, State, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.objects import FlowRun
from prefect.logging import get_run_logger
from prefect.runtime import flow_run as running

from tasks.failures.errors import SlipwayError
from tasks.failures.explain import to_slipway
from tasks.model import Request
from tasks.names.tags import tags_of, told_by
from tasks.orchestration.artifacts import key

LIMIT_S = 10.0  # what only shows something keeps no release, and no give-back, waiting for Prefect


async def introduce(app: str, environment: str = "", name: str | None = None) -> None:
    """Tags the run with what it is about, and may name it. Raises nothing that a release would fail by."""
    try:
        async with asyncio.timeout(LIMIT_S), get_client() as client:
            run = await client.read_flow_run(UUID(str(running.id)))
            await client.update_flow_run(run.id, name=name, tags=sorted({*run.tags, *tags_of(app, environment)}))
    except Exception as error:  # whatever Prefect's client says
        get_run_logger().warning("the run cannot be found by its app and environment: %r", error)


async def renamed(to: Callable[[str], str]) -> str | None:
    """Gives the run another name, and answers the one it had; None where that could not be done, which fails nobody."""
    try:
        async with asyncio.timeout(LIMIT_S), get_client() as client:
            run = await client.read_flow_run(UUID(str(running.id)))
            await client.update_flow_run(run.id, name=to(run.name), tags=run.tags)
            return run.name
    except Exception as error:  # whatever Prefect's client says
        get_run_logger().warning("the run keeps its name: %r", error)
        return None


async def leave(name: str, text: str, title: str) -> None:
    """Markdown that is read in the run's artifacts. Raises nothing that a release would fail by."""
    try:
        async with asyncio.timeout(LIMIT_S), get_client() as client:
            run = await client.read_flow_run(UUID(str(running.id)))
            about = told_by(run.tags) or [str(running.flow_name)]
            await client.create_artifact(
                ArtifactCreate(key=key(*about, name), type="markdown", description=title, data=text, flow_run_id=run.id)
            )
    except Exception as error:  # whatever Prefect's client says
        get_run_logger().warning("it cannot be shown as an artifact: %r", error)


async def introduced(request: Request) -> Request:
    """The request, when the run is tagged with what it is about."""
    await introduce(request.app, request.environment)
    return request


async def show_failure(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The hook of failed runs; Prefect passes its arguments by these names. Leaves the run's failure as an artifact."""
    error = await state.aresult(raise_on_failure=False)
    if not isinstance(error, Exception):
        return
    async with get_client() as client:
        run = await client.read_flow_run(flow_run.id)
        await client.create_artifact(
            ArtifactCreate(
                key=key(*(told_by(run.tags) or [flow.name]), "failure"),
                type="markdown",
                description="Why it failed, and what to do.",
                data=page(run.name, error if isinstance(error, SlipwayError) else to_slipway(error, doing=flow.name)),
                flow_run_id=run.id,
            )
        )


def page(title: str, error: SlipwayError) -> str:
    """The failure in Markdown: what is wrong, what to do about it, what became of the world."""
    parts = [f"# {title}: failed", _text(error.problem)]
    parts += [f"## To fix\n\n{_text(error.remedy)}"] if error.remedy else []
    parts += [f"[More about it]({error.link})"] if error.link else []
    return "\n\n".join([*parts, f"*{error.state}*"])


def _text(said: str) -> str:
    """The first line is a sentence; what follows are lines of a log, of a list or commands."""
    first, _, rest = said.partition("\n")
    return f"{first}\n\n```text\n{rest}\n```" if rest else first
