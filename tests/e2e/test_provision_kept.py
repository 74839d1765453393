"""What a run finds that it must neither lose, nor make twice, nor take for its own: an app's life, test by test."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.cloud.exceptions import NotFound
from google.cloud.storage import Client as Storage
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import FlowRun

from flows.provision import provision
from infra.gcp.calls.polling import until
from tasks.failures.errors import ProvisionFailed, ProvisionRefused
from tasks.names import provisioned
from tasks.names.labels import labels
from tasks.names.tags import WAITS
from tasks.provision.left import MARGIN_S
from tasks.provision.record import ProvisionRecord, State, begin, read_records
from tasks.provision.site import STATE_HOME
from tasks.source.source import Source
from tests.conftest import EMPTY_PROJECT, PROJECT, LocalCloud, environment
from tests.e2e.conftest import App, program
from tests.e2e.test_provision import OPENAPI

pytestmark = pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")

NAME, ENVIRONMENT, BUCKET, FILES = "kept", "production", f"{PROJECT}-slipway", f"{PROJECT}-kept-files"
SAID = """{adopt: ADOPT, before_deploy: true, accounts: {kept-caller: }, buckets: {KEY: {name: FILES}},
      gateway: {openapi: api.yaml, api_key: true, service_account: kept-caller}, timeouts: {grace: 2s}}"""


class Kept:
    def __init__(self, folder: Path, cloud: LocalCloud) -> None:
        self.app, self.cloud, self.state = App(folder / "repository", NAME), cloud, folder / "state"
        self.app.folder.mkdir()
        self.app.write("web", program())
        self.say()

    def say(
        self, adopt: str = "own", key: str = "files", backend: str = "https://example.com", title: str = "shop"
    ) -> None:
        said = SAID.replace("ADOPT", adopt).replace("KEY", key).replace("FILES", FILES)
        self.app.manifest("  web: {public: true}", f"approval_timeout: 10m\n    provision: {said}")
        openapi = OPENAPI.replace("https://example.com", backend).replace("TITLE", title)
        (self.app.folder / "api.yaml").write_text(openapi)
        self.app.commit()

    async def run(self) -> ProvisionRecord:
        return await provision(Source(repository=str(self.app.folder)), ENVIRONMENT)

    def deleted(self) -> int:
        return sum(often for method, often in self.cloud.calls().items() if "Delete" in method)


@pytest.fixture(scope="module")
def kept(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    folder = tmp_path_factory.mktemp("kept")
    with environment({**cloud.env, STATE_HOME: str(folder / "state")}):
        yield Kept(folder, cloud)


async def test_a_plan_in_a_fresh_project_makes_nothing_not_even_a_bucket(kept: Kept, tmp_path: Path) -> None:
    fresh = App(tmp_path / "fresh", NAME)
    fresh.folder.mkdir()
    fresh.write("web", program())
    fresh.manifest("  web: {}", "provision: {accounts: {kept-caller: }, buckets: {up: }}", project=EMPTY_PROJECT)
    fresh.commit()
    seen = await provision(Source(repository=str(fresh.folder)), ENVIRONMENT, plan_only=True)
    assert seen.state is State.PLANNED
    assert {each.action for each in seen.resources} == {"create"}
    with pytest.raises(NotFound):
        Storage(project=EMPTY_PROJECT).get_bucket(f"{EMPTY_PROJECT}-slipway")


def by_hand(location: str, marks: dict[str, str]) -> None:
    """Somebody makes the bucket that slipway.yaml names, or makes it anew."""
    storage = Storage(project=PROJECT)
    bucket = storage.bucket(FILES)
    if bucket.exists():
        bucket.delete()
    bucket.labels = marks
    storage.create_bucket(bucket, location=location)


async def test_what_would_be_replaced_is_not_adopted(kept: Kept) -> None:
    by_hand("US", labels(NAME, ENVIRONMENT))
    with pytest.raises(ProvisionRefused, match=r"is adopted, and would be deleted and made anew, because location"):
        await kept.run()
    assert Storage(project=PROJECT).bucket(FILES).exists()


async def test_about_what_is_there_and_bears_no_label_a_person_is_asked(kept: Kept) -> None:
    by_hand("europe-west1", {})
    with pytest.raises(ProvisionRefused, match=f"nothing says that it is this environment's:\n- bucket {FILES}"):
        await kept.run()
    kept.say(adopt="ask")
    run = asyncio.create_task(kept.run())
    async with get_client() as client:
        wanted = FlowRunFilter(name=FlowRunFilterName(any_=[f"provision {NAME} in {ENVIRONMENT}{WAITS}"]))

        async def asked() -> FlowRun | None:
            if run.done():
                run.result()
            found = await client.read_flow_runs(flow_run_filter=wanted)
            return next((each for each in found if each.state and each.state.is_paused()), None)

        waiting = await until(asked, lambda found: found is not None, limit_s=240.0, pause_s=0.2)
        assert waiting is not None
        await client.resume_flow_run(waiting.id, {"decision": "go", "who": "Ada"})
    record = await run
    assert record.state is State.DONE
    assert record.adopted == ('google_storage_bucket.bucket["files"]',)


async def test_what_was_made_and_could_not_be_read_is_kept(kept: Kept) -> None:
    """Terraform calls it tainted: it would make a second config of the same name, which nobody can."""
    kept.say(title="anew")
    method = "google.cloud.apigateway.v1beta.ApiGatewayService/GetApiConfig"
    kept.cloud.put("/faults", [{"method": method, "code": "PERMISSION_DENIED", "message": "not you", "skip": 1}])
    try:
        with pytest.raises(ProvisionFailed, match=r"made or changed, \d not:\n- google_api_gateway_api_config"):
            await kept.run()
    finally:
        kept.cloud.put("/faults", [])
    before = kept.deleted()
    assert (await kept.run()).state is State.DONE
    assert kept.deleted() == before + 1  # the config that was followed


async def test_a_bucket_that_has_another_key_by_now_is_not_deleted(kept: Kept) -> None:
    before = kept.deleted()
    kept.say(title="anew", key="uploads")
    assert "bucket uploads" in {each.name for each in (await kept.run()).outputs if each.is_there}
    assert kept.deleted() == before


async def test_a_gateway_waits_for_a_new_service_and_goes_on_serving_meanwhile(kept: Kept) -> None:
    before = kept.deleted()
    kept.say(key="uploads", backend="${WEB_URL}")
    record = await kept.run()
    assert record.state is State.UNCHANGED
    assert {"gateway URL", "API key"} <= {each.name for each in record.outputs if each.is_there}
    assert kept.deleted() == before


async def test_the_lock_of_a_run_that_died_on_another_machine_is_waited_for(kept: Kept) -> None:
    """Until its guard would have ended its Terraform, if that was still at work."""
    longest_s = max(each.record.apply_s for each in await read_records(BUCKET, NAME, ENVIRONMENT))
    locked = datetime.now(UTC) + timedelta(seconds=5 - MARGIN_S - longest_s)
    run = ProvisionRecord(app=NAME, environment=ENVIRONMENT, run_id="far", started=locked, host="far", apply_s=1.0)
    await begin(BUCKET, run)
    word = {"ID": "x", "Operation": "OperationTypeApply", "Who": "root@far", "Created": locked.isoformat()}
    lock, bucket = provisioned.state_lock(NAME, ENVIRONMENT), Storage(project=PROJECT).bucket(BUCKET)
    bucket.blob(lock).upload_from_string(json.dumps(word))
    assert (await kept.run()).state is State.UNCHANGED
    assert datetime.now(UTC) > locked + timedelta(seconds=longest_s + MARGIN_S)
    assert not bucket.blob(lock).exists()  # of one that has been written to, its own generation is asked for
    assert not [each for each in await read_records(BUCKET, NAME, ENVIRONMENT) if each.record.is_open]
