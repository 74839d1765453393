"""Prefect's own worker for pools of Cloud Run, with Slipway's base job template, on the local cloud."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest
from google.cloud import run_v2
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
from prefect import flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate

from deployments.pools.templates import SCRATCH, file_of
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_run import HELLO, PARENT, new_name

pytestmark = [
    pytest.mark.skipif(not importlib.util.find_spec("socks"), reason="pysocks of requirements.lock is not installed"),
    pytest.mark.timeout(600),
    pytest.mark.faults,  # the worker looks at a job every five seconds
]
NAMES = ("PREFECT_HOME", "PREFECT_API_SSL_CERT_FILE", "PREFECT__FLOW_RUN_ID")
TELL = f"python3 -c 'import os; print(*map(os.environ.get, {json.dumps(NAMES)}))'"
SETTINGS = {
    "image": HELLO,
    "region": "europe-west1",
    "service_account_name": None,
    "prefect_api_auth_string_secret": None,
    "command": TELL,
}


@flow
async def shipping() -> None:
    """What a container would run."""


async def test_a_run_is_a_job_that_finds_its_place_and_is_taken_away_when_it_has_ended(
    cloud: LocalCloud, cloud_env: dict[str, str], prefect_server: dict[str, str], tmp_path: Path
) -> None:
    pool = new_name("pool")
    own = {"PREFECT_HOME": str(tmp_path), "PREFECT_API_SSL_CERT_FILE": cloud_env["SSL_CERT_FILE"]}
    variables = {**os.environ, **cloud_env, **prefect_server, **own}
    async with PrefectClient(prefect_server["PREFECT_API_URL"]) as client:
        template = json.loads(file_of("cloud-run-v2").read_text())
        await client.create_work_pool(WorkPoolCreate(name=pool, type="cloud-run-v2", base_job_template=template))
        deployment = await client.create_deployment(
            await client.create_flow(shipping), pool, work_pool_name=pool, job_variables=SETTINGS
        )
        run = await client.create_flow_run_from_deployment(deployment)
    command = (sys.executable, "-m", "prefect", "worker", "start", "--pool", pool, "--run-once")
    worker = await asyncio.create_subprocess_exec(
        *command, env=variables, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    told, _ = await worker.communicate()
    assert " succeeded" in told.decode(), told.decode()
    assert f"{SCRATCH}/prefect None {run.id}" in lines(str(run.id))
    left = [job.name for job in run_v2.JobsClient().list_jobs(parent=PARENT)]
    assert not [name for name in left if name.startswith(f"{PARENT}/jobs/{run.name}")]


def lines(word: str) -> list[str]:
    condition = f'log_id("run.googleapis.com/stdout") AND "{word}"'
    entries = LoggingServiceV2Client().list_log_entries(resource_names=[f"projects/{PROJECT}"], filter=condition)
    return [entry.text_payload for entry in entries]
