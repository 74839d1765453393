"""Why a release ended, as Prefect knows it."""

from __future__ import annotations

import asyncio
from uuid import UUID

from prefect import flow, get_client
from prefect.runtime import flow_run
from prefect.states import Cancelling

from tasks.history.record import State
from tasks.history.run import why_ended


async def test_a_release_by_its_tag_is_cancelled_with_the_run_that_it_is_within(prefect: None) -> None:
    found: list[tuple[State, str]] = []

    @flow(name="deploy")
    async def deploy() -> None:
        found.append(await why_ended(asyncio.CancelledError(), str(flow_run.id)))

    @flow(name="ship")
    async def ship(*, cancelled: bool) -> None:
        if cancelled:
            async with get_client() as client:
                await client.set_flow_run_state(UUID(str(flow_run.id)), Cancelling(), force=True)
        await deploy()

    for cancelled in (True, False):
        await ship(cancelled=cancelled, return_state=True)
    assert [state for state, _ in found] == [State.CANCELLED, State.FAILED]
