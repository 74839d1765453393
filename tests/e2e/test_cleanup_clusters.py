"""What an app has left in a Kubernetes cluster, through the whole clean-up flow: prepared, and days later deleted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from flows.cleanup import cleanup
from infra.gcp.calls.attempts import ONCE, READ
from infra.gcp.kubernetes.access import of_cluster
from infra.gcp.kubernetes.api import WHOLE, Api
from infra.gcp.storage import objects
from tasks.cleanup.kinds.kubernetes.things import SINCE
from tasks.cleanup.memory import read_memory, write_memory
from tests.conftest import PROJECT, LocalCloud
from tests.e2e.cleaning import BUCKET, SERVICES, Old, artifact, pointed_at
from tests.e2e.conftest import REGION, App
from tests.infra.emulator.emulated_cluster import make_cluster

NAME, NS = f"projects/{PROJECT}/locations/{REGION}/clusters/of-clustershop", "clustershop"
OURS = {"app.kubernetes.io/part-of": "clustershop", "app.kubernetes.io/version": "v0.9.0"}
MAPS, SECRETS = f"/api/v1/namespaces/{NS}/configmaps", f"/api/v1/namespaces/{NS}/secrets"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NS}/deployments"
PROTECTED = "/api/v1/namespaces/default/configmaps"
KINDS = "config_maps: delete, cluster_secrets: delete, workloads: delete, cluster_namespaces: delete"
RETENTION = f"retention: {{max_percent: 100, foreign: {{{KINDS}}}}}"
WITH_A_CLUSTER = f"""strategy: direct
    kubernetes:
      cluster: of-clustershop
      namespaces: [{NS}]
      selector: {{app.kubernetes.io/part-of: clustershop}}
      manifests: k8s"""
COPIES = f"cleanup/{NS}/copies/"
DEFINED = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n"
FIRST = {"configmaps/left-over": "keep a copy and annotate", "secrets/key": "keep a copy and annotate",
         "deployments/old": "stop"}  # fmt: skip


async def made(path: str, name: str, labels: dict[str, str] | None = None, **more: Any) -> None:
    body = {"metadata": {"name": name, "labels": OURS if labels is None else labels}, **more}
    async with Api(await of_cluster(NAME)) as api:
        headers = {"Content-Type": WHOLE}
        await api._call("POST", "test", path, ONCE, content=json.dumps(body), headers=headers)


async def there(path: str) -> set[str]:
    async with Api(await of_cluster(NAME)) as api:
        found = await api._call("GET", "test", path, READ, headers={"Accept": WHOLE})
    return {each["metadata"]["name"] for each in found["items"]}


@pytest.fixture(scope="module")
async def old(tmp_path_factory: pytest.TempPathFactory, cloud: LocalCloud) -> AsyncIterator[Old]:
    """A release that defines one ConfigMap, and a cluster with more: used, left over, of Helm, and of nobody."""
    with pointed_at(cloud):
        shop = Old(App(tmp_path_factory.mktemp("clustershop"), "clustershop"), cloud)
        shop.app.manifest(SERVICES, WITH_A_CLUSTER, RETENTION)
        (shop.app.folder / "k8s").mkdir()
        (shop.app.folder / "k8s/settings.yaml").write_text(DEFINED)
        await shop.ship("v1.0.0")
        make_cluster(cloud, NAME.rpartition("/")[2])
        await made("/api/v1/namespaces", NS, {})
        for name in ("settings", "used", "left-over"):
            await made(MAPS, name, data={"k": "v"})
        await made(MAPS, "of-helm", OURS | {"app.kubernetes.io/managed-by": "Helm"})
        await made(MAPS, "of-nobody", {})
        await made(PROTECTED, "of-clustershop")
        await made(SECRETS, "key", data={"k": "djE="})
        await made(DEPLOYMENTS, "old", spec=spec_using("used"))
        body = {"kind": "kubernetes", "prefix": f"{NAME}|", "days": 60}
        httpx.post(f"{cloud.admin}/age", json=body, trust_env=False).raise_for_status()
        yield shop


def spec_using(config_map: str) -> dict[str, Any]:
    pod = {"containers": [{"name": "c", "image": "i:1", "envFrom": [{"configMapRef": {"name": config_map}}]}]}
    template = {"metadata": {"labels": {"pods": "old"}}, "spec": pod}
    return {"selector": {"matchLabels": {"pods": "old"}}, "template": template}


async def planned(plan: str) -> dict[str, str]:
    """What it does in the cluster, by plural and name."""
    saved = await objects.read_json(BUCKET, f"cleanup/{NS}/{plan}.json")
    assert saved
    found = [(step["item"]["name"], step["action"]) for step in saved[0]["plan"]["steps"]]
    return {"/".join(name.split("/")[-2:]): action for name, action in found if name.startswith(f"{NAME}/")}


async def a_month_passes(*paths: str) -> None:
    """What clean-up has annotated, it has annotated a month ago, and has seen unused since."""
    month = datetime.now(UTC) - timedelta(days=30)
    async with Api(await of_cluster(NAME)) as api:
        for path in paths:
            meta = (await api.get(path) or {})["metadata"]
            assert meta["annotations"][SINCE]
            change = {"metadata": {"annotations": {SINCE: month.isoformat()}}}
            await api.patch(path, change, meta["uid"], meta["resourceVersion"])
    memory = await read_memory(BUCKET, NS)
    known = dict.fromkeys((f"{NAME}{path}" for path in paths), month)
    await write_memory(BUCKET, NS, replace(memory, disabled={**memory.disabled, **known}))


async def test_one_list_that_fails_leaves_the_cluster_alone_and_nothing_else(old: Old) -> None:
    with old.faults({"method": "kubernetes.pods.list", "code": "PERMISSION_DENIED"}):
        assert await planned(await cleanup(old.source, dry_run=False)) == {}
    told = [row["detail"] for row in await artifact(f"{NS}-cleanup-findings") if row["finding"] == "unknown"]
    assert len(told) == 1
    assert f"objects in {NS} of {NAME} could not be listed: kubernetes.pods.list" in told[0]


async def test_what_is_left_over_is_prepared_then_deleted_and_nothing_else(old: Old) -> None:
    dry = await cleanup(old.source)
    assert await planned(dry) == FIRST
    await cleanup(old.source, dry_run=False, plan=dry)
    assert await there(f"/api/v1/namespaces/{NS}/pods") == set()
    assert await planned(await cleanup(old.source)) == {}  # it has not held for long enough
    await a_month_passes(f"{MAPS}/left-over", f"{SECRETS}/key", f"{DEPLOYMENTS}/old")
    last = await cleanup(old.source)
    assert await planned(last) == dict.fromkeys(FIRST, "delete")
    await cleanup(old.source, dry_run=False, plan=last)
    assert await there(MAPS) == {"kube-root-ca.crt", "settings", "used", "of-helm", "of-nobody"}
    assert (await there(DEPLOYMENTS), "key" in await there(SECRETS)) == (set(), False)
    assert "of-clustershop" in await there(PROTECTED)
    copies = [await objects.read_json(BUCKET, each.name) for each in await objects.list_objects(BUCKET, COPIES)]
    kept = {copy[0]["metadata"]["name"]: copy[0].get("data") for copy in copies if copy}
    assert kept == {"left-over": {"k": "v"}, "key": None, "old": None}
