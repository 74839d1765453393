"""Starts flow runs through their deployments and follows them in the terminal."""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags, FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling
from prefect.types import KeyValueLabels
from rich.console import Console

from cli.follow import PATIENCE_S, Following
from cli.local import local_stack_variables
from tasks.failures.cause import Cause
from tasks.failures.errors import UNTOUCHED, ParameterError, PrefectUnavailable
from tasks.names.tags import ENVIRONMENT, REGISTERED, STARTED_BY
from tasks.observe.following import QUIET_S

# What Prefect puts before an error's own words: Flow run encountered an exception: TagTaken: …
ENGINES_WORDS = re.compile(r"\AFlow run encountered an exception:? (?:[A-Z]\w+: )?")
REFUSED = (
    Cause.NETWORK,
    "correct PREFECT_API_URL, and PREFECT_API_AUTH_STRING or PREFECT_API_KEY where it asks who you are.",
)
IN_TROUBLE = (
    Cause.SERVICE_UNAVAILABLE,
    "start again; if it stays, read the log of the Prefect server: its machine or its database is overloaded or not "
    "there.",
)
ANY = "any"  # the deployment of a flow that takes every environment


@dataclass(frozen=True, slots=True)
class RunResult:
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

    @property
    def drifted(self) -> bool:
        """Whether the run found anything that differs from what was released."""
        return any(row["drift"] != "none" for row in self.tables.get("drift", ()))


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


async def run_deployment(
    name: str,
    parameters: dict[str, Any],
    console: Console,
    url: str,
    patience_s: float = PATIENCE_S,
    quiet_s: float = QUIET_S,
) -> RunResult:
    """Starts `flow/deployment` and shows its log until it ends. Ctrl-C cancels the run and waits for its end."""
    ui = url.removesuffix("/").removesuffix("/api")
    with temporary_settings({PREFECT_API_URL: url}):
        async with get_client() as client:
            with refusals(url):
                run = await _create(client, name, parameters)
            following = Following(client, console, ui, run.id, patience_s, quiet_s)
            link = following.link(run.id)
            console.print(f"[dim]{link}[/dim]")
            with refusals(url, state=f"The run goes on unwatched: {link}"):
                return await _watched(following)


async def _watched(following: Following) -> RunResult:
    try:
        run = await following.to_the_end()
    except asyncio.CancelledError:
        following.console.print("[yellow]cancelling; the run gives back what it has taken …[/yellow]")
        await following.client.set_flow_run_state(following.run_id, Cancelling())
        run = await following.to_the_end()
    assert run.state is not None
    tables = await following.tables()
    said = ENGINES_WORDS.sub("", run.state.message or "")
    return RunResult(run.id, run.name, run.state.name or "", said, following.link(run.id), tables)


@contextmanager
def refusals(url: str, state: str = UNTOUCHED, asked: str = "the run's parameters") -> Iterator[None]:
    """Says what Prefect's API refused, or that it is not there."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        detail = _detail(error.response)
        if error.response.status_code in (httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY):
            raise ParameterError(
                f"Prefect refused {asked}: {detail}",
                "correct them; the deployment's form in the Prefect UI explains each.",
            ) from None
        cause, remedy = IN_TROUBLE if error.response.is_server_error else REFUSED
        problem = f"Prefect's API at {url} answered {error.response.status_code}: {detail}"
        raise PrefectUnavailable(problem, remedy, cause, state=state) from None
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
    """A run of the app's own deployment, else of that of the environment, else of the flow's for any."""
    own = await _own(client, name, parameters)
    if own:  # what it says of the source besides, such as credentials, stays
        parameters = parameters | {"source": {**own.parameters["source"], **parameters["source"]}}
    found = own or await _generic(client, name)
    labels: KeyValueLabels = {STARTED_BY: await asyncio.to_thread(_who)}
    once = uuid4().hex  # Prefect's client asks again when an answer is lost, and a second run would ship twice
    return await client.create_flow_run_from_deployment(
        found.id, parameters=parameters, labels=labels, idempotency_key=once
    )


async def _generic(client: PrefectClient, name: str) -> DeploymentResponse:
    generic = f"{name.partition('/')[0]}/{ANY}"
    for each in (name, generic):
        with suppress(ObjectNotFound):
            return await client.read_deployment_by_name(each)
    raise ParameterError(
        f"Prefect knows neither the deployment {name} nor {generic}.",
        "register the app's own deployments, slipway register, or in the folder of Slipway those for any app: "
        "slipway register --generic",
        Cause.NOT_FOUND,
    )


async def _own(client: PrefectClient, name: str, parameters: Mapping[str, Any]) -> DeploymentResponse | None:
    """What `slipway register` has made for just this repository, and this environment if the flow is about one."""
    environment = parameters.get("environment")
    tags = [REGISTERED, *([f"{ENVIRONMENT}{environment}"] if environment else [])]
    found = await client.read_deployments(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[name.partition("/")[0]])),
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=tags)),
    )
    wanted = _place(parameters)
    return next((each for each in found if _place(each.parameters) == wanted), None)


def _place(parameters: Mapping[str, Any]) -> tuple[object, ...]:
    source = parameters.get("source") or {}
    return source.get("repository"), source.get("folder") or None


def _who() -> str:
    """Who starts the run, for the release's record: of a CI job the person that it names. Nobody checks it."""
    for variable in ("GITHUB_ACTOR", "GITLAB_USER_LOGIN"):
        if told := os.environ.get(variable):
            return told
    with suppress(OSError, subprocess.SubprocessError):
        asked = subprocess.run(["git", "config", "user.email"], capture_output=True, text=True, timeout=5, check=False)
        if told := asked.stdout.strip():
            return told
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "slipway"
