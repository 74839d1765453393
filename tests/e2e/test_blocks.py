"""prefect-gcp's blocks: credentials that the environment names, and results kept in a bucket."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from google.cloud import storage
from prefect import get_client
from prefect.client.schemas.actions import BlockDocumentCreate
from prefect_gcp import GcpCredentials, GcsBucket

from flows.deploy import deploy
from flows.doctor import doctor
from infra.gcp import project
from infra.gcp.calls.clients import use_credentials
from infra.gcp.calls.rest import access_token
from tasks.failures.errors import ParameterError, PreflightFailed
from tasks.orchestration.credentials import use_credentials_block
from tasks.source.source import Source
from tests.conftest import PROJECT
from tests.e2e.conftest import App
from tests.infra.emulator.identities import grant_on, new_identity, new_workload

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


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"service_account_info": {"type": "external_account", "audience": "//iam"}}, "missing fields"),
        ({"service_account_file": "/no/such/key.json"}, "path to the service account is invalid"),
    ],
)
async def test_a_block_that_holds_no_key_is_told_from_one_that_does_not_exist(
    monkeypatch: pytest.MonkeyPatch, data: dict[str, object], said: str
) -> None:
    """As the UI lets anybody save it."""
    monkeypatch.setenv("SLIPWAY_GCP_CREDENTIALS_BLOCK", "no-key")
    await GcpCredentials.aregister_type_and_schema()
    async with get_client() as client:
        kind = await client.read_block_type_by_slug("gcp-credentials")
        schema = await client.get_most_recent_block_schema_for_block_type(kind.id)
        assert schema is not None
        made = await client.create_block_document(
            BlockDocumentCreate(name="no-key", data=data, block_type_id=kind.id, block_schema_id=schema.id)
        )
        try:
            with pytest.raises(ParameterError, match=f"holds no credentials that can be used: .*{said}"):
                await use_credentials_block()
        finally:
            await client.delete_block_document(made.id)


async def test_a_block_without_a_key_lends_default_credentials_that_are_good_for_every_api(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A federated workload has no tokens without a scope."""
    account = new_identity(tmp_path, ["roles/browser"], PROJECT)
    workload = new_workload(tmp_path, new_identity(tmp_path), acts_as=account)
    grant_on(account, workload.member, "roles/iam.workloadIdentityUser")
    await GcpCredentials().save("empty", overwrite=True)
    monkeypatch.setenv("SLIPWAY_GCP_CREDENTIALS_BLOCK", "empty")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(workload.key_file))
    try:
        await use_credentials_block()
        assert await access_token()
        assert (await project.get_project(PROJECT)).id == PROJECT
    finally:
        use_credentials(None)


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
