"""A run whose process is gone is marked Crashed, however far it had come; one that ended or waits is left alone."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State
from prefect.states import Cancelling, Completed, Paused, Pending, Running, Scheduled

from deployments.automations import automate, dead_runs
from tests.servers import prefect_server_in, used_by_prefect

SILENCE = timedelta(seconds=10)  # Prefect takes no less
PATIENCE_S = 120


@flow(name="deploy")
async def deploy() -> None:
    """Is never called: only its runs are looked at."""


async def run_in(client: PrefectClient, *states: State[Any]) -> UUID:
    run = await client.create_flow_run(deploy)
    for state in states:
        await client.set_flow_run_state(run.id, state, force=True)
    return run.id


async def name_of_state(client: PrefectClient, run: UUID) -> str | None:
    return (await client.read_flow_run(run)).state_name


@pytest.mark.faults
async def test_a_run_is_marked_dead_whatever_was_heard_of_it_last(database: Path, tmp_path: Path) -> None:
    """One that was killed when it had just begun, before its first heartbeat, stayed Running for ever."""
    async with AsyncExitStack() as stack:
        stack.enter_context(used_by_prefect(await prefect_server_in(stack, tmp_path, database)))
        client = await stack.enter_async_context(get_client())
        await automate(client, dead_runs(SILENCE))
        dead = {await run_in(client, Pending()), await run_in(client, Running())}
        cancelled = await run_in(client, Running(), Cancelling())
        ended = dict.fromkeys(dead, "Crashed") | {cancelled: "Cancelled"}
        left: list[list[State[Any]]] = [
            [Scheduled()],
            [Running(), Completed()],
            [Running(), Paused(timeout_seconds=600)],
        ]
        others = {await run_in(client, *states): states[-1].name for states in left}
        async with asyncio.timeout(PATIENCE_S):
            while {run: await name_of_state(client, run) for run in ended} != ended:  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        assert {run: await name_of_state(client, run) for run in others} == others
