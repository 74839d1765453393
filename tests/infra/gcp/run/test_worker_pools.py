"""Worker pools are written once, whatever becomes of Google's answer, and never over somebody else's change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import worker_pools
from infra.gcp.run.revisions import get_revision, list_revisions
from infra.gcp.run.worker_pools import RunPool, Split
from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_run import HELLO, PARENT, new_name

UPDATE, CREATE = (f"google.cloud.run.v2.WorkerPools/{verb}WorkerPool" for verb in ("Update", "Create"))


@pytest.fixture
def faults(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[LocalCloud]:
    yield cloud
    cloud.put("/faults", [])


def template(name: str, revision: str, **more: Any) -> dict[str, Any]:
    return {"revision": f"{name}-{revision}", "containers": [{"image": HELLO}], **more}


async def made(name: str) -> RunPool:
    body = {"template": template(name, "one"), "scaling": {"manualInstanceCount": 0}, "labels": {"team": "red"}}
    return await worker_pools.write_pool(f"{PARENT}/workerPools/{name}", body, None, 60)


async def test_a_change_whose_answer_is_lost_is_found_and_not_made_again(faults: LocalCloud) -> None:
    name = new_name("pool")
    pool = await made(name)
    faults.put("/faults", [{"method": UPDATE, "drop": "after"}])
    body = {"template": template(name, "two"), "instanceSplits": [worker_pools.split_body(Split(f"{name}-one", 100))]}
    after = await worker_pools.write_pool(pool.name, body, pool, 60)
    assert (after.latest_ready, after.asked, after.ready) == (f"{name}-two", {f"{name}-one": 100}, True)
    assert len(await list_revisions(pool.name)) == 2


async def test_a_pool_whose_making_is_not_answered_is_found(faults: LocalCloud) -> None:
    name = new_name("pool")
    faults.put("/faults", [{"method": CREATE, "drop": "after"}])
    pool = await made(name)
    assert (pool.latest_ready, pool.instances, pool.labels) == (f"{name}-one", 0, {"team": "red"})


async def test_who_comes_later_is_refused_and_what_is_not_said_stays(faults: LocalCloud) -> None:
    pool = await made(new_name("pool"))
    now = await worker_pools.write_pool(pool.name, {"description": "mails"}, pool, 60)
    assert (now.body["description"], now.labels, now.instances) == ("mails", {"team": "red"}, 0)
    with pytest.raises(GoogleError) as refused:
        await worker_pools.write_pool(pool.name, {"description": "late"}, pool, 60)
    assert refused.value.status == "ABORTED"
    assert await worker_pools.get_pool(pool.name) == now


async def test_a_revision_tells_the_template_that_makes_it(faults: LocalCloud) -> None:
    name = new_name("pool")
    pool = await made(name)
    newer = await worker_pools.write_pool(pool.name, {"template": template(name, "two")}, pool, 60)
    revision = await get_revision(pool.name, f"{name}-one")
    assert revision
    body = {"template": worker_pools.template_from(revision)}
    back = await worker_pools.write_pool(pool.name, body, newer, 60, revision)
    assert back.template == pool.template and len(await list_revisions(pool.name)) == 2


async def test_validation_writes_nothing(faults: LocalCloud) -> None:
    name = new_name("pool")
    await worker_pools.validate_pool(f"{PARENT}/workerPools/{name}", {"template": template(name, "one")}, None)
    assert await worker_pools.get_pool(f"{PARENT}/workerPools/{name}") is None
    wrong = {"template": template(name, "one", containers=[{"image": HELLO, "ports": [{"containerPort": 1}]}])}
    with pytest.raises(GoogleError, match="ports"):
        await worker_pools.validate_pool(f"{PARENT}/workerPools/{name}", wrong, None)
