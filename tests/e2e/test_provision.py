"""The provision flow: real Terraform, a provider's process, the local cloud; after whatever, one more run is green.

The tests share an app and go through its life in their order.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import NotFound
from google.cloud.api_keys_v2 import ApiKeysClient
from google.cloud.secretmanager import SecretManagerServiceClient
from google.cloud.storage import Client as Storage
from prefect import get_client
from prefect.exceptions import ObjectNotFound

from flows.destroy import destroy
from flows.provision import provision
from infra.gcp.calls.polling import until
from infra.terraform.work import ERRORED, PLAN
from tasks.failures.errors import ParameterError, ProvisionFailed, ProvisionRefused
from tasks.names import provisioned
from tasks.provision.record import ProvisionRecord, State
from tasks.provision.site import STATE_HOME
from tasks.source.source import Source
from tests.conftest import PROJECT, LocalCloud, environment
from tests.e2e.conftest import ROOT, App, program

pytestmark = pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")

NAME, ENVIRONMENT = "around", "production"
BUCKET = f"{PROJECT}-slipway"
SAID = """{gateway: {openapi: api.yaml, api_key: true, service_account: around-caller},
      accounts: {around-caller: {roles: [roles/run.invoker]}}, secrets: {around-db: {readers: [around-caller]}},
      buckets: {up: }, timeouts: {grace: 5s}}"""
OPENAPI = """\
swagger: '2.0'
info: {title: TITLE, version: '1.0'}
securityDefinitions:
  key: {type: apiKey, name: key, in: query}
paths:
  /:
    get:
      operationId: home
      x-google-backend: {address: 'https://example.com'}
      security: [{key: []}]
      responses: {'200': {description: ok, schema: {type: string}}}
"""
RUN = """
import asyncio, sys
from flows.provision import provision
from tasks.source.source import Source
asyncio.run(provision(Source(repository=sys.argv[1]), sys.argv[2], fresh=["key"]))
"""


class Around:
    """An app with what Terraform makes around it."""

    def __init__(self, folder: Path, cloud: LocalCloud) -> None:
        self.app, self.cloud, self.state = App(folder / "repository", NAME), cloud, folder / "state"
        self.app.folder.mkdir()
        self.app.write("web", program())
        self.app.manifest("  web: {public: true}", f"provision: {SAID}")
        self.describe("shop")

    def describe(self, title: str) -> None:
        (self.app.folder / "api.yaml").write_text(OPENAPI.replace("TITLE", title))
        self.app.commit()

    @property
    def source(self) -> Source:
        return Source(repository=str(self.app.folder))

    @property
    def work(self) -> Path:
        """Where Terraform works on this machine."""
        return next((self.state / "provision").iterdir())

    async def run(self) -> ProvisionRecord:
        return await provision(self.source, ENVIRONMENT)

    async def ends_green(self) -> ProvisionRecord:
        """One more run is, and the one after it changes nothing."""
        record = await self.run()
        assert record.state in (State.DONE, State.UNCHANGED)
        assert {each.name for each in record.outputs if not each.is_there} == {"service web in europe-west1"}
        assert (await self.run()).state is State.UNCHANGED
        assert not self.blob(provisioned.state_lock(NAME, ENVIRONMENT)).exists()
        return record

    def blob(self, name: str) -> Any:
        return Storage(project=PROJECT).bucket(BUCKET).blob(name)

    def deleted(self) -> int:
        return self.called("Delete")

    def called(self, word: str) -> int:
        return sum(often for method, often in self.cloud.calls().items() if word in method)


@pytest.fixture(scope="module")
def around(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Around]:
    folder = tmp_path_factory.mktemp("around")
    with environment({**cloud.env, STATE_HOME: str(folder / "state")}):
        yield Around(folder, cloud)


@pytest.fixture
async def slowly(around: Around) -> AsyncIterator[None]:
    """A gateway takes a while."""
    around.cloud.put("/latency", {"stages": {"apigateway.gateway": 12.0}})
    yield
    around.cloud.put("/latency", {"stages": {"apigateway.gateway": 0.0}})


async def test_a_first_run_makes_all_of_it_and_a_second_one_changes_nothing(around: Around) -> None:
    record = await around.ends_green()
    assert record.state is State.DONE
    sources = {each.name: each.source for each in record.outputs if each.is_there}
    assert set(sources) == {"gateway URL", "managed service", "API key", "account around-caller", "bucket up",
                            "secret around-db"}  # fmt: skip
    assert set(sources.values()) == {"terraform"}


async def test_where_the_state_is_lost_what_is_there_is_adopted_and_nothing_is_deleted(around: Around) -> None:
    secret = f"projects/{PROJECT}/secrets/{provisioned.key_secret(NAME, ENVIRONMENT)}"
    versions = SecretManagerServiceClient()
    kept = versions.access_secret_version(name=f"{secret}/versions/latest").payload.data
    twice = {"parent": secret, "payload": {"data": kept}}  # as a provider does that got no answer
    versions.add_secret_version(request=twice)
    before = around.deleted(), around.called("AddSecretVersion")
    around.blob(provisioned.state(NAME, ENVIRONMENT)).delete()
    record = await around.ends_green()
    assert len(record.adopted) == 9
    assert (around.deleted(), around.called("AddSecretVersion")) == before  # the key is kept once
    request = {"parent": secret, "filter": "state:ENABLED"}
    assert len(list(versions.list_secret_versions(request=request))) == 1


async def test_a_killed_run_leaves_terraform_to_finish_alone_and_the_next_one_takes_it_over(
    around: Around, slowly: None, prefect_server: dict[str, str]
) -> None:
    around.describe("anew")
    before = around.deleted()
    killed = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        RUN,
        str(around.app.folder),
        ENVIRONMENT,
        cwd=ROOT,
        env={**os.environ, **prefect_server},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )

    async def is_applying() -> bool:
        return any("apply_start" in log.read_text() for log in (around.work / "logs").glob("*-apply.jsonl"))

    for earlier in (around.work / "logs").glob("*-apply.jsonl"):
        earlier.unlink()
    await until(is_applying, limit_s=120.0, pause_s=0.1)
    killed.kill()
    await killed.wait()
    await forget_lease(f"slipway:{NAME}:({ENVIRONMENT}'s Terraform)")
    await around.ends_green()
    assert around.deleted() == before + 2  # the config that was followed, and the key


async def forget_lease(slot: str) -> None:
    """What the lease's end does after a minute."""
    async with get_client() as client:
        try:
            await client.delete_global_concurrency_limit_by_name(slot)
        except ObjectNotFound:
            pytest.fail(f"there is no {slot}")


async def test_a_strangers_lock_stops_a_run_with_their_name(around: Around) -> None:
    lock = around.blob(provisioned.state_lock(NAME, ENVIRONMENT))
    word = {"ID": "x", "Operation": "OperationTypeApply", "Who": "ada@laptop", "Created": "2026-11-28T10:00:00.1Z"}
    lock.upload_from_string(json.dumps(word))
    with pytest.raises(ProvisionRefused, match=r"locked by ada@laptop since 2026-11-28T10:00:00"):
        await around.run()
    lock.delete()


async def test_half_a_success_is_kept_and_told(around: Around) -> None:
    around.describe("refused")
    method = "google.cloud.apigateway.v1beta.ApiGatewayService/UpdateGateway"
    around.cloud.put("/faults", [{"method": method, "code": "PERMISSION_DENIED", "message": "not you"}])
    with pytest.raises(ProvisionFailed, match="1 resources were made or changed") as failed:
        await around.run()
    around.cloud.put("/faults", [])
    assert "google_api_gateway_gateway.gateway[0]" in failed.value.problem
    await around.ends_green()


async def test_no_key_is_in_prefects_database_or_in_a_log(around: Around) -> None:
    keys = ApiKeysClient()
    texts = [
        keys.get_key_string(name=key.name).key_string
        for key in keys.list_keys(parent=f"projects/{PROJECT}/locations/global")
    ]
    assert any(texts)
    async with get_client() as client:
        said = [each.message for each in await all_of_them(client.read_logs)]
        shown = [str(each.data) for each in await all_of_them(client.read_artifacts)]
    files = [path for path in around.state.rglob("*") if path.is_file() and not path.is_symlink()]
    everything = "\n".join([*said, *shown, *(path.read_text(errors="replace") for path in files)])
    assert "gateway URL" in everything
    assert not [text for text in texts if text in everything]
    assert around.work.stat().st_mode & 0o77 == 0
    assert not [path for path in files if path.name in (PLAN, ERRORED)]


async def all_of_them(read: Callable[..., Awaitable[list[Any]]]) -> list[Any]:
    """Page by page."""
    found: list[Any] = []
    while some := await read(limit=200, offset=len(found)):
        found += some
    return found


async def test_only_what_a_dry_run_has_shown_is_taken_away(around: Around) -> None:
    before = around.deleted()
    seen = await destroy(around.source, ENVIRONMENT)
    assert seen.state is State.PLANNED
    with pytest.raises(ParameterError, match="is another plan") as refused:
        await destroy(around.source, ENVIRONMENT, dry_run=False, agreed="somethingelse")
    assert around.deleted() == before
    name = refused.value.problem.rpartition(" ")[2].rstrip(".")
    done = await destroy(around.source, ENVIRONMENT, dry_run=False, agreed=name)
    assert done.state is State.DONE
    assert len(done.resources) == len(seen.resources)
    with pytest.raises(NotFound):
        Storage(project=PROJECT).get_bucket(f"{PROJECT}-{NAME}-up")
