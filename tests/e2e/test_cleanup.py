"""Clean-up against the local cloud: only what nothing needs goes, and nothing at all where an answer is doubtful.

The tests share an app and go through its life in their order.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.cloud.iam_admin_v1 import IAMClient
from google.cloud.run_v2 import Container, RevisionTemplate, Service, ServicesAsyncClient
from google.cloud.storage import Client as Storage
from prefect.settings import PREFECT_API_URL

from flows.cleanup import cleanup
from flows.rollback import rollback
from infra.gcp.artifacts import repositories
from infra.gcp.iam import accounts
from infra.gcp.run import services
from infra.gcp.run.revisions import list_revisions
from infra.gcp.run.traffic import TrafficTarget
from infra.gcp.storage import objects
from tasks.cleanup.engine.model import CleanupOutcome
from tasks.cleanup.kinds.build_logs import BUILD_LOG
from tasks.cleanup.kinds.images import IMAGE
from tasks.cleanup.kinds.revisions import REVISION
from tasks.cleanup.kinds.sources import SOURCE
from tasks.cleanup.memory import read_memory, write_memory
from tasks.cleanup.propose import Proposal
from tasks.failures.errors import CleanupRefused, CloudError, ParameterError
from tasks.history.store import read_history
from tests.conftest import PROJECT, LocalCloud
from tests.e2e.cleaning import BUCKET, RETENTION, SERVICES, Old, artifact, plan_then, pointed_at
from tests.e2e.conftest import REGION, App
from tests.infra.emulator.emulated_registry import OciClient

VERSIONS = ("v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0", "v1.4.0")
KEPT = set(VERSIONS[2:])
REFUSED_JOBS = ({"method": "*Jobs/ListJobs", "code": "PERMISSION_DENIED"}, "could not be listed")
ELSEWHERE = f"projects/{PROJECT}/locations/europe-north1"


@pytest.fixture(scope="module")
async def old(tmp_path_factory: pytest.TempPathFactory, cloud: LocalCloud) -> AsyncIterator[Old]:
    """Five releases, of which the last serves and the last three are kept."""
    with pointed_at(cloud):
        folder = tmp_path_factory.mktemp("old")
        made = Old(App(folder, "oldshop"), cloud)
        made.app.manifest(SERVICES, top=RETENTION)
        for version in VERSIONS:
            await made.ship(version)
        made.age()
        yield made


@pytest.fixture(scope="module")
def index(old: Old, cloud: LocalCloud) -> Iterator[dict[str, str]]:
    """A multi-platform image that protects nobody but its untagged children, and one such pair without an index."""
    registry_client = OciClient(cloud, base_url=f"https://{REGION}-docker.pkg.dev")
    name = f"{PROJECT}/{old.app.name}/web"
    children = {arch: registry_client.push(name) for arch in ("amd64", "arm64")}
    made = {**children, "loose": registry_client.push(name)}
    made["index"] = registry_client.push_index(name, "v0.9.0-multi", children)
    registry_client.http.close()
    old.age()
    yield made


async def everything(old: Old) -> tuple[set[str], set[str]]:
    return await old.tags(), await old.revisions()


async def test_a_dry_run_plans_and_deletes_nothing(old: Old) -> None:
    before = await everything(old)
    name = await cleanup(old.source)
    saved = await objects.read_json(BUCKET, f"cleanup/{old.app.name}/{name}.json")
    assert saved
    kinds = {step["item"]["kind"] for step in saved[0]["plan"]["steps"]}
    assert kinds == {IMAGE, REVISION, SOURCE, BUILD_LOG}
    assert await everything(old) == before


@pytest.fixture
async def elsewhere(cloud: LocalCloud, old: Old) -> AsyncIterator[None]:
    """In a region that slipway.yaml does not name, somebody's service runs the oldest image by its tag."""
    client = ServicesAsyncClient()
    image = f"{REGION}-docker.pkg.dev/{PROJECT}/{old.app.name}/web:v1.0.0"
    service = Service(template=RevisionTemplate(containers=[Container(image=image)]))
    made = await (await client.create_service(parent=ELSEWHERE, service=service, service_id="demo")).result()
    yield
    await (await client.delete_service(name=made.name)).result()
    await remember(old, counts={})


@pytest.mark.usefixtures("elsewhere")
async def test_what_somebody_runs_in_another_region_stays(old: Old) -> None:
    name = await cleanup(old.source)
    saved = await objects.read_json(BUCKET, f"cleanup/{old.app.name}/{name}.json")
    assert saved
    images = [tag for step in saved[0]["plan"]["steps"] for tag in step["item"].get("tags", ())]
    assert [tag for tag in images if tag.startswith("v")] == ["v1.1.0"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"method": "*Services/ListServices", "first": 0}, "known to exist"),
        ({"method": "*Revisions/ListRevisions", "first": 2}, "which no listing has|known to exist"),
        ({"method": "*Revisions/ListRevisions", "first": 0}, r"at least \d+ are known"),
        ({"method": "*/ListDockerImages", "first": 0}, "at least 1 are known"),
        ({"method": "*/ListDockerImages", "code": "INTERNAL"}, "could not be listed"),
        pytest.param(*REFUSED_JOBS, marks=pytest.mark.faults),
        pytest.param(
            {"method": "*/ListServiceAccounts", "code": "PERMISSION_DENIED"},
            "could not be listed",
            marks=pytest.mark.faults,
        ),
        ({"method": "storage.objects.list", "code": "PERMISSION_DENIED"}, "close what was left open failed"),
    ],
    ids=[
        "no services", "stale revisions", "no revisions", "no images", "images fail", "jobs refused",
        "accounts fail", "no history",
    ],
)  # fmt: skip
async def test_a_doubtful_answer_means_stop(old: Old, fault: dict[str, Any], said: str) -> None:
    before = await everything(old)
    with old.faults(fault), pytest.raises((CleanupRefused, CloudError), match=said):
        await cleanup(old.source, dry_run=False)
    assert await everything(old) == before


async def test_of_more_than_the_caps_allow_the_oldest_are_planned_and_the_rest_is_saved_with_them(old: Old) -> None:
    whole = await objects.read_json(BUCKET, f"cleanup/{old.app.name}/{await cleanup(old.source)}.json")
    old.app.manifest(SERVICES, top=RETENTION.replace("}", ", max_items: 2}"))
    capped = await objects.read_json(BUCKET, f"cleanup/{old.app.name}/{await cleanup(old.source)}.json")
    old.app.manifest(SERVICES, top=RETENTION)
    assert whole and capped
    plan = capped[0]["plan"]
    assert len(plan["steps"]) == 2
    names = {step["item"]["name"] for step in (*plan["steps"], *plan["withheld"])}
    assert names == {step["item"]["name"] for step in whole[0]["plan"]["steps"]}


async def test_what_comes_into_use_between_plan_and_delete_survives(old: Old) -> None:
    """A person sends traffic back to an old revision: it stays, and so does its image."""
    (revision,) = [r for r in await list_revisions(old.service) if r.labels.get("slipway-version") == "v1_1_0"]
    service = await services.get_service(old.service)
    assert service

    async def rolled_back(_: Proposal) -> None:
        await services.set_traffic(old.service, [TrafficTarget(revision.name, 100)], "", 30)

    entries = await plan_then(old.source, rolled_back)
    stayed = {entry.name: entry.why for entry in entries if entry.outcome is CleanupOutcome.SKIPPED}
    assert {name.rpartition("/")[2].partition("@")[0] for name in stayed} == {revision.name, "web"}
    assert all("in use since the plan was made" in why for why in stayed.values())
    assert "v1.1.0" in await old.tags() & await old.revisions()
    assert "v1.0.0" not in await old.tags() | await old.revisions()
    await services.set_traffic(old.service, list(service.traffic), "", 30)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"method": "*Services/ListServices", "first": 0}, "known to exist"),
        ({"method": "*Revisions/ListRevisions", "first": 1}, "which no listing has|known to exist"),
        pytest.param(*REFUSED_JOBS, marks=pytest.mark.faults),
    ],
    ids=["no services", "stale revisions", "jobs refused"],
)
async def test_a_doubtful_answer_right_before_a_step_leaves_everything(
    old: Old, fault: dict[str, Any], said: str
) -> None:
    """Each step fails, and the journal says why; the next run makes up for it."""
    before = await everything(old)

    async def lies(_: Proposal) -> None:
        old.cloud.put("/faults", [fault])

    try:
        entries = await plan_then(old.source, lies)
    finally:
        old.cloud.put("/faults", [])
    assert {entry.outcome for entry in entries} == {CleanupOutcome.FAILED}
    assert all(re.search(said, entry.why) for entry in entries)
    assert await everything(old) == before


async def test_a_saved_plan_is_refused_when_its_image_is_used_by_now(old: Old) -> None:
    name = await cleanup(old.source)
    (revision,) = [r for r in await list_revisions(old.service) if r.labels.get("slipway-version") == "v1_1_0"]
    service = await services.get_service(old.service)
    assert service
    await services.set_traffic(old.service, [*service.traffic, TrafficTarget(revision.name, 0, "look")], "", 30)
    with pytest.raises(CleanupRefused, match="stays now: in use"):
        await cleanup(old.source, dry_run=False, plan=name)
    await services.set_traffic(old.service, list(service.traffic), "", 30)
    with pytest.raises(ParameterError, match="no clean-up plan"):
        await cleanup(old.source, plan="20260101T000000.000000Z")


KILLED = """
import asyncio, sys
from tasks.source.source import Source
from tests.e2e.cleaning import plan_then
asyncio.run(plan_then(Source(repository=sys.argv[1])))
"""


async def test_a_clean_up_that_is_killed_half_way_is_finished_by_the_next(old: Old) -> None:
    """One step is done and in the journal, the repository was left open for tags; the same plan is taken up again."""
    before = {o.name for o in await objects.list_objects(BUCKET, f"cleanup/{old.app.name}/")}
    environment = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, str(old.app.folder), env=environment)
    name = await killed_after_a_step(process, old, before)
    done = await old.journal(name)
    assert not (await repositories.get_repository(old.repository)).immutable_tags  # type: ignore[union-attr]
    assert await cleanup(old.source, dry_run=False, plan=name) == name
    journal = await old.journal(name)
    assert done.items() <= journal.items()
    assert {outcome.partition(":")[0] for outcome in journal.values()} <= {"done", "already gone"}
    assert await everything(old) == (KEPT, KEPT)
    assert (await repositories.get_repository(old.repository)).immutable_tags  # type: ignore[union-attr]


async def killed_after_a_step(process: Process, old: Old, before: set[str]) -> str:
    """Kills the process once its journal has an entry; answers the plan's name."""
    while True:
        assert process.returncode is None
        names = {o.name for o in await objects.list_objects(BUCKET, f"cleanup/{old.app.name}/")} - before
        started = [name for name in names if name.endswith(".journal.json")]
        found = await objects.read_json(BUCKET, started[0]) if started else None
        if found and found[0]["entries"]:
            process.kill()
            await process.wait()
            return started[0].rpartition("/")[2].removesuffix(".journal.json")
        await asyncio.sleep(0.05)


async def test_the_children_of_a_kept_index_survive(old: Old, index: dict[str, str]) -> None:
    """Everything in the repository is old; the index is among the newest three, its children are not even counted."""
    await cleanup(old.source, dry_run=False)
    left = await old.digests()
    assert {index["index"], index["amd64"], index["arm64"]} <= left


async def test_what_the_app_does_not_define_is_reported_and_goes_in_steps_that_can_be_undone(
    old: Old, cloud: LocalCloud
) -> None:
    """An account is disabled for a day before it is deleted; a bucket keeps what is deleted from it, and is empty."""
    client = Storage(project=PROJECT)
    bucket = client.bucket(f"{PROJECT}-left-over")
    bucket.soft_delete_policy.retention_duration_seconds = 0
    client.create_bucket(bucket)
    account = IAMClient().create_service_account(name=f"projects/{PROJECT}", account_id="left-over").name
    await cleanup(old.source)
    assert {(row["finding"], row["name"]) for row in await artifact("oldshop-cleanup-findings")} >= {
        ("foreign", account), ("foreign", f"gs://{bucket.name}"),
    }  # fmt: skip

    old.app.manifest(SERVICES, top=RETENTION.replace("}", ", foreign: delete}"))
    old.age_bucket(bucket.name)
    await remember(old, seen={account: datetime.now(UTC) - timedelta(days=2)})
    await cleanup(old.source, dry_run=False)
    found = await accounts.get_account(account)
    assert found and found.disabled
    bucket.reload()
    assert int(bucket.soft_delete_policy.retention_duration_seconds) == 7 * 86400

    old.age_bucket(bucket.name, days=8)
    await remember(old, disabled={f"gs://{bucket.name}": datetime.now(UTC) - timedelta(days=8)})
    await cleanup(old.source, dry_run=False)
    assert not bucket.exists()
    assert await accounts.get_account(account)  # not disabled for a day yet
    long_ago = datetime.now(UTC) - timedelta(days=2)
    await remember(old, seen={account: long_ago}, taken={account: long_ago})
    await cleanup(old.source, dry_run=False)
    assert await accounts.get_account(account) is None
    assert await everything(old) == (KEPT | {"v0.9.0-multi"}, KEPT)
    client.close()


async def remember(old: Old, **facts: Any) -> None:
    """As if clean-ups had been at work for days."""
    memory = await read_memory(BUCKET, old.app.name)
    await write_memory(BUCKET, old.app.name, replace(memory, **facts))


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
async def test_gcloud_sees_what_is_left(old: Old, cloud: LocalCloud) -> None:
    command = ["gcloud", "run", "revisions", "list", f"--service={old.app.name}-web", f"--region={REGION}"]
    gcloud = await asyncio.create_subprocess_exec(*command, "--format=json", "--quiet", env=cloud.env, stdout=PIPE)
    told, _ = await gcloud.communicate()
    labels = [each["metadata"]["labels"] for each in json.loads(told)]
    assert {each.get("slipway-version", "").replace("_", ".") for each in labels} == KEPT


async def test_after_a_clean_up_a_rollback_to_each_kept_release_works(old: Old) -> None:
    for version in ("v1.3.0", "v1.2.0"):
        await rollback(old.source, "production", to=version)
        newest = (await read_history(BUCKET, old.app.name, "production"))[0]
        assert (newest.version, newest.state) == (version, "released")
        service = await services.get_service(old.service)
        slug = version.replace(".", "-")
        assert service and any(slug in str(target.revision) and target.percent == 100 for target in service.live)
