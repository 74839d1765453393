"""Calls to an API server, over the wire."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.gcp.calls.attempts import ONCE
from infra.gcp.calls.errors import GoogleError
from infra.gcp.kubernetes import api as calls
from infra.gcp.kubernetes.access import of_cluster, of_kubeconfig
from infra.gcp.kubernetes.api import Api, Resource
from tests.conftest import LocalCloud, environment
from tests.infra.emulator.emulated_cluster import make_cluster, token

MAPS = Resource("", "v1", "configmaps", "ConfigMap", True)
NS = "calls"


@pytest.fixture(scope="module")
def cluster(cloud: LocalCloud) -> str:
    return make_cluster(cloud, "for-calls")


@pytest.fixture
async def api(cloud: LocalCloud, cluster: str) -> AsyncIterator[Api]:
    with environment(cloud.env):
        async with Api(await of_cluster(cluster)) as opened:
            if await opened.get(f"/api/v1/namespaces/{NS}") is None:
                await _post(opened, "/api/v1/namespaces", NS)
            yield opened


async def _post(api: Api, path: str, name: str, **more: object) -> dict[str, str]:
    body = json.dumps({"metadata": {"name": name, **more}})
    made = await api._call("POST", "test", path, ONCE, content=body, headers={"Content-Type": calls.WHOLE})
    return dict(made["metadata"])


async def test_lists_are_whole_however_many_pages_they_take(api: Api) -> None:
    for number in range(5):
        await _post(api, MAPS.path(NS), f"page-{number}")
    async with Api(api.access, page=2) as paging:
        found = {each["metadata"]["name"] for each in await paging.every(MAPS, NS, metadata=True)}
    assert {f"page-{number}" for number in range(5)} <= found


async def test_pages_that_have_become_too_old_are_listed_anew(api: Api, cloud: LocalCloud) -> None:
    for number in range(5):
        await _post(api, MAPS.path(NS), f"old-page-{number}")
    cloud.put("/faults", [{"method": "kubernetes.configmaps.list", "code": "OUT_OF_RANGE", "skip": 1, "times": 1}])
    try:
        async with Api(api.access, page=2) as paging:
            found = [each["metadata"]["name"] for each in await paging.every(MAPS, NS)]
    finally:
        cloud.put("/faults", [])
    assert len(found) == len(set(found))
    assert {f"old-page-{number}" for number in range(5)} <= set(found)


async def test_what_has_changed_is_neither_patched_nor_deleted(api: Api) -> None:
    made = await _post(api, MAPS.path(NS), "changed")
    path = MAPS.path(NS, "changed")
    assert await api.patch(path, {"data": {"k": "v"}}, made["uid"], made["resourceVersion"])
    for work in (
        api.patch(path, {"data": {"k": "w"}}, made["uid"], made["resourceVersion"]),
        api.delete(path, made["uid"], made["resourceVersion"], 30),
    ):
        with pytest.raises(GoogleError) as raised:
            await work
        assert raised.value.status == "ABORTED"
    found = await api.get(path)
    assert found
    assert found["data"] == {"k": "v"}
    assert await api.delete(path, made["uid"], found["metadata"]["resourceVersion"], 30)
    assert await api.get(path) is None
    assert not await api.delete(path, made["uid"], found["metadata"]["resourceVersion"], 30)


async def test_a_delete_that_a_finalizer_holds_up_is_no_delete(api: Api) -> None:
    made = await _post(api, MAPS.path(NS), "held", finalizers=["example.com/hold"])
    with pytest.raises(GoogleError, match=r"it waits for example.com/hold") as raised:
        await api.delete(MAPS.path(NS, "held"), made["uid"], made["resourceVersion"], 0.5)
    assert raised.value.status == "DEADLINE_EXCEEDED"


async def test_one_group_that_does_not_answer_hides_nothing(api: Api) -> None:
    kinds = {each.plural: each.version for each in await api.resources()}
    assert (kinds["configmaps"], kinds["cronjobs"], "deployments" in kinds) == ("v1", "v1", True)


async def test_metadata_of_secrets_comes_without_their_values(api: Api) -> None:
    await _post(api, f"/api/v1/namespaces/{NS}/secrets", "quiet")
    (found,) = await api.every(Resource("", "v1", "secrets", "Secret", True), NS, metadata=True)
    assert found.keys() == {"kind", "apiVersion", "metadata"}


async def test_a_kubeconfig_leads_to_the_same_server(api: Api, cloud: LocalCloud, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(api.access.authority)
    (tmp_path / "config").write_text(
        json.dumps(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [
                    {"name": "c", "cluster": {"server": api.access.server, "certificate-authority": "ca.pem"}}
                ],
                "users": [{"name": "u", "user": {"token": token(cloud)}}],
            }
        )
    )
    async with Api(await of_kubeconfig(str(tmp_path / "config"))) as other:
        assert await other.get(f"/api/v1/namespaces/{NS}")


async def test_a_servers_refusal_is_told_in_its_own_words(api: Api) -> None:
    with pytest.raises(GoogleError, match='namespaces "nowhere" not found') as raised:
        await _post(api, MAPS.path("nowhere"), "a")
    assert (raised.value.status, raised.value.reason) == ("NOT_FOUND", "NotFound")
