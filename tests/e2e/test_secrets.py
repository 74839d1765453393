"""No secret is shown: planted ones are looked for in everything that failed runs leave behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from prefect import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

from flows.deploy import deploy
from infra.gcp.storage import objects
from tasks.failures.errors import SlipwayError
from tasks.source.source import Source
from tests.conftest import PROJECT, environment
from tests.e2e.conftest import RUN, App, program

pytestmark = pytest.mark.usefixtures("cloud_env")


LAST = "Finished in state Failed"  # so Prefect ends a failed run's log


@pytest.fixture
def secrets(cloud_env: dict[str, str]) -> Iterator[dict[str, str]]:
    """What must never be shown, by where it comes from."""
    key = json.loads(Path(cloud_env["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())["private_key"]
    planted = {
        "variable": "correct horse battery staple",
        "token": "ya29.a0AfB_byC4planted-token-0123456789",
        "signed URL": "5f1e9c0d3b7a2468planted",
        "key file": key.splitlines()[1],
    }
    with environment({"DATABASE_PASSWORD": planted["variable"]}):
        yield planted


def leaky(secrets: dict[str, str], after: str) -> str:
    """A program that says everything it knows when it starts, and in its answers."""
    said = [
        f"connecting with {secrets['variable']}",
        f"Authorization: Bearer {secrets['token']}",
        f"GET https://storage.googleapis.com/b/o?X-Goog-Algorithm=GOOG4&X-Goog-Signature={secrets['signed URL']}",
        f"-----BEGIN PRIVATE KEY-----\\n{secrets['key file']}\\n-----END PRIVATE KEY-----",
    ]
    return program(status=200, body=said[0], instead=f"print({chr(10).join(said)!r}, flush=True)\n{after}")


@pytest.mark.parametrize("after", ["sys.exit(3)\n", RUN], ids=["crashes", "answers with a secret"])
async def test_no_planted_secret_is_in_anything_that_a_failed_run_leaves(
    shop: App, secrets: dict[str, str], after: str, prefect_server: dict[str, str]
) -> None:
    shop.write("web", leaky(secrets, after))
    shop.commit("v1.1.0")
    with pytest.raises(SlipwayError) as caught:
        await deploy(Source(repository=str(shop.folder)), "production")
    kept = await records(shop)
    await logs_arrived(json.loads(next(iter(kept.values())))["run_id"])
    told = f"{caught.value!r} {caught.value}".encode()
    left = {"exception": told, **database(Path(prefect_server["PREFECT_HOME"])), **kept}
    assert all(name in b"".join(left.values()) for name in (shop.name.encode(), LAST.encode()))
    assert [f"{s} in {where}" for where, text in left.items() for s in secrets if secrets[s].encode() in text] == []


async def logs_arrived(run_id: str) -> None:
    """Prefect sends a run's log a little later than it is written."""
    of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[UUID(run_id)]))
    async with get_client() as client, asyncio.timeout(120):
        while not [log for log in await client.read_logs(of_run) if log.message.startswith(LAST)]:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


def database(home: Path) -> dict[str, bytes]:
    """The files of Prefect's database: runs, parameters, states, logs, artifacts and events."""
    return {file.name: file.read_bytes() for file in home.glob("prefect.db*")}


async def records(app: App) -> dict[str, bytes]:
    names = [o.name for o in await objects.list_objects(f"{PROJECT}-slipway", f"releases/{app.name}/")]
    return {name: await objects.read_from(f"{PROJECT}-slipway", name, 0) for name in names}
