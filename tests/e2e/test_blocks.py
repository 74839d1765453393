"""prefect-gcp's blocks: credentials that the environment names, and results kept in a bucket."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.cloud import storage
from prefect_gcp import GcpCredentials, GcsBucket

from flows.deploy import deploy
from flows.doctor import doctor
from infra.gcp.calls.clients import use_credentials
from tasks.failures.errors import ParameterError, PreflightFailed
from tasks.source.source import Source
from tests.conftest import PROJECT
from tests.e2e.conftest import App
from tests.infra.emulator.identities import new_identity

pytestmark = pytest.mark.usefixtures("cloud_env")


async def test_a_run_acts_with_the_credentials_of_the_block_that_the_environment_names(
    shop: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account without any role is told so, although the default credentials may do everything."""
    nobody = new_identity(tmp_path, [], PROJECT)
    key = json.loads(nobody.key_file.read_text())
    await GcpCredentials(service_account_info=key).save("nobody", overwrite=True)
    monkeypatch.setenv("SLIPWAY_GCP_CREDENTIALS_BLOCK", "nobody")
    try:
        with pytest.raises(PreflightFailed, match=nobody.email):
            await doctor(Source(repository=str(shop.folder)), "production")
    finally:
        use_credentials(None)


async def test_a_block_that_does_not_exist_is_named(shop: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_GCP_CREDENTIALS_BLOCK", "no-such-block")
    with pytest.raises(ParameterError, match="no-such-block"):
        await doctor(Source(repository=str(shop.folder)), "production")


async def test_results_persist_in_a_bucket(shop: App) -> None:
    bucket = f"{shop.name}-results"
    storage.Client().create_bucket(bucket)
    block = GcsBucket(bucket=bucket, gcp_credentials=GcpCredentials())
    await block.save("results", overwrite=True)
    kept = deploy.with_options(persist_result=True, result_storage=block)
    state = await kept(Source(repository=str(shop.folder)), "production", return_state=True)
    assert state.is_completed()
    assert (await state.aresult()).version.version == "v1.0.0"
    assert list(storage.Client().list_blobs(bucket))
