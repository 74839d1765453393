"""One deployment as it is to be in Prefect, and in which fields the one that is there differs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect.client.schemas.objects import ConcurrencyLimitStrategy, DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule


@dataclass(frozen=True, slots=True)
class Timetable:
    """When Prefect starts runs by itself: cron in a time zone."""

    cron: str
    timezone: str = "UTC"
    active: bool = True  # when it is made; what a person switches on or off in the UI stays so
    parameters: tuple[tuple[str, Any], ...] = ()  # of the runs that it starts, where they differ from the form's

    @property
    def schedule(self) -> CronSchedule:
        return CronSchedule(cron=self.cron, timezone=self.timezone)


# The work queue of runs that must wait behind no other: a worker's limit counts also runs that wait for an approval.
RECOVERY = "recovery"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is not said here (job variables, paused) is left as it is in Prefect."""

    flow: str  # deploy
    name: str  # shop-production
    entrypoint: str  # flows.deploy.deploy: a worker needs Slipway, and no folder
    description: str
    parameters: Mapping[str, Any]
    tags: tuple[str, ...]
    pool: str
    schema: Mapping[str, Any]  # JSON Schema of the form in the UI, which Prefect's API enforces
    timetable: Timetable | None = None
    limit: int | None = None  # runs at the same time; one more is cancelled at once
    pull_steps: tuple[Mapping[str, Any], ...] = ()
    queue: str | None = None
    job_variables: Mapping[str, Any] | None = None
    keeps_timetable: bool = field(default=False)  # one that is there, or was taken away by a person, stays so

    @property
    def full_name(self) -> str:
        return f"{self.flow}/{self.name}"


def fields_of(wanted: Wanted) -> dict[str, Any]:
    """What Prefect's API calls the fields that are said, but for schedules and concurrency."""
    said: dict[str, Any] = {
        "entrypoint": wanted.entrypoint,
        "description": wanted.description,
        "parameters": dict(wanted.parameters),
        "tags": list(wanted.tags),
        "work_pool_name": wanted.pool,
        "parameter_openapi_schema": _plain(wanted.schema),
        "enforce_parameter_schema": True,
        "pull_steps": [dict(step) for step in wanted.pull_steps],
    }
    said |= {"work_queue_name": wanted.queue} if wanted.queue else {}
    return said | ({"job_variables": dict(wanted.job_variables)} if wanted.job_variables is not None else {})


def differences(wanted: Wanted, there: DeploymentResponse) -> dict[str, Any]:
    """The fields that are to be changed, with what they are to be; nothing where all is as it is to be."""
    found = {
        name: value
        for name, value in fields_of(wanted).items()
        if _comparable(name, value) != _comparable(name, getattr(there, name))
    }
    held = there.global_concurrency_limit.limit if there.global_concurrency_limit else None
    if wanted.limit != held:
        found["concurrency_limit"] = wanted.limit
    options = there.concurrency_options
    if wanted.limit and (options is None or options.collision_strategy != ConcurrencyLimitStrategy.CANCEL_NEW):
        found["concurrency_options"] = {"collision_strategy": ConcurrencyLimitStrategy.CANCEL_NEW}
    return found


def is_on_time(wanted: Wanted, schedules: list[DeploymentSchedule]) -> bool:
    """Whether the schedules that are there need no change."""
    if wanted.keeps_timetable:
        return True
    if wanted.timetable is None:
        return not schedules
    return [_comparable_schedule(each.schedule) for each in schedules] == [
        (wanted.timetable.cron, wanted.timetable.timezone)
    ]


def _comparable_schedule(schedule: object) -> object:
    return (schedule.cron, schedule.timezone) if isinstance(schedule, CronSchedule) else schedule


def _comparable(name: str, value: Any) -> Any:
    if name == "tags":
        return set(value or ())
    return _plain(value or None)


def _plain(value: Any) -> Any:
    """As it comes back from Prefect's database."""
    return json.loads(json.dumps(value, default=str))
