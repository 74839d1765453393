"""What a release wants around it, before there is a service for a gateway to call; and what nobody agreed to."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest
from google.cloud.storage import Client as Storage
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled

from flows.deploy import deploy
from flows.destroy import destroy
from flows.provision import close_up_first, provision
from infra.gcp.apigateway import get_api, list_configs
from infra.gcp.apikeys import list_keys
from infra.gcp.calls.polling import until
from infra.terraform.supervisor import is_alive
from infra.terraform.work import PLAN
from tasks.failures.errors import ParameterError, ProvisionFailed
from tasks.names import provisioned
from tasks.provision.record import State, read_records
from tasks.provision.site import STATE_HOME
from tasks.source.source import Source
from tests.conftest import PROJECT, LocalCloud, environment
from tests.e2e.conftest import ROOT, App, program
from tests.e2e.test_provision import forget_lease

pytestmark = pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")

BUCKET = f"{PROJECT}-slipway"
RELEASE = """
import asyncio, sys
from flows.deploy import deploy
from tasks.source.source import Source
asyncio.run(deploy(Source(repository=sys.argv[1]), "production"))
"""
OPENAPI = """\
swagger: '2.0'
info: {title: Shop, version: '1'}
paths:
  /: {get: {operationId: root, x-google-backend: {address: '${WEB_URL}'}, responses: {'200': {description: fine}}}}
"""
AROUND = (
    "provision: {before_deploy: true, gateway: {openapi: api.yaml, service_account: APP-api, api_key: true}, "
    "accounts: {APP-api: }, buckets: {up: }}"
)


async def test_a_first_release_is_not_kept_waiting_for_its_own_service_and_no_plan_outlives_a_no(
    app: App, cloud: LocalCloud, tmp_path: Path
) -> None:
    """The gateway waits for the service, the service for the bucket. A plan holds keys in clear."""
    app.write("web", program())
    app.manifest("  web: {public: true}", AROUND.replace("APP", app.name))
    (app.folder / "api.yaml").write_text(OPENAPI)
    app.commit("v1.0.0")
    source = Source(repository=str(app.folder))
    with environment({**cloud.env, STATE_HOME: str(tmp_path / "state")}):
        made = await provision(source, "production")
        assert made.state is State.DONE
        assert "bucket up" in {each.name for each in made.outputs if each.is_there}
        assert not [each.address for each in made.resources if "gateway" in each.address]
        with pytest.raises(ParameterError, match="another plan"):
            await destroy(source, "production", dry_run=False, agreed="never seen")
    assert list((tmp_path / "state").rglob("*.tf"))
    assert not list((tmp_path / "state").rglob(PLAN))


async def test_a_config_that_google_could_not_make_is_made_anew_by_the_next_run(
    app: App, cloud: LocalCloud, tmp_path: Path
) -> None:
    """It stays there, FAILED, and no gateway takes it; what is in the state of being made is waited for."""
    app.write("web", program())
    app.manifest("  web: {public: true}", AROUND.replace("APP", app.name))
    (app.folder / "api.yaml").write_text(OPENAPI.replace("${WEB_URL}", "https://example.com"))
    app.commit("v1.0.0")
    source = Source(repository=str(app.folder))
    with environment({**cloud.env, STATE_HOME: str(tmp_path / "state")}):
        cloud.put("/faults", [{"method": "apigateway.configs.create", "code": "INTERNAL", "message": "not today"}])
        try:
            with pytest.raises(ProvisionFailed, match="not today"):
                await provision(source, "production")
        finally:
            cloud.put("/faults", [])
        made = await provision(source, "production")
        assert made.state is State.DONE
        assert "gateway URL" in {each.name for each in made.outputs if each.is_there}
        again = await provision(source, "production")
        assert again.state is State.UNCHANGED
        assert again.generation == made.generation == 1  # it outlives the records that are still read


@pytest.mark.faults
async def test_what_a_lost_state_knew_and_what_another_has_followed_at_once_is_in_nobodys_way(
    app: App, cloud: LocalCloud, tmp_path: Path
) -> None:
    """A config that nobody knows keeps its API from being deleted, and a key that was replaced goes on opening it."""
    app.write("web", program())
    app.manifest("  web: {public: true}", AROUND.replace("APP", app.name))
    openapi = app.folder / "api.yaml"
    openapi.write_text(OPENAPI.replace("${WEB_URL}", "https://example.com"))
    app.commit()
    source, gateway = Source(repository=str(app.folder)), provisioned.gateway_id(app.name, "production")
    with environment({**cloud.env, STATE_HOME: str(tmp_path / "state")}):
        assert (await provision(source, "production")).state is State.DONE
        state = provisioned.state(app.name, "production")
        Storage(project=PROJECT).bucket(BUCKET).blob(state).delete()
        openapi.write_text(OPENAPI.replace("${WEB_URL}", "https://example.com").replace("Shop", "Anew"))
        app.commit()
        assert (await provision(source, "production", fresh=["key"])).state is State.DONE
        assert len(await list_configs(PROJECT, gateway)) == 1
        key = provisioned.key_id(app.name, "production", 2)
        assert [each.id for each in await list_keys(PROJECT) if each.id.startswith(gateway)] == [key]
        with pytest.raises(ParameterError, match="nobody has said") as refused:
            await destroy(source, "production", dry_run=False)
        name = refused.value.problem.rpartition(" ")[2].rstrip(".")
        assert (await destroy(source, "production", dry_run=False, agreed=name)).state is State.DONE
        assert await get_api(PROJECT, gateway) is None


async def test_a_release_that_is_cancelled_while_it_provisions_leaves_no_terraform_at_work(
    app: App, cloud: LocalCloud, tmp_path: Path, prefect_server: dict[str, str]
) -> None:
    """Who cancels a process that does not end has it killed; then its worker calls the hook."""
    app.write("web", program())
    app.manifest("  web: {public: true}", AROUND.replace("APP", app.name))
    (app.folder / "api.yaml").write_text(OPENAPI.replace("${WEB_URL}", "https://example.com"))
    app.commit("v1.0.0")
    source, state = Source(repository=str(app.folder)), tmp_path / "state"
    with environment({**cloud.env, STATE_HOME: str(state)}):
        cloud.put("/latency", {"stages": {"apigateway.gateway": 60.0}})
        try:
            killed = await asyncio.create_subprocess_exec(
                sys.executable, "-c", RELEASE, source.repository, cwd=ROOT, env={**os.environ, **prefect_server}
            )
            await until(lambda: is_applying(state), limit_s=120.0, pause_s=0.1)
            killed.kill()
            await killed.wait()
            await forget_lease(f"slipway:{app.name}:(production's Terraform)")
            await close_up_first(deploy, await the_release_of(source), Cancelled())
        finally:
            cloud.put("/latency", {"stages": {"apigateway.gateway": 0.0}})
        (work,) = (state / "provision").iterdir()
        assert not is_alive(work)
        assert not any(each.record.is_open for each in await read_records(BUCKET, app.name, "production"))
        assert (await provision(source, "production")).state is State.DONE


async def is_applying(state: Path) -> bool:
    return any("apply_start" in log.read_text() for log in state.glob("provision/*/logs/*-apply.jsonl"))


async def the_release_of(source: Source) -> FlowRun:
    """Runs of other tests bear its name, too: every app's folder is called alike."""
    wanted = FlowRunFilter(name=FlowRunFilterName(any_=[f"deploy {source.called} to production"]))
    async with get_client() as client:
        found = await client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.EXPECTED_START_TIME_DESC)
    (run,) = [each for each in found if each.parameters["source"]["repository"] == source.repository]
    return run
