"""Clean-up in a cluster of the local cloud: looked at, planned, prepared, and days later deleted."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.gcp.calls.attempts import ONCE, READ
from infra.gcp.calls.errors import GoogleError
from infra.gcp.kubernetes import api as calls
from infra.gcp.kubernetes.access import of_cluster
from infra.gcp.kubernetes.api import Api
from infra.gcp.storage import buckets, objects
from tasks.cleanup.engine.model import DELETE, Listing, Plan
from tasks.cleanup.engine.plan import plan
from tasks.cleanup.kinds.adapter import History, Look
from tasks.cleanup.kinds.kubernetes.config_maps import ConfigMaps
from tasks.cleanup.kinds.registry import BY_KIND
from tasks.cleanup.memory import Memory
from tasks.history.record import State
from tasks.model import Request
from tests.conftest import PROJECT, LocalCloud, environment
from tests.infra.emulator.emulated_cluster import make_cluster
from tests.tasks.builders import a_record, a_request
from tests.tasks.cleanup.kinds.kubernetes.clusters import OURS, a_policy, seen, short

BUCKET, NS = f"{PROJECT}-of-clusters", "shop"
MANIFEST = f"""
app: shop
services: {{api: {{}}}}
environments:
  production:
    project: {PROJECT}
    regions: [europe-west1]
    bucket: {BUCKET}
    kubernetes:
      cluster: for-clean-up
      namespaces: {NS}
      selector: {{app.kubernetes.io/part-of: shop}}
      manifests: k8s
"""
DEFINED = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n"
MAPS = f"/api/v1/namespaces/{NS}/configmaps"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NS}/deployments"


@dataclass
class Shop:
    """An app's part of a cluster."""

    api: Api
    cloud: LocalCloud
    request: Request
    commit: str
    memory: Memory = field(default_factory=Memory)
    notes: list[str] = field(default_factory=list)

    async def post(self, path: str, name: str, labels: dict[str, str] | None = None, **more: Any) -> None:
        meta = {"name": name, "labels": OURS if labels is None else labels}
        body = json.dumps({"metadata": meta, **more})
        await self.api._call("POST", "test", path, ONCE, content=body, headers={"Content-Type": calls.WHOLE})

    async def names(self, path: str) -> set[str]:
        found = await self.api._call("GET", "test", path, READ, headers={"Accept": calls.WHOLE})
        return {each["metadata"]["name"] for each in found["items"]}

    async def planned(self, days: float = 0.0, **change: Any) -> Plan:
        """So many days from now, by what earlier looks have seen."""
        now = datetime.now(UTC) + timedelta(days=days)
        record = a_record("v1.0.0", 0, state=State.RELEASED).model_copy(update={"commit": self.commit, **change})
        histories = {"production": History((record,), Listing("release history of production", now, 1))}
        look = Look((self.request,), histories, self.memory, lambda: now)
        world, self.notes = await seen(look), look.notes
        self.memory = self.memory.seeing(world.items, now).counting(world.listings, now)
        return plan(world, a_policy(now))

    async def carry_out(self, planned: Plan) -> None:
        for step in planned.steps:
            kind = BY_KIND[step.item.kind]
            assert await kind.again(step.item) == step.item
            assert await (kind.delete if step.action == DELETE else kind.first)(step.item)

    def age(self) -> None:
        body = {"kind": "kubernetes", "prefix": f"{self.api.access.id}|", "days": 30}
        httpx.post(f"{self.cloud.admin}/age", json=body, trust_env=False).raise_for_status()


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
async def shop(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "k8s").mkdir()
    (folder / "k8s/settings.yaml").write_text(DEFINED)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "v1.0.0"]):
        git(folder, *command)
    cluster = make_cluster(cloud, "for-clean-up")
    with environment(cloud.env):
        async with Api(await of_cluster(cluster)) as api:
            made = Shop(api, cloud, a_request("production", MANIFEST, folder), git(folder, "rev-parse", "HEAD"))
            await buckets.create_bucket(BUCKET, PROJECT, "europe-west1", {})
            await made.post("/api/v1/namespaces", NS, {})
            yield made


async def test_what_is_left_over_is_prepared_then_deleted_and_nothing_else(shop: Shop) -> None:
    for name in ("settings", "used", "left-over"):
        await shop.post(MAPS, name, data={"k": "v"})
    await shop.post(MAPS, "of-helm", OURS | {"app.kubernetes.io/managed-by": "Helm"})
    await shop.post(MAPS, "of-nobody", {})
    pods = {"containers": [{"name": "c", "image": "i:1", "envFrom": [{"configMapRef": {"name": "used"}}]}]}
    template = {"metadata": {"labels": {"pods": "old"}}, "spec": pods}
    await shop.post(DEPLOYMENTS, "old", spec={"selector": {"matchLabels": {"pods": "old"}}, "template": template})
    shop.age()
    first = await shop.planned()
    assert first.refusals == ()
    assert {short([step.item.name])[0]: step.action for step in first.steps} == {
        "configmaps/left-over": "keep a copy and annotate",
        "deployments/old": "stop",
    }
    await shop.carry_out(first)
    assert await shop.names(f"/api/v1/namespaces/{NS}/pods") == set()
    assert (await shop.planned(days=0.1)).steps == ()  # none of it has held for long enough
    last = await shop.planned(days=9)
    assert {step.action for step in last.steps} == {DELETE}
    await shop.carry_out(last)
    assert await shop.names(MAPS) == {"kube-root-ca.crt", "settings", "used", "of-helm", "of-nobody"}
    assert await shop.names(DEPLOYMENTS) == set()
    assert short([step.item.name for step in (await shop.planned(days=9)).steps]) == ["configmaps/used"]
    copies = [
        await objects.read_json(BUCKET, each.name)
        for each in await objects.list_objects(BUCKET, "cleanup/shop/copies/")
    ]
    assert {"left-over", "old"} <= {copy[0]["metadata"]["name"] for copy in copies if copy}


async def test_one_list_that_fails_makes_all_of_the_cluster_unknown(shop: Shop) -> None:
    shop.cloud.put("/faults", [{"method": "kubernetes.cronjobs.list", "code": "PERMISSION_DENIED"}])
    try:
        planned = await shop.planned()
    finally:
        shop.cloud.put("/faults", [])
    assert_unknown(shop, planned, f"Kubernetes objects in {NS}", seen=0)
    assert "could not be listed: kubernetes.cronjobs.list" in shop.notes[0]


def assert_unknown(shop: Shop, planned: Plan, why: str, *, seen: int = 1) -> None:
    """It stays, and nothing else is refused for it. seen: of the one that is defined, whether it was."""
    assert (planned.steps, planned.refusals, len(shop.notes)) == ((), (), 1)
    assert why in shop.notes[0]
    ours = [each.detail for each in planned.kept if each.name.endswith("/settings")]
    assert len(ours) == seen
    assert all(why in each for each in ours)


@pytest.mark.parametrize("change", [{"commit": "0" * 40}, {"version": "v1.0.0", "commit": ""}], ids=["gone", "none"])
async def test_definitions_that_cannot_be_read_are_no_empty_ones(shop: Shop, change: dict[str, Any]) -> None:
    assert_unknown(shop, await shop.planned(**change), "Kubernetes definitions of production could not be listed")


async def test_fewer_than_half_of_the_definitions_of_last_time_are_not_believed(shop: Shop) -> None:
    before, source = shop.memory, "Kubernetes definitions of production"
    shop.memory = replace(before, counts={**before.counts, source: 3})
    assert_unknown(shop, await shop.planned(), f"{source} has 1 items, at least 2 are known to exist.")
    shop.memory = before


async def test_what_has_changed_since_it_was_planned_is_left_alone(shop: Shop) -> None:
    await shop.post(MAPS, "touched")
    shop.age()
    (step,) = [each for each in (await shop.planned()).steps if each.item.name.endswith("/touched")]
    meta = (await shop.api.get(f"{MAPS}/touched") or {})["metadata"]
    assert await shop.api.patch(f"{MAPS}/touched", {"data": {"k": "v"}}, meta["uid"], meta["resourceVersion"])
    kind = ConfigMaps()
    assert await kind.again(step.item) != step.item
    for work in (kind.first, kind.delete):
        with pytest.raises(GoogleError, match="has changed since the plan was made"):
            await work(step.item)
    assert "touched" in await shop.names(MAPS)


async def test_a_preview_that_is_empty_goes_and_one_that_is_not_stays(shop: Shop) -> None:
    for name in ("preview-1", "preview-2"):
        await shop.post("/api/v1/namespaces", name)
    await shop.post("/api/v1/namespaces/preview-2/secrets", "somebodys", {})
    shop.age()

    async def namespaces(days: float) -> Plan:
        planned = await shop.planned(days)
        return replace(planned, steps=tuple(each for each in planned.steps if "/namespaces/preview" in each.item.name))

    first = await namespaces(0)
    assert short([step.item.name for step in first.steps]) == ["namespaces/preview-1"]
    await shop.carry_out(first)
    await namespaces(0.1)
    await shop.carry_out(await namespaces(3))
    found = await shop.names("/api/v1/namespaces")
    assert ("preview-1" in found, "preview-2" in found, NS in found) == (False, True, True)
