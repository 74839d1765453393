"""The log of a run over a WebSocket."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.states import Completed
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.api.conftest import BEARER, a_run
from tests.api.test_requests import say


def socket(address: str, run: object, after: str = "", **headers: str) -> connect:
    url = f"{address.replace('http', 'ws', 1)}/deployments/{run}/logs/socket?after={after}"
    return connect(url, additional_headers=BEARER | headers, proxy=None)


async def all_of(address: str, run: object, after: str = "") -> tuple[list[dict[str, Any]], int]:
    """What is told until the end, and the code that it is closed with."""
    async with socket(address, run, after) as told:
        found = [json.loads(each) async for each in told]
        assert told.close_code is not None
        return found, told.close_code


async def test_it_tells_each_line_once_and_the_end_and_goes_on_after_a_line(
    address: str, client: PrefectClient
) -> None:
    run = await a_run(client)
    await say(client, run, *(f"line {n}" for n in range(50)), "token=ghp_" + "a" * 36)
    async with socket(address, run.id) as kept:  # keeps the log in the server
        first = [json.loads(await kept.recv()) for _ in range(10)]
        await say(client, run, "Finished in state Completed()")
        await client.set_flow_run_state(run.id, Completed(), force=True)
        (whole, code), (rest, _) = await asyncio.gather(
            all_of(address, run.id), all_of(address, run.id, first[-1]["id"])
        )
    assert code == 1000
    expected = [*(f"line {n}" for n in range(50)), "token=***", "Finished in state Completed()"]
    assert [each["message"] for each in whole if each["event"] == "line"] == expected
    assert whole[-1] == {"event": "end", "state": "Completed"}
    assert rest == whole[10:]


async def test_strangers_and_pages_of_other_sites_get_none(address: str, client: PrefectClient) -> None:
    run = await a_run(client)
    for run_id, headers, code in (
        (run.id, {"Authorization": "Bearer wrong"}, 401),
        (run.id, {"Origin": "https://evil.example"}, 403),
        (uuid4(), {}, 404),
    ):
        with pytest.raises(InvalidStatus) as refused:
            async with socket(address, run_id, **headers):
                raise AssertionError("it must not open")
        assert refused.value.response.status_code == code


async def test_who_goes_away_is_not_followed_for(address: str, client: PrefectClient) -> None:
    run = await a_run(client)
    await say(client, run, "line")
    async with socket(address, run.id) as told:
        await told.send("whatever")
        assert json.loads(await told.recv())["message"] == "line"
    with pytest.raises(ConnectionClosed):
        await told.recv()
    await client.set_flow_run_state(run.id, Completed(), force=True)
    assert (await all_of(address, run.id))[0][-1]["event"] == "end"
