"""A run in a container that is told to end, as by an eviction or a cancelled execution: it gives traffic back first."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import PrefectClient

from deployments.own import NO_PULL
from deployments.pools.templates import KINDS, file_of
from tests.infra.emulator.emulated_run import new_name

pytestmark = pytest.mark.faults  # Prefect looks once in three seconds whether the flow has ended
FLOW = """\
import asyncio
from pathlib import Path
from prefect import flow

@flow
async def shipping():
    Path("began").touch()
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        Path("gave_back").touch()
        raise
"""


@flow
async def shipping() -> None:
    """By its name: what is run is in the file."""


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"process"}))
async def test_the_signal_that_a_container_gets_reaches_the_flow(
    kind: str, prefect_server: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "told.py").write_text(FLOW)
    async with PrefectClient(prefect_server["PREFECT_API_URL"]) as client:
        deployment = await client.create_deployment(
            await client.create_flow(shipping), new_name("told"), entrypoint="told.py:shipping", pull_steps=[*NO_PULL]
        )
        run = await client.create_flow_run_from_deployment(deployment)
    said = json.loads(file_of(kind).read_text())["variables"]["properties"]["env"]["default"]
    own = {name: value for name, value in said.items() if value} | {"PREFECT_HOME": str(tmp_path / "home")}
    variables = {**os.environ, **prefect_server, **own, "PREFECT__FLOW_RUN_ID": str(run.id)}
    command = (sys.executable, "-m", "prefect", "flow-run", "execute")
    process = await asyncio.create_subprocess_exec(*command, env=variables, cwd=tmp_path, start_new_session=True)
    try:
        async with asyncio.timeout(120):
            while not (tmp_path / "began").exists():  # noqa: ASYNC110 - the file is written by another process
                await asyncio.sleep(0.1)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 1
        assert (tmp_path / "gave_back").exists()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
