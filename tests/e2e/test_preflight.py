"""Preflight through the deploy flow: every problem at once, nothing changed; what may be created is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.cloud import artifactregistry_v1, billing_v1, service_usage_v1, storage
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import State

from flows.deploy import deploy
from flows.doctor import doctor
from infra.gcp.calls.clients import use_credentials
from tasks.failures.errors import PreflightFailed
from tasks.failures.roles import ACT_AS, NEEDS, REQUIRED_APIS
from tasks.model import Release
from tasks.source.source import Source
from tests.conftest import BARE_PROJECT, OTHER_PROJECT, LocalCloud, environment
from tests.e2e.conftest import REGION, App, program
from tests.infra.emulator.identities import Identity, new_identity

pytestmark = pytest.mark.usefixtures("cloud_env")

ROLES = {need.role for need in (*NEEDS, ACT_AS)}
ACCOUNT = "billingAccounts/000000-111111-222222"
WEB = "  web: {health: {body: ok, tries: 2, backoff_min: 0.1s, samples: 3}, public: true}"
# How the last part of a method's name begins when the method changes nothing.
READS = ("Get", "List", "BatchGet", "TestIam", "get", "list", "testIam", "UpdateService?validateOnly")


def set_billing(on: bool) -> None:
    info = billing_v1.ProjectBillingInfo(billing_account_name=ACCOUNT if on else "")
    billing_v1.CloudBillingClient().update_project_billing_info(
        name=f"projects/{BARE_PROJECT}", project_billing_info=info
    )


def disable(*apis: str) -> None:
    client = service_usage_v1.ServiceUsageClient()
    for api in apis:
        request = service_usage_v1.DisableServiceRequest(name=f"projects/{BARE_PROJECT}/services/{api}")
        client.disable_service(request=request).result()


def enabled() -> set[str]:
    request = service_usage_v1.ListServicesRequest(parent=f"projects/{BARE_PROJECT}", filter="state:ENABLED")
    return {api.config.name for api in service_usage_v1.ServiceUsageClient().list_services(request=request)}


@pytest.fixture
def bare(app: App, cloud: LocalCloud) -> Iterator[App]:
    """An app that goes to a project where nothing of it is there yet; what the test switches off comes back."""
    app.write("web", program())
    app.manifest(WEB, f"bucket: {app.name}-own", project=BARE_PROJECT)
    app.commit("v1.0.0")
    yield app
    cloud.put("/latency", {"profile": "instant"})
    set_billing(True)
    request = service_usage_v1.BatchEnableServicesRequest(
        parent=f"projects/{BARE_PROJECT}", service_ids=list(REQUIRED_APIS)
    )
    service_usage_v1.ServiceUsageClient().batch_enable_services(request=request).result()


@pytest.fixture
def acting(tmp_path: Path) -> Iterator[Identity]:
    """Runs act as this account: all the roles of docs/reference/roles.md but the one to manage Cloud Run with."""
    identity = new_identity(tmp_path, sorted(ROLES - {"roles/run.admin"}), BARE_PROJECT)
    use_credentials(identity.credentials)
    with environment({"GOOGLE_APPLICATION_CREDENTIALS": str(identity.key_file)}):
        yield identity
    use_credentials(None)


@dataclass(frozen=True)
class Unready:
    app: App
    identity: Identity


@pytest.fixture
def unready(bare: App, acting: Identity, cloud: LocalCloud) -> Unready:
    """The project lacks an API and billing, the account a role, and somebody else has the bucket's name."""
    with environment(cloud.env):  # as the owner
        disable("artifactregistry.googleapis.com")
        set_billing(False)
        storage.Client(project=OTHER_PROJECT).create_bucket(f"{bare.name}-own")
    return Unready(bare, acting)


async def ship(app: App) -> Release:
    return await deploy(Source(repository=str(app.folder)), "production")


async def failed(app: App) -> State[Any]:
    state = await deploy(Source(repository=str(app.folder)), "production", return_state=True)
    assert state.is_failed()
    return state


def journal(cloud: LocalCloud) -> list[dict[str, Any]]:
    answer = httpx.get(f"{cloud.admin}/calls", trust_env=False).raise_for_status()
    return list(answer.json()["journal"])


def forget_calls(cloud: LocalCloud) -> None:
    httpx.delete(f"{cloud.admin}/calls", trust_env=False).raise_for_status()


def run_as_owner(command: list[str], cloud: LocalCloud) -> None:
    done = subprocess.run(command, env=cloud.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stderr}"


async def test_four_problems_are_reported_at_once_each_with_its_fix(unready: Unready, cloud: LocalCloud) -> None:
    forget_calls(cloud)
    state = await failed(unready.app)
    message = str(state.message)
    assert "Project acme-bare is not ready" in message
    assert "(4 found)" in message
    for fix in (
        "gcloud services enable artifactregistry.googleapis.com --project=acme-bare",
        "gcloud projects add-iam-policy-binding acme-bare "
        f"--member=serviceAccount:{unready.identity.email} --role=roles/run.admin",
        "gcloud billing projects link acme-bare --billing-account=ACCOUNT_ID",
        "set environments.production.bucket in slipway.yaml to a free name",
    ):
        assert message.count(fix) == 1
    assert "Nothing was changed." in message
    assert "Traceback" not in message
    with pytest.raises(PreflightFailed):
        await state.aresult()


async def test_a_run_that_fails_in_preflight_has_only_read(unready: Unready, cloud: LocalCloud) -> None:
    forget_calls(cloud)
    await failed(unready.app)
    calls = journal(cloud)
    assert len(calls) > 8
    calls = [call for call in calls if call["method"] != "oauth2.token"]  # whose caller is known by what it sends
    assert {call["principal"] for call in calls} <= {unready.identity.email}
    changing = [call["method"] for call in calls if not re.split(r"[/.]", call["method"])[-1].startswith(READS)]
    assert changing == []


async def test_the_preflight_table_has_a_row_per_problem(unready: Unready) -> None:
    await failed(unready.app)
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[f"{unready.app.name}-production-preflight"]))
    async with get_client() as client:
        (artifact,) = await client.read_artifacts(artifact_filter=wanted)
    rows = json.loads(str(artifact.data))
    assert [row["check"] for row in rows] == ["billing", "apis", "permissions", "bucket"]
    assert all(row["fix"] and row["link"].startswith("https://console.cloud.google.com/") for row in rows)


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
async def test_after_the_commands_that_it_names_the_app_ships(unready: Unready, cloud: LocalCloud) -> None:
    """With the roles of that page and no others, too."""
    message = str((await failed(unready.app)).message)
    for command in re.findall(r"^ +(gcloud .+)", message, re.MULTILINE):
        arguments = command.replace("ACCOUNT_ID", ACCOUNT.partition("/")[2]).split()
        run_as_owner([*arguments, "--quiet"], cloud)
    free = re.search(r"to a free name, such as ([a-z0-9-]+)", message)
    assert free
    unready.app.manifest(WEB, f"bucket: {free[1]}", project=BARE_PROJECT)
    unready.app.commit()
    unready.app.git("tag", "-f", "v1.0.0")
    release = await ship(unready.app)
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(release.live[0].url)).text == "ok"


async def test_what_is_missing_and_safe_to_create_is_created(bare: App, cloud: LocalCloud) -> None:
    release = await ship(bare)
    assert [live.place.service for live in release.live] == ["web"]
    name = f"projects/{BARE_PROJECT}/locations/{REGION}/repositories/{bare.name}"
    repository = artifactregistry_v1.ArtifactRegistryClient().get_repository(name=name)
    assert repository.docker_config.immutable_tags
    assert repository.labels["managed-by"] == "slipway"
    bucket = storage.Client().get_bucket(f"{bare.name}-own")
    assert bucket.iam_configuration.uniform_bucket_level_access_enabled
    assert bucket.iam_configuration.public_access_prevention == "enforced"
    assert bucket.labels["managed-by"] == "slipway"


async def test_a_bucket_of_another_project_is_refused_even_if_it_may_be_read(bare: App) -> None:
    """The owner of both projects is told, too: whoever created the name first could read every source."""
    storage.Client(project=OTHER_PROJECT).create_bucket(f"{bare.name}-own")
    message = str((await failed(bare)).message)
    assert f"gs://{bare.name}-own is not project {BARE_PROJECT}'s: it belongs to project number" in message


async def test_a_repository_whose_tags_can_be_moved_is_refused(bare: App) -> None:
    parent = f"projects/{BARE_PROJECT}/locations/{REGION}"
    movable = artifactregistry_v1.Repository(format_=artifactregistry_v1.Repository.Format.DOCKER)
    artifactregistry_v1.ArtifactRegistryClient().create_repository(
        parent=parent, repository_id=bare.name, repository=movable
    ).result()
    message = str((await failed(bare)).message)
    assert "lets tags be moved" in message
    where = f"--location={REGION} --project={BARE_PROJECT}"
    assert f"gcloud artifacts repositories update {bare.name} {where} --immutable-tags" in message


async def test_missing_apis_are_enabled_where_the_manifest_says_so(bare: App, cloud: LocalCloud) -> None:
    """Also when Google still refuses calls for a while after an API was enabled."""
    bare.manifest(WEB, f"bucket: {bare.name}-own\n    create_apis: true", project=BARE_PROJECT)
    bare.commit("v1.0.1")
    missing = {"artifactregistry.googleapis.com", "cloudbuild.googleapis.com", "secretmanager.googleapis.com"}
    disable(*missing)
    cloud.put("/latency", {"stages": {"serviceusage.propagation": 2.0}})
    release = await ship(bare)
    assert release.version.version == "v1.0.1"
    assert missing <= enabled()


async def test_preflight_takes_little_longer_than_two_of_its_slowest_calls(shop: App, cloud: LocalCloud) -> None:
    """Everything is asked in two rounds: the name of the account that services run as by default has the project's
    number in it. From the first call to the end of the last, with connections that are open.
    """
    source = Source(repository=str(shop.folder))
    await doctor(source, "production")
    cloud.put("/latency", {"stages": {"rpc": 3.0}})
    ratios = []
    for _ in range(4):  # the best of a few: the machine may be busy with something else
        forget_calls(cloud)
        await doctor(source, "production")
        calls = journal(cloud)
        slowest = max(call["seconds"] for call in calls)
        first, last = min(call["start"] for call in calls), max(call["start"] + call["seconds"] for call in calls)
        ratios.append((last - first) / slowest)
        if ratios[-1] < 2.3:
            break
    cloud.put("/latency", {"profile": "instant"})
    assert len(calls) >= 10
    assert slowest >= 3.0
    assert min(ratios) < 2.3, ratios
