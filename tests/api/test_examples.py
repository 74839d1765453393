"""The examples of docs/how-to/serve.md, run as they stand there."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from pathlib import Path
from uuid import uuid4

from prefect.client.orchestration import PrefectClient
from prefect.states import Completed

from api.settings import Settings
from infra.gcp.iam.identity import fetch_id_token, whoami
from tests.api.conftest import SECRET, TOKEN, a_run, registered, serving
from tests.api.test_requests import say

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "serve.md"
BLOCKS: list[str] = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
AUDIENCE = "https://slipway.acme.example"
GCLOUD = """#!/bin/sh
echo "$*" | grep -q -- "auth print-identity-token --audiences=$AUDIENCE --include-email" && printf %s "$ID_TOKEN"
"""


def example(of: str) -> str:
    """The one that asks for this."""
    (found,) = [block for block in BLOCKS if of in block]
    return found


async def typed(block: str, **variables: str) -> str:
    """What it prints; its shell ends at the first command that fails."""
    shell = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", block,
        env={**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **variables},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(120):
        said, errors = await shell.communicate()
    assert shell.returncode == 0, f"{said.decode()}\n{errors.decode()}"
    return said.decode()


def test_every_example_is_tried() -> None:
    tried = {
        example(of)
        for of in ("/hooks/generic", "--data '{", '$RUN"', "/cancel", "print-identity", "/stream", "/metrics")
    }
    assert tried == set(BLOCKS)
    assert shutil.which("curl")


async def test_a_push_is_signed_as_the_example_does(address: str, client: PrefectClient) -> None:
    name = f"shop-{uuid4().hex[:8]}"
    await registered(client, name, f"https://git.acme.example/{name}.git")
    block = example("/hooks/generic").replace("acme.example/shop.git", f"acme.example/{name}.git")
    said = await typed(block, SLIPWAY=address, SECRET=SECRET.decode(), OLD="a" * 40, NEW="b" * 40)
    assert f"deploy/{name}-staging" in said


async def test_a_run_is_started_looked_at_and_cancelled(address: str, client: PrefectClient) -> None:
    name = f"shop-{uuid4().hex[:8]}"
    await registered(client, name, f"https://host/{name}.git")
    known = {"SLIPWAY": address, "TOKEN": TOKEN.decode()}
    started = await typed(example("--data '{").replace('"shop"', f'"{name}"').replace("4711", name), **known)
    (run,) = re.findall(r'"id":"(.*?)"', started)
    assert '"state":"Scheduled"' in await typed(example('$RUN"'), **known, RUN=run)
    assert "Cancelling" in await typed(example("/cancel"), **known, RUN=run)


async def test_a_log_is_followed_and_health_is_asked_for(address: str, client: PrefectClient) -> None:
    run, known = await a_run(client), {"SLIPWAY": address, "TOKEN": TOKEN.decode()}
    await say(client, run, "it is built", "Finished in state Completed()")
    await client.set_flow_run_state(run.id, Completed(), force=True)
    assert "it is built" in await typed(example("/stream"), **known, RUN=str(run.id))
    assert "slipway_runs_active" in await typed(example("/metrics"), **known)


async def test_a_google_identity_is_a_caller(prefect: None, tmp_path: Path) -> None:
    """gcloud's answer is one that the local cloud has made."""
    (tmp_path / "gcloud").write_text(GCLOUD)
    (tmp_path / "gcloud").chmod(0o755)
    settings = Settings(audience=AUDIENCE, callers=frozenset({(await whoami()).lower()}))
    async with serving(settings) as address:
        said = await typed(
            example("print-identity"),
            SLIPWAY=address, AUDIENCE=AUDIENCE, ACCOUNT=await whoami(), ID_TOKEN=await fetch_id_token(AUDIENCE),
            PATH=f"{tmp_path}:{os.environ['PATH']}",
        )  # fmt: skip
    assert said.startswith("[")
