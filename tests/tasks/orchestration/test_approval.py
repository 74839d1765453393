"""A person is asked as often as there is something to decide."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from prefect import flow, get_client
from prefect.runtime import flow_run

from tasks.orchestration.approval import ask


async def answer(run_id: UUID, who: str) -> None:
    """As soon as the run waits for it."""
    async with get_client() as client, asyncio.timeout(60):
        while not ((state := (await client.read_flow_run(run_id)).state) and state.is_paused()):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        await client.resume_flow_run(run_id, {"decision": "go", "who": who})


@pytest.mark.faults
async def test_what_comes_up_again_is_asked_again(prefect: None) -> None:
    """As the same step of a canary in the next region."""
    started: asyncio.Future[UUID] = asyncio.get_running_loop().create_future()

    @flow(name="deploy")
    async def deploy() -> list[str]:
        started.set_result(UUID(str(flow_run.id)))
        return [(await ask("Go on?", "step-5", 60, "")).who for _ in range(2)]

    running = asyncio.ensure_future(deploy())
    for who in ("Ada", "Bob"):
        await answer(await started, who)
    assert await running == ["Ada", "Bob"]
