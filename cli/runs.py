"""Starts flow runs through their deployments and follows them in the terminal."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import LogSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling
from rich.console import Console

from tasks.errors import Cause, ParameterError, SlipwayError

FOLDER = Path(".slipway")
POLL_S = 0.4
ENGINE_CHATTER = {"Finished in state Completed()"}  # Prefect says so of every task
LEVEL_STYLES = {30: "yellow", 40: "red", 50: "bold red"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    id: UUID
    name: str
    state: str  # Completed, Failed, Cancelled, Crashed …
    message: str
    url: str
    tables: Mapping[str, list[dict[str, Any]]]  # by the last part of their artifact's key

    @property
    def ok(self) -> bool:
        return self.state == "Completed"


def api_url() -> str:
    """Prefect's API: as the environment says, or the one of a running `slipway up`."""
    if url := os.environ.get("PREFECT_API_URL"):
        return url
    try:
        word = json.loads((FOLDER / "up.json").read_text())
    except FileNotFoundError:
        raise SlipwayError(
            "No Prefect server is known.",
            "set PREFECT_API_URL, or start a local one with: slipway up",
            Cause.NETWORK,
        ) from None
    return str(word["environment"]["PREFECT_API_URL"])


async def run_deployment(name: str, parameters: dict[str, Any], console: Console, url: str) -> Outcome:
    """Starts `flow/deployment` and shows its log until it ends. Ctrl-C cancels the run and waits for its end."""
    async with PrefectClient(url) as client:
        run = await _create(client, name, parameters)
        link = f"{url.removesuffix('/api')}/runs/flow-run/{run.id}"
        console.print(f"[dim]{link}[/dim]")
        try:
            run = await _follow(client, run.id, console)
        except asyncio.CancelledError:
            console.print("[yellow]cancelling; the run gives back what it has taken …[/yellow]")
            await client.set_flow_run_state(run.id, Cancelling())
            run = await _follow(client, run.id, console)
        assert run.state is not None
        tables = await _tables(client, run.id)
        return Outcome(run.id, run.name, run.state.name or "", run.state.message or "", link, tables)


async def _create(client: PrefectClient, name: str, parameters: dict[str, Any]) -> FlowRun:
    try:
        deployment = await client.read_deployment_by_name(name)
        return await client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
    except ObjectNotFound:
        raise ParameterError(
            f"Prefect knows no deployment {name}.",
            "register the deployments with: prefect deploy --all",
            Cause.NOT_FOUND,
        ) from None
    except httpx.ConnectError as error:
        raise SlipwayError(
            f"Prefect's API at {client.api_url} does not answer: {error}.",
            "start it, or correct PREFECT_API_URL.",
            Cause.NETWORK,
        ) from None


async def _follow(client: PrefectClient, run_id: UUID, console: Console) -> FlowRun:
    shown = 0
    while True:
        run = await client.read_flow_run(run_id)
        final = run.state is not None and run.state.is_final()
        if final:
            await asyncio.sleep(POLL_S)  # the last lines arrive just after the state
        shown += await _show_log(client, run_id, shown, console)
        if final:
            return run
        await asyncio.sleep(POLL_S)


async def _show_log(client: PrefectClient, run_id: UUID, offset: int, console: Console) -> int:
    logs = await client.read_logs(
        LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id])), offset=offset, sort=LogSort.TIMESTAMP_ASC
    )
    for line in logs:
        if line.message in ENGINE_CHATTER:
            continue
        clock = line.timestamp.strftime("%H:%M:%S")
        console.print(f"{clock} {line.message}", style=LEVEL_STYLES.get(line.level), markup=False, highlight=False)
    return len(logs)


async def _tables(client: PrefectClient, run_id: UUID) -> dict[str, list[dict[str, Any]]]:
    found = await client.read_artifacts(
        artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    )
    tables = [artifact for artifact in found if artifact.type == "table" and artifact.key]
    return {str(a.key).rsplit("-", 1)[-1]: json.loads(str(a.data)) for a in tables}
