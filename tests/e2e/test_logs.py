"""What a run has said can be read when Prefect does not have it any more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prefect import get_client
from prefect.settings import PREFECT_API_URL

from flows.deploy import deploy
from tasks.source.source import Source
from tests.cli.command import slipway
from tests.e2e.conftest import App

pytestmark = pytest.mark.usefixtures("cloud_env")


async def test_the_log_of_a_release_outlives_its_run(shop: App, tmp_path: Path) -> None:
    async def logs(*arguments: str, **env: str) -> str:
        done = await asyncio.to_thread(slipway, "logs", *arguments, cwd=shop.folder, **env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    state = await deploy(Source(repository=str(shop.folder)), "production", return_state=True)
    run_id = state.state_details.flow_run_id
    assert run_id is not None
    run = str(run_id)
    server = {"PREFECT_API_URL": str(PREFECT_API_URL.value())}
    assert f"{shop.name} is v1.0.0" in await logs(run, **server)
    async with get_client() as client:
        await client.delete_flow_run(run_id)
    by_id = await logs(run, **server)  # where the server remembers that something was released to
    assert f"{shop.name} is v1.0.0" in by_id
    assert f"{shop.name} v1.0.0 -> production: Completed" in by_id
    nowhere = {"PREFECT_API_URL": "http://127.0.0.1:9/api", "PREFECT_CLIENT_MAX_RETRIES": "0"}
    assert await logs("--environment=production", **nowhere) == by_id  # slipway.yaml says where the records are
