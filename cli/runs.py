"""Starts flow runs through their deployments and follows them in the terminal."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import LogSort
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling
from rich.console import Console

from tasks.failures.errors import UNTOUCHED, Cause, ParameterError, PrefectUnavailable

FOLDER = Path(".slipway")
POLL_S = 0.4
ENGINE_CHATTER = ("Finished in state ", "Executing deployment step", "Deployment step ", "Running 1 deployment pull")
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
    """Prefect's API: as the environment says, else that of a running `slipway up`, else as Prefect's profile says."""
    if url := os.environ.get("PREFECT_API_URL"):
        return url
    if url := local_stack_variables().get("PREFECT_API_URL"):
        return url
    if url := PREFECT_API_URL.value():
        return str(url)
    raise PrefectUnavailable(
        "No Prefect server is known.",
        "set PREFECT_API_URL, or start a local one with: slipway up",
        Cause.NETWORK,
    )


def local_stack_variables() -> dict[str, str]:
    """The environment of a running `slipway up` in this folder; empty if there is none."""
    with suppress(FileNotFoundError):
        return dict(json.loads((FOLDER / "up.json").read_text())["environment"])
    return {}


def use_local_stack() -> None:
    """Leads this process to the cloud that runs started from here would use: all its variables, half lead nowhere."""
    if "PREFECT_API_URL" not in os.environ:
        os.environ.update(local_stack_variables())


async def run_deployment(name: str, parameters: dict[str, Any], console: Console, url: str) -> Outcome:
    """Starts `flow/deployment` and shows its log until it ends. Ctrl-C cancels the run and waits for its end."""
    with temporary_settings({PREFECT_API_URL: url}):
        async with get_client() as client:
            with _refusals(url):
                run = await _create(client, name, parameters)
            link = f"{url.removesuffix('/api')}/runs/flow-run/{run.id}"
            console.print(f"[dim]{link}[/dim]")
            with _refusals(url, state=f"The run goes on unwatched: {link}"):
                return await _watched(client, run, link, console)


async def _watched(client: PrefectClient, run: FlowRun, link: str, console: Console) -> Outcome:
    try:
        run = await _follow(client, run.id, console)
    except asyncio.CancelledError:
        console.print("[yellow]cancelling; the run gives back what it has taken …[/yellow]")
        await client.set_flow_run_state(run.id, Cancelling())
        run = await _follow(client, run.id, console)
    assert run.state is not None
    tables = await _tables(client, run.id)
    return Outcome(run.id, run.name, run.state.name or "", run.state.message or "", link, tables)


@contextmanager
def _refusals(url: str, state: str = UNTOUCHED) -> Iterator[None]:
    """Says what Prefect's API refused, or that it is not there."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        detail = _detail(error.response)
        if error.response.status_code in (httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY):
            raise ParameterError(
                f"Prefect refused the run's parameters: {detail}",
                "correct them; the deployment's form in the Prefect UI explains each.",
            ) from None
        raise PrefectUnavailable(
            f"Prefect's API at {url} answered {error.response.status_code}: {detail}",
            "correct PREFECT_API_URL, and PREFECT_API_AUTH_STRING or PREFECT_API_KEY where it asks who you are.",
            state=state,
        ) from None
    except (httpx.HTTPError, ValueError) as error:  # ValueError: the answer is not JSON
        raise PrefectUnavailable(
            f"Prefect's API at {url} does not answer: {str(error).rstrip('.')}.",
            "start it, or correct PREFECT_API_URL (it ends in /api).",
            Cause.NETWORK,
            state=state,
        ) from None


def _detail(response: httpx.Response) -> str:
    """What the API says is wrong; its validation errors come as a list."""
    try:
        found = response.json()
    except ValueError:
        return response.reason_phrase
    said = found.get("detail") or found.get("exception_detail") or found
    if isinstance(said, list):
        return "; ".join(f"{'.'.join(map(str, each.get('loc', ())))}: {each.get('msg')}" for each in said)
    return str(said)


async def _create(client: PrefectClient, name: str, parameters: dict[str, Any]) -> FlowRun:
    try:
        deployment = await client.read_deployment_by_name(name)
    except ObjectNotFound:
        raise ParameterError(
            f"Prefect knows no deployment {name}.",
            "register the deployments with: prefect deploy --all",
            Cause.NOT_FOUND,
        ) from None
    return await client.create_flow_run_from_deployment(deployment.id, parameters=parameters)


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
        if line.message.startswith(ENGINE_CHATTER):
            continue
        clock = line.timestamp.strftime("%H:%M:%S")
        style = LEVEL_STYLES.get(line.level)
        console.print(f"{clock} {line.message}", style=style, markup=False, highlight=False, soft_wrap=True)
    return len(logs)


async def _tables(client: PrefectClient, run_id: UUID) -> dict[str, list[dict[str, Any]]]:
    found = await client.read_artifacts(
        artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
    )
    tables = [artifact for artifact in found if artifact.type == "table" and artifact.key]
    return {str(a.key).rsplit("-", 1)[-1]: json.loads(str(a.data)) for a in tables}
