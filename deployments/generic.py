"""The deployments that prefect.yaml lists: for any app. `prefect deploy --all` would make the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import PrefectClient
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deployments.automations import RECONCILE, automate, dead_runs, tidy_up
from deployments.forms import Form, form_of
from deployments.register import Outcome, register
from deployments.wanted import Timetable, Wanted
from tasks.failures.cause import Cause
from tasks.failures.errors import ParameterError

FILE = Path(__file__).parent.parent / "prefect.yaml"


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Schedule(_Said):
    cron: str
    timezone: str = "UTC"
    active: bool = True


class _Pool(_Said):
    name: str
    work_queue_name: str | None = None
    job_variables: dict[str, Any] | None = None


class _Deployment(_Said):
    name: str
    entrypoint: str
    description: str
    work_pool: _Pool
    tags: list[str] = []
    parameters: dict[str, Any] = {}
    schedules: list[_Schedule] = Field([], max_length=1)
    pull: list[dict[str, Any]] | None = None


class _File(_Said):
    """As much of prefect.yaml as Slipway's own says; what Prefect knows besides is for `prefect deploy --all`."""

    deployments: list[_Deployment]
    pull: list[dict[str, Any]] | None = None
    name: str = ""
    prefect_version: str = Field("", alias="prefect-version")
    definitions: Any = None


async def register_generic(client: PrefectClient, wanted: Sequence[Wanted]) -> list[Outcome]:
    """All deployments, and the automations that are for all apps."""
    outcomes, ids = await register(client, wanted)
    automations = [*dead_runs(), *([tidy_up(ids[RECONCILE])] if RECONCILE in ids else [])]
    return [*outcomes, *await automate(client, automations)]


def generic_deployments(file: Path = FILE) -> list[Wanted]:
    """Loads the flows. ParameterError where the file says what this does not know."""
    said, form = _read(file), cache(form_of)
    return [_wanted(each, said, form(each.entrypoint), file.parent) for each in said.deployments]


def _read(file: Path) -> _File:
    try:
        return _File.model_validate(yaml.safe_load(file.read_text()))
    except (ValidationError, yaml.YAMLError) as error:
        raise ParameterError(
            f"{file} says something that Slipway does not register: {error}",
            "correct it, or register it with Prefect's own command in its folder: prefect deploy --all",
        ) from None
    except OSError as error:
        raise ParameterError(
            f"{file} cannot be read: {error.strerror}.",
            "run this from a clone of Slipway, as its documentation installs it.",
            Cause.NOT_FOUND,
        ) from None


def _wanted(said: _Deployment, file: _File, form: Form, folder: Path) -> Wanted:
    pull = said.pull if said.pull is not None else file.pull
    return Wanted(
        flow=form.flow,
        name=said.name,
        entrypoint=said.entrypoint,
        description=said.description,
        parameters=said.parameters,
        tags=tuple(said.tags),
        pool=said.work_pool.name,
        schema=form.schema,
        timetable=Timetable(**said.schedules[0].model_dump()) if said.schedules else None,
        pull_steps=tuple(_default_pull(folder) if pull is None else pull),
        queue=said.work_pool.work_queue_name,
        job_variables=said.work_pool.job_variables,
    )


def _default_pull(folder: Path) -> list[Mapping[str, Any]]:
    """What Prefect's command adds where nothing is said."""
    return [{"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}]
