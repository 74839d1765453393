"""`slipway logs` where there is no Prefect server: the log as it is kept, and an address for others to download it."""

from __future__ import annotations

import asyncio
import gzip
import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from cli.logs import logs_command
from infra.gcp.storage import buckets, objects
from tasks.failures.errors import ParameterError
from tasks.observe.archive import Shelf, log_name
from tasks.observe.kept import KIND, KeptLog, Line, RunSaid, packed
from tests.conftest import PROJECT
from tests.tasks.repos import Repo


@pytest.fixture
async def kept(cloud_env: dict[str, str], tmp_path: Path) -> tuple[Path, str]:
    """The folder of an app with a run whose log is kept, and the run."""
    bucket, run, now = f"records-{uuid4().hex[:12]}", uuid4(), datetime.now(UTC)
    await buckets.create_bucket(bucket, PROJECT, "EUROPE-WEST1", {})
    line = Line(id=uuid4(), at=now, level=20, message="shop is v1.0.0")
    log = KeptLog(run=RunSaid(id=run, name="shop", state="Completed"), lines=(line,))
    name = log_name(Shelf(bucket, "shop", "staging"), FlowRun(id=run, flow_id=uuid4(), created=now))
    await objects.write_bytes(bucket, name, packed(log), KIND, 0)
    places = f"{{project: {PROJECT}, regions: [europe-west1], bucket: {bucket}}}"
    manifest = f"app: shop\nservices:\n  web:\nenvironments:\n  staging: {places}\n"
    repo = Repo.init(tmp_path / "shop")
    repo.commit(**{"slipway.yaml": manifest})
    return repo.path, str(run)


async def test_a_kept_log_is_downloaded_by_whoever_has_its_address_and_the_address_is_good_for_minutes(
    kept: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, run = kept
    asked = partial(logs_command, run, environment="staging", url=True, repository=str(folder))
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
        assert await asyncio.to_thread(asked) == 0
    [url] = capsys.readouterr().out.split()
    assert parse_qs(urlsplit(url).query)["X-Goog-Expires"] == ["900"]
    first, second = gzip.decompress(httpx.get(url).content).splitlines()
    assert (json.loads(first)["id"], json.loads(second)["message"]) == (run, "shop is v1.0.0")


def test_only_an_address_is_signed() -> None:
    with pytest.raises(ParameterError, match="Nothing is to be signed"):
        logs_command("run", account="me@acme.example")
