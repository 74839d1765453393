"""Whether anything would start a run: the server, the workers of each pool, and what waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus, WorkPool
from prefect.client.schemas.sorting import FlowRunSort

WAITING = [StateType.SCHEDULED]
NOT_YET = ["AwaitingRetry", "Suspended"]  # scheduled too, and at work already
PAGE = 200
ANSWER_S = 10.0


async def pools(client: PrefectClient) -> list[WorkPool]:
    return await client.read_work_pools(limit=PAGE)


async def workers(client: PrefectClient) -> list[dict[str, Any]]:
    """Each pool with its workers; `able` is whether a run there would be started."""
    found = []
    for pool in await pools(client):
        there = await client.read_workers_for_work_pool(pool.name)
        online = [each.name for each in there if each.status == WorkerStatus.ONLINE]
        found.append({
            "pool": pool.name,
            "type": pool.type,
            "paused": pool.is_paused,
            "able": bool(online) and not pool.is_paused,
            "limit": pool.concurrency_limit,
            "online": online,
            "offline": [each.name for each in there if each.status != WorkerStatus.ONLINE],
            "heard": max((each.last_heartbeat_time for each in there if each.last_heartbeat_time), default=None),
        })  # fmt: skip
    return found


async def queue(client: PrefectClient, now: datetime | None = None) -> list[dict[str, Any]]:
    """What should have begun and has not, by pool: how many, and for how long the first of them has waited."""
    now = now or datetime.now(UTC)
    found = []
    for pool in await pools(client):
        due = await _due(client, pool.name, now)
        waits = [(now - each.expected_start_time).total_seconds() for each in due if each.expected_start_time]
        found.append({
            "pool": pool.name,
            "waiting": len(due),
            "longest_s": round(max(waits, default=0.0), 1),
            "runs": [{"id": str(each.id), "name": each.name} for each in due[:20]],
        })  # fmt: skip
    return found


async def _due(client: PrefectClient, pool: str, now: datetime) -> Sequence[FlowRun]:
    return await client.read_flow_runs(
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(
                type=FlowRunFilterStateType(any_=WAITING), name=FlowRunFilterStateName(not_any_=NOT_YET)
            ),
            expected_start_time=FlowRunFilterExpectedStartTime(before_=now),
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=PAGE,
    )


async def is_well(client: PrefectClient) -> bool:
    """Whether Prefect answers a query in time: its own /health says yes also when its database is gone."""
    try:
        async with asyncio.timeout(ANSWER_S):  # its client would go on trying
            await client.read_work_pools(limit=1)
    except Exception:  # whatever its client says
        return False
    return True
