"""Makes what is in Prefect as it is to be: creates what is missing, changes what differs, leaves the rest alone.

Every write is one request that can be made again. Who is stopped in the middle runs it again, and it goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    DeploymentFilterTags,
    FlowFilter,
    FlowFilterId,
)
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound

from deployments.wanted import Timetable, Wanted, differences, fields_of, is_on_time
from tasks.failures.cause import Cause
from tasks.failures.errors import ParameterError

PAGE = 200  # as many as Prefect gives at once
NO_OVERLAP = ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)


class Change(StrEnum):
    """What registering did."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    GONE = "gone from slipway.yaml"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one deployment or automation."""

    name: str
    change: Change
    fields: tuple[str, ...] = ()


async def register(client: PrefectClient, wanted: Sequence[Wanted]) -> tuple[list[Outcome], dict[str, UUID]]:
    """What became of each, and its id by its full name. ParameterError when a work pool is not there."""
    for pool in dict.fromkeys(each.pool for each in wanted):
        await refuse_missing(client, pool)
    there = await read_named(client, {each.name for each in wanted})
    outcomes, ids, flows = [], {}, {}
    for each in wanted:
        found = there.get(each.full_name)
        if not found and each.flow not in flows:
            flows[each.flow] = await client.create_flow_from_name(each.flow)
        ids[each.full_name] = found.id if found else await _create(client, each, flows[each.flow])
        fields = await _update(client, each, found) if found else []
        change = Change.CHANGED if fields else Change.UNCHANGED if found else Change.CREATED
        outcomes.append(Outcome(each.full_name, change, tuple(fields)))
    return outcomes, ids


async def read_named(client: PrefectClient, names: Iterable[str]) -> dict[str, DeploymentResponse]:
    """By full name."""
    return await _by_full_name(client, DeploymentFilter(name=DeploymentFilterName(any_=sorted(names))))


async def read_tagged(client: PrefectClient, *tags: str) -> dict[str, DeploymentResponse]:
    """By full name."""
    return await _by_full_name(client, DeploymentFilter(tags=DeploymentFilterTags(all_=list(tags))))


async def _by_full_name(client: PrefectClient, wanted: DeploymentFilter) -> dict[str, DeploymentResponse]:
    found: list[DeploymentResponse] = []
    while len(found) % PAGE == 0:
        some = await client.read_deployments(deployment_filter=wanted, limit=PAGE, offset=len(found))
        if not some:
            break
        found += some
    flows = FlowFilter(id=FlowFilterId(any_=list({each.flow_id for each in found})))
    names = {flow.id: flow.name for flow in await client.read_flows(flow_filter=flows, limit=PAGE)} if found else {}
    return {f"{names[each.flow_id]}/{each.name}": each for each in found}


async def refuse_missing(client: PrefectClient, pool: str) -> None:
    """ParameterError where there is no such work pool."""
    try:
        await client.read_work_pool(pool)
    except ObjectNotFound:
        raise ParameterError(
            f"Prefect has no work pool {pool}, so nothing would start the runs.",
            f"create it, prefect work-pool create {pool} --type process, or name another one.",
            Cause.NOT_FOUND,
        ) from None


async def _create(client: PrefectClient, wanted: Wanted, flow: UUID) -> UUID:
    said = fields_of(wanted)
    timetable = wanted.timetable
    schedules = [_schedule(timetable)] if timetable else []
    return await client.create_deployment(
        flow_id=flow,
        name=wanted.name,
        schedules=schedules,
        concurrency_limit=wanted.limit,
        concurrency_options=NO_OVERLAP if wanted.limit else None,
        **said,
    )


async def _update(client: PrefectClient, wanted: Wanted, there: DeploymentResponse) -> list[str]:
    """The names of what was changed, in the words of the UI."""
    changes = differences(wanted, there)
    if changes:
        await client.update_deployment(there.id, DeploymentUpdate(**changes))
    on_time = is_on_time(wanted, there.schedules)
    if not on_time:
        await _reschedule(client, wanted, there)
    names = [*_named(changes, there), *([] if on_time else ["schedule"])]
    return list(dict.fromkeys(names))


async def _reschedule(client: PrefectClient, wanted: Wanted, there: DeploymentResponse) -> None:
    """The first schedule is changed in place, so that it stays off where a person has switched it off."""
    first, others = there.schedules[:1], there.schedules[1:]
    for each in others if wanted.timetable else there.schedules:
        await client.delete_deployment_schedule(there.id, each.id)
    if wanted.timetable is None:
        return
    if first:
        await client.update_deployment_schedule(there.id, first[0].id, schedule=wanted.timetable.schedule)
    else:
        await client.create_deployment_schedules(there.id, [_schedule(wanted.timetable)])


def _schedule(timetable: Timetable) -> DeploymentScheduleCreate:
    return DeploymentScheduleCreate(
        schedule=timetable.schedule, active=timetable.active, parameters=dict(timetable.parameters)
    )


NAMES = {
    "parameter_openapi_schema": "form",
    "enforce_parameter_schema": "form",
    "work_pool_name": "work pool",
    "work_queue_name": "work queue",
    "pull_steps": "pull steps",
    "job_variables": "job variables",
    "concurrency_limit": "concurrency",
    "concurrency_options": "concurrency",
}


def _named(changes: dict[str, Any], there: DeploymentResponse) -> list[str]:
    """Of the parameters, those that differ."""
    found = []
    for name, value in changes.items():
        if name == "parameters":
            keys = sorted(value.keys() | there.parameters.keys())
            found += [f"parameter {key}" for key in keys if value.get(key) != there.parameters.get(key)]
        else:
            found.append(NAMES.get(name, name))
    return found
