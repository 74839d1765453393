"""API keys on the local cloud: one that nobody calls with goes, and can be had back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.cloud import api_keys_v2

from infra.gcp.apikeys import get_key, undelete_key
from tasks.cleanup.carry_out import said
from tasks.cleanup.engine.model import Why
from tasks.cleanup.kinds.api_keys import REQUESTS, ApiKeys, is_anothers
from tasks.names import provisioned
from tests.conftest import PROJECT, LocalCloud
from tests.tasks.cleanup.estate import Estate, a_manifest, faulty
from tests.tasks.cleanup.looks import a_look

GLOBAL = f"projects/{PROJECT}/locations/global"
_numbers = itertools.count(1)


@pytest.fixture
def client(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[api_keys_v2.ApiKeysClient]:
    yield api_keys_v2.ApiKeysClient()
    cloud.put("/measurements", [])


def new_key(client: api_keys_v2.ApiKeysClient, key_id: str = "", **more: Any) -> api_keys_v2.Key:
    key_id = key_id or f"left-over-{next(_numbers)}"
    request = api_keys_v2.CreateKeyRequest(parent=GLOBAL, key_id=key_id, key=api_keys_v2.Key(**more))
    made: api_keys_v2.Key = client.create_key(request=request).result()
    return made


def an_estate(prefix: str, *foreign: str) -> Estate:
    now = datetime.now(UTC) + timedelta(days=2)
    return Estate((ApiKeys(),), prefix, a_look((a_manifest(PROJECT, foreign),)), now)


async def test_a_key_that_nobody_calls_with_goes_and_can_be_had_back(client: api_keys_v2.ApiKeysClient) -> None:
    key_id = new_key(client).name.rpartition("/")[2]
    estate = an_estate(key_id, "api_keys")
    (step,) = (await estate.plan()).steps
    command = f"gcloud services api-keys undelete {key_id} --project={PROJECT}"
    assert f"undone by: {command}" in said(step)
    assert await estate.carry_out() == [f"delete locations/global/keys/{key_id}"]
    assert await estate.carry_out() == []
    await undelete_key(PROJECT, key_id, 30)
    found = await get_key(PROJECT, key_id)
    assert found is not None
    assert found.deleted is None


async def test_a_key_that_is_called_with_stays(client: api_keys_v2.ApiKeysClient, cloud: LocalCloud) -> None:
    used, stale = new_key(client), new_key(client)
    measured = [
        {
            "project": PROJECT, "metric": REQUESTS, "resource": "consumed_api", "value": 7, "days": days,
            "labels": {"resource.labels.credential_id": f"apikey:{key.uid}"},
        }
        for key, days in ((used, 20), (stale, 60))
    ]  # fmt: skip
    cloud.put("/measurements", measured)
    plan = await an_estate("left-over", "api_keys").plan()
    stays = {each.name.rpartition("/")[2]: (each.why, each.detail) for each in plan.kept}
    assert stays[used.name.rpartition("/")[2]] == (Why.IN_USE, "whoever called with it 7 times on a day of the last 30")
    assert stale.name.rpartition("/")[2] in {each.item.name.rpartition("/")[2] for each in plan.steps}


async def test_where_nobody_can_tell_whether_a_key_is_used_it_stays(
    client: api_keys_v2.ApiKeysClient, cloud: LocalCloud
) -> None:
    key_id = new_key(client).name.rpartition("/")[2]
    with faulty(cloud, {"method": "*MetricService/ListTimeSeries", "code": "PERMISSION_DENIED"}):
        assert not (await an_estate(key_id, "api_keys").plan()).steps


async def test_the_keys_of_the_apps_own_gateway_and_of_firebase_stay(client: api_keys_v2.ApiKeysClient) -> None:
    own = provisioned.key_id("shop", "production", 3)
    new_key(client, own)
    new_key(client, "firebase-made", display_name="Browser key (auto created by Firebase)")
    assert not (await an_estate(own, "api_keys").plan()).steps
    assert not (await an_estate("firebase-made", "api_keys").plan()).steps


@pytest.mark.parametrize(
    ("service", "others"),
    [
        ("maps.googleapis.com", False),
        (f"old-1a2b.apigateway.{PROJECT}.cloud.goog", False),  # ours, and the list of gateways lacks it
        ("billing-1a2b.apigateway.acme-billing.cloud.goog", True),
        ("billing.endpoints.acme-billing.cloud.goog", True),
    ],
)
def test_a_key_for_what_another_project_serves_is_in_use(service: str, others: bool) -> None:
    assert is_anothers(service, PROJECT) is others
