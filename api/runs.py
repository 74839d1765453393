"""Starts runs through the deployments that `slipway register` has made, cancels them, and tells which are under way."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelling
from pydantic import BaseModel, ConfigDict, Field

from api.pushes import Push, canonical
from api.refused import Refused
from deployments.register import read_tagged
from tasks.names.tags import BRANCH, REGISTERED, SHIPPING_FLOWS, STARTED_BY, tags_of, told_by

BY_TAG = "ship/by-tag"
UNDER_WAY = [StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]
DELIVERY = "delivery:"  # what the tag of a run begins with that a webhook has started


class Start(BaseModel):
    """What to start, where."""

    model_config = ConfigDict(extra="forbid")

    flow: Literal["deploy", "promote", "rollback", "drift", "reconcile", "doctor"] = "deploy"
    app: str = Field(description="As slipway.yaml calls it; it has to be registered: slipway register.")
    environment: str = Field(description="An environment of its slipway.yaml.")
    ref: str | None = Field(None, description="Branch, tag or commit; by default the default branch.")
    parameters: dict[str, Any] = Field({}, description="More of the flow's parameters, such as services or to.")


@dataclass(frozen=True, slots=True)
class Started:
    """A run that was started now, or by an earlier request that was the same."""

    id: UUID
    name: str
    deployment: str  # deploy/shop-production


class Runs:
    """Of one Prefect server."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client
        self._starting = asyncio.Lock()  # SQLite refuses what is written while it writes

    async def start(self, wanted: Start, once: str, who: str) -> Started:
        """once: requests with the same key start one run; '' for a run of its own."""
        tags = [REGISTERED, *tags_of(wanted.app, wanted.environment)]
        found = await read_tagged(self._client, *tags)
        chosen = next(((name, each) for name, each in found.items() if name.startswith(f"{wanted.flow}/")), None)
        if chosen is None:
            raise Refused(
                404,
                f"{wanted.flow} of {wanted.app} to {wanted.environment} is not registered. In a clone of the app: "
                "slipway register --repository URL",
            )
        if {"source", "environment"} & wanted.parameters.keys():
            raise Refused(422, "source and environment are those that were registered; ref says what to ship.")
        name, deployment = chosen
        source = {**deployment.parameters["source"], "ref": wanted.ref}
        return await self._start(name, deployment, {**wanted.parameters, "source": source}, once, who)

    async def start_pushed(self, push: Push, delivery: str, who: str) -> list[Started]:
        """One run for each app of the repository: of a tag by the tag, of a branch to whichever environment names it.

        None where no environment does. Raises Refused for a repository that no app is registered from.
        """
        found = await read_tagged(self._client, REGISTERED)
        deploys = {name: each for name, each in found.items() if name.startswith("deploy/")}
        of_it = {name: each for name, each in deploys.items() if _place(each) in push.repositories}
        if not of_it:
            raise Refused(404, "No app is registered from that repository: slipway register --repository URL")
        chosen = await self._by_tag(of_it) if push.tag else _by_branch(of_it, push.branch)
        ref = push.tag or push.after
        started = []
        for name, each, source in chosen:
            parameters = {"source": {**source, "ref": ref}}
            key = key_of(name, source, push)
            started.append(await self._start(name, each, parameters, key, who, delivery))
        return started

    async def _by_tag(self, of_it: Mapping[str, DeploymentResponse]) -> list[_Chosen]:
        """Once for each app, however many environments it has."""
        try:
            ship = await self._client.read_deployment_by_name(BY_TAG)
        except ObjectNotFound:
            said = f"Prefect has no deployment {BY_TAG}, which ships tags: slipway register --generic"
            raise Refused(409, said) from None
        sources = {str(sorted(each.parameters["source"].items())): each.parameters["source"] for each in of_it.values()}
        return [(BY_TAG, ship, source) for source in sources.values()]

    async def _start(
        self,
        name: str,
        deployment: DeploymentResponse,
        parameters: dict[str, Any],
        once: str,
        who: str,
        delivery: str = "",
    ) -> Started:
        try:
            async with self._starting:
                run = await self._client.create_flow_run_from_deployment(
                    deployment.id,
                    parameters=parameters,
                    idempotency_key=once or None,
                    labels={STARTED_BY: who},
                    tags=[f"{DELIVERY}{delivery}"] if delivery else None,
                )
        except PrefectHTTPStatusError as error:
            if error.response.status_code in (httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY):
                raise Refused(422, f"Prefect refused the parameters: {error.response.text[:1000]}") from None
            raise
        return Started(run.id, run.name, name)

    async def read(self, run: UUID) -> FlowRun:
        """Raises Refused unless there is such a run of a flow of Slipway's."""
        try:
            return await self._client.read_flow_run(run)
        except ObjectNotFound:
            raise Refused(404, f"There is no run {run}.") from None

    async def cancel(self, run: UUID) -> None:
        """Asks for it; the run gives back what it has taken, and ends. Raises Refused if it has ended."""
        found = await self.read(run)
        flow = await self._client.read_flow(found.flow_id)
        if flow.name not in (*SHIPPING_FLOWS, "cleanup", "doctor", "reconcile"):
            raise Refused(404, f"{run} is no run of Slipway's.")
        if found.state is not None and found.state.is_final():
            raise Refused(409, f"The run has ended: {found.state.name}.")
        await self._client.set_flow_run_state(run, Cancelling())

    async def active(self) -> list[dict[str, Any]]:
        """The runs that ship, and are under way or wait for a person; those that began first come first."""
        runs = await self._client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=list(SHIPPING_FLOWS))),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNDER_WAY))),
            sort=FlowRunSort.START_TIME_ASC,
        )
        return [_row(each) for each in runs]


_Chosen = tuple[str, DeploymentResponse, Mapping[str, Any]]


def key_of(deployment: str, source: Mapping[str, Any], push: Push) -> str:
    """The same for one push whoever tells of it, and however often: all of it is what was signed, as the id is not.

    A branch that goes back to an earlier commit is another push, since it comes from another one; one that is forced
    back and then pushed again only where the host says when.
    """
    parts = (deployment, str(sorted(source.items())), push.ref, push.before, push.after, push.when)
    said = "\n".join(parts).removesuffix("\n")
    return f"push-{hashlib.sha256(said.encode(errors='replace')).hexdigest()}"


def _by_branch(of_it: Mapping[str, DeploymentResponse], branch: str) -> list[_Chosen]:
    return [(name, each, each.parameters["source"]) for name, each in of_it.items() if f"{BRANCH}{branch}" in each.tags]


def _place(deployment: DeploymentResponse) -> str:
    return canonical(str((deployment.parameters.get("source") or {}).get("repository", "")))


def _row(run: FlowRun) -> dict[str, Any]:
    app, environment, *_ = (*told_by(run.tags), "", "")
    return {
        "id": str(run.id),
        "name": run.name,
        "app": app,
        "environment": environment or str(run.parameters.get("environment", "")),
        "state": run.state_name,
        "since": run.start_time.isoformat() if run.start_time else None,
        "by": str(run.labels.get(STARTED_BY, "")),
    }


def names_of(started: Iterable[Started]) -> list[dict[str, str]]:
    return [{"id": str(each.id), "name": each.name, "deployment": each.deployment} for each in started]
