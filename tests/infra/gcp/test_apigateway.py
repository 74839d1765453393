"""What the API Gateway and API Keys clients tell of what Terraform has made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from google.api_core.exceptions import InternalServerError
from google.cloud.secretmanager_v1 import SecretManagerServiceClient

from infra.gcp import apigateway, apikeys, secrets
from infra.gcp.calls.errors import GoogleError
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_gateway import GLOBAL, QUICK, REGION, Gateways, operation, swagger
from tests.infra.emulator.emulated_run import new_name

pytestmark = pytest.mark.usefixtures("cloud_env")
LABELS = {"app": "storefront"}


@pytest.fixture
def faults(cloud: LocalCloud) -> Iterator[LocalCloud]:
    yield cloud
    cloud.put("/faults", [])


async def test_a_gateway_is_found_by_its_name_and_by_its_api() -> None:
    name, gateways = new_name("read"), Gateways()
    gateways.make_api(name, labels=LABELS)
    gateways.make_config(name, "one", swagger({"/": {"get": operation("root")}}), labels=LABELS)
    made = gateways.make_gateway(name, name, "one", labels=LABELS)
    api = await apigateway.get_api(PROJECT, name)
    assert api is not None
    assert (api.id, api.active, api.labels) == (name, True, LABELS)
    assert api.managed_service.endswith(f".apigateway.{PROJECT}.cloud.goog")
    config = await apigateway.get_config(PROJECT, name, "one")
    assert config is not None
    assert (config.id, config.state, config.account) == ("one", "ACTIVE", "")
    assert await apigateway.list_configs(PROJECT, name) == [config]
    gateway = await apigateway.get_gateway(PROJECT, REGION, name)
    assert gateway is not None
    assert (gateway.url, gateway.region, gateway.api_config) == (
        f"https://{made.default_hostname}",
        REGION,
        config.name,
    )
    assert await apigateway.gateways_of(PROJECT, name) == [gateway]


async def test_what_is_not_there_is_no_error() -> None:
    assert await apigateway.get_api(PROJECT, "none") is None
    assert await apigateway.get_config(PROJECT, "none", "none") is None
    assert await apigateway.get_gateway(PROJECT, REGION, "none") is None
    assert await apigateway.gateways_of(PROJECT, "none") == []
    assert await apikeys.get_key(PROJECT, "none") is None


async def test_a_deleted_key_is_seen_and_can_be_had_back() -> None:
    key, gateways = new_name("key"), Gateways()
    target = {"api_targets": [{"service": "run.googleapis.com"}]}
    gateways.make_key(key, display_name="Of the shop", restrictions=target)
    found = await apikeys.get_key(PROJECT, key)
    assert found is not None
    assert (found.id, found.display_name, found.deleted) == (key, "Of the shop", None)
    assert found.services == {"run.googleapis.com"}
    gateways.keys.delete_key(name=f"{GLOBAL}/keys/{key}").result(polling=QUICK)
    gone = await apikeys.get_key(PROJECT, key)
    assert gone is not None
    assert gone.deleted is not None
    assert datetime.now(UTC) - gone.deleted < timedelta(minutes=5)
    assert key not in [each.id for each in await apikeys.list_keys(PROJECT)]
    assert gone in await apikeys.list_keys(PROJECT, deleted=True)
    back = await apikeys.undelete_key(PROJECT, key, 30)
    assert back == replace(found, etag=back.etag)
    assert back.etag != found.etag
    with pytest.raises(GoogleError, match="is not deleted") as raised:
        await apikeys.undelete_key(PROJECT, key, 30)
    assert raised.value.status == "FAILED_PRECONDITION"


async def test_a_read_that_fails_once_is_repeated_and_one_that_is_refused_is_an_error(faults: LocalCloud) -> None:
    name = new_name("repeated")
    Gateways().make_api(name)
    for method, read in (("*/GetApi", apigateway.get_api(PROJECT, name)), ("*/GetKey", apikeys.get_key(PROJECT, "x"))):
        faults.put("/faults", [{"method": method, "code": "UNAVAILABLE", "times": 1}])
        await read
    for fault, text in (
        ({"code": "PERMISSION_DENIED"}, "PERMISSION_DENIED"),
        ({"unreachable": ["europe-west1"], "times": 9}, "europe-west1 did not answer"),  # no shorter list
    ):
        faults.put("/faults", [{"method": "*/ListGateways", **fault}])
        with pytest.raises(GoogleError, match=text):
            await apigateway.gateways_of(PROJECT, name)


async def test_what_could_not_be_made_is_seen_as_that_and_can_be_taken_away(faults: LocalCloud) -> None:
    name, gateways = new_name("wreck"), Gateways()
    gateways.make_api(name, labels=LABELS)
    faults.put("/faults", [{"method": "apigateway.configs.create", "code": "INTERNAL"}])
    with pytest.raises(InternalServerError):
        gateways.make_config(name, "one", swagger({"/": {"get": operation("root")}}), labels=LABELS)
    faults.put("/faults", [])
    wreck = await apigateway.get_config(PROJECT, name, "one")
    assert wreck is not None
    assert (wreck.state, wreck.labels) == ("FAILED", LABELS)
    for gone in (wreck.name, wreck.name, f"{GLOBAL}/apis/{name}"):  # twice is fine
        await apigateway.delete(gone, 60.0)
    assert await apigateway.get_config(PROJECT, name, "one") is None
    assert await apigateway.get_api(PROJECT, name) is None


async def test_the_version_of_a_secret_that_holds_a_key_is_found_and_the_key_is_not_shown() -> None:
    key, manager = new_name("kept"), SecretManagerServiceClient()
    Gateways().make_key(key)
    text = await apikeys.key_string(PROJECT, key)
    assert text is not None
    assert text.get_secret_value() not in f"{text} {text!r}"
    assert await secrets.versions_that_say(PROJECT, key, text) == []  # there is no such secret
    wanted = {"parent": f"projects/{PROJECT}", "secret_id": key, "secret": {"replication": {"automatic": {}}}}
    manager.create_secret(request=wanted)
    for data in (text.get_secret_value(), "somebody's"):
        parent = f"projects/{PROJECT}/secrets/{key}"
        manager.add_secret_version(request={"parent": parent, "payload": {"data": data.encode()}})
    assert [each.number for each in await secrets.versions_that_say(PROJECT, key, text)] == [1]
    manager.disable_secret_version(name=f"projects/{PROJECT}/secrets/{key}/versions/1")
    assert await secrets.versions_that_say(PROJECT, key, text) == []
    assert await apikeys.key_string(PROJECT, new_name("none")) is None
