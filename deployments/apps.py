"""Registers an app's own deployments and automations, and takes them away again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound

from deployments.automations import automate, dead_runs, read_all, spoken_of, tidy_up, tidying_of
from deployments.forms import form_of
from deployments.own import App, own_deployments, own_names
from deployments.register import Change, Outcome, read_named, read_tagged, register
from deployments.wanted import Wanted
from tasks.failures.cause import Cause
from tasks.failures.errors import ParameterError
from tasks.names.tags import BRANCH, REGISTERED, tags_of


@dataclass(frozen=True, slots=True)
class Registered:
    """What `slipway register` has made for an app, by the names that it is shown with."""

    deployments: Mapping[str, UUID]
    automations: Mapping[str, UUID]

    @property
    def names(self) -> list[str]:
        return [*self.deployments, *self.automations]


async def register_app(client: PrefectClient, app: App, *, moves: bool = False) -> list[Outcome]:
    """What became of each, and what is left of environments that slipway.yaml has no more.

    moves: the app may be read from another repository than it was. ParameterError if it would be and may not, or if
    somebody else has made a deployment that is called so.
    """
    wanted = own_deployments(app, cache(form_of))
    _refuse_others(wanted, await read_named(client, {each.name for each in wanted}), moves=moves)
    outcomes, ids = await register(client, wanted)
    outcomes += await automate(client, [*dead_runs(), *(_tidying(app, name, ids) for name in app.environments)])
    left = gone(app, await read_registered(client, app.name))
    return [*outcomes, *(Outcome(name, Change.GONE) for name in left.names)]


def gone(app: App, there: Registered) -> Registered:
    """What is there and would not be registered now, as for environments that slipway.yaml has no more."""
    names = own_names(app)
    tidying = {spoken_of(tidying_of(app.called(environment))) for environment in app.environments}
    return Registered(
        {name: id for name, id in there.deployments.items() if name not in names},
        {name: id for name, id in there.automations.items() if name not in tidying},
    )


async def read_registered(client: PrefectClient, app: str, environment: str | None = None) -> Registered:
    """All of an app, or what is about one of its environments alone."""
    tags = [REGISTERED, *tags_of(app, environment or "")]
    found = await read_tagged(client, *tags)
    automations = [each for each in await read_all(client) if set(tags) <= set(each.tags)]
    return Registered(
        {name: each.id for name, each in found.items()}, {spoken_of(each.name): each.id for each in automations}
    )


async def unregister(client: PrefectClient, there: Registered) -> list[Outcome]:
    """What is started by what goes first; what is gone already needs no more."""
    for automation in there.automations.values():
        await client.delete_automation(automation)
    for deployment in there.deployments.values():
        with suppress(ObjectNotFound):
            await client.delete_deployment(deployment)
    return [Outcome(name, Change.REMOVED) for name in there.names]


def _tidying(app: App, environment: str, ids: Mapping[str, UUID]) -> AutomationCore:
    name = app.called(environment)
    return tidy_up(ids[f"reconcile/{name}"], only=name, tags=[*tags_of(app.name, environment), REGISTERED])


def _refuse_others(wanted: Sequence[Wanted], there: Mapping[str, DeploymentResponse], *, moves: bool) -> None:
    for each in wanted:
        found = there.get(each.full_name)
        if found is None:
            continue
        if not {tag for tag in each.tags if not tag.startswith(BRANCH)} <= {*found.tags, "slipway"}:
            raise ParameterError(
                f"The deployment {each.full_name} is there already, and not as one of this app's.",
                f"see what it is for; to have the name, prefect deployment delete {each.full_name}",
                Cause.ALREADY_EXISTS,
            )
        _refuse_move(each, found, moves=moves)


def _refuse_move(wanted: Wanted, there: DeploymentResponse, *, moves: bool) -> None:
    old, new = (parameters.get("source", {}) for parameters in (there.parameters, wanted.parameters))
    if not moves and any(old.get(key) != new.get(key) for key in ("repository", "folder")):
        raise ParameterError(
            f"{wanted.full_name} is registered with another source: {_place(old)}.",
            f"if this app has moved to {_place(new)}, add --move; another app needs another name in slipway.yaml.",
            Cause.ALREADY_EXISTS,
        )


def _place(source: Mapping[str, str]) -> str:
    folder = source.get("folder")
    return f"{source.get('repository')}{f', folder {folder}' if folder else ''}"
