"""What no state knows and another has followed is taken away; what is in use, or not ours, never."""

from __future__ import annotations

from dataclasses import replace

import pytest
from google.cloud.secretmanager import SecretManagerServiceClient
from prefect.logging import disable_run_logger

from infra.gcp import apigateway, apikeys
from tasks.names import provisioned
from tasks.provision.followed import newest_there, take_away_followed
from tasks.provision.wanted import Wanted, short
from tests.conftest import PROJECT
from tests.infra.emulator.emulated_gateway import Gateways, operation, swagger
from tests.infra.emulator.emulated_run import new_name
from tests.tasks.provision.wanted_of import wanted_of

pytestmark = pytest.mark.usefixtures("cloud_env")
SAID = swagger({"/": {"get": operation("root")}})


def a_wanted(generation: int = 3) -> Wanted:
    """Of an app of its own."""
    wanted = wanted_of()
    settings = wanted.settings.model_copy(update={"project": PROJECT})
    return replace(wanted, app=new_name("followed"), settings=settings, generation=generation)


async def taken_away(wanted: Wanted) -> None:
    with disable_run_logger():
        await take_away_followed.fn(wanted)  # type: ignore[attr-defined]  # the task without Prefect


async def test_of_our_configs_only_those_stay_that_are_wanted_or_served() -> None:
    wanted, gateways = a_wanted(), Gateways()
    gateways.make_api(wanted.gateway, labels=wanted.labels)
    theirs = {**wanted.labels, "slipway-environment": "staging"}
    for config, labels in ((wanted.config, wanted.labels), ("lost", wanted.labels), ("theirs", theirs), ("plain", {})):
        gateways.make_config(wanted.gateway, config, SAID, labels=labels)
    gateways.make_config(wanted.gateway, "served", SAID, labels=wanted.labels)
    gateways.make_gateway(wanted.gateway, wanted.gateway, "served", labels=wanted.labels)
    await taken_away(wanted)
    left = await apigateway.list_configs(PROJECT, wanted.gateway)
    assert {each.id for each in left} == {wanted.config, "theirs", "plain", "served"}


async def test_keys_before_the_one_that_is_wanted_are_deleted_with_what_keeps_them() -> None:
    wanted, gateways, secrets = a_wanted(), Gateways(), SecretManagerServiceClient()
    said = {
        "parent": f"projects/{PROJECT}",
        "secret_id": wanted.key_secret,
        "secret": {"replication": {"automatic": {}}},
    }
    secret = secrets.create_secret(request=said)
    names = {each: short(wanted.with_generation(each).key_name) for each in (1, 2, 3)}
    for each, key in names.items():
        made = gateways.make_key(key, display_name="by hand" if each == 1 else wanted.title)
        text = gateways.keys.get_key_string(name=made.name).key_string
        secrets.add_secret_version(request={"parent": secret.name, "payload": {"data": text.encode()}})
    assert await newest_there(wanted.with_generation(1)) == 3
    await taken_away(wanted)
    left = {each.id for each in await apikeys.list_keys(PROJECT)}
    assert {each for each, key in names.items() if key in left} == {1, 3}
    versions = secrets.list_secret_versions(parent=secret.name)
    assert {short(each.name): each.state.name for each in versions} == {"1": "ENABLED", "2": "DISABLED", "3": "ENABLED"}


async def test_no_key_is_deleted_before_the_one_that_follows_it_is_there() -> None:
    wanted, gateways = a_wanted(), Gateways()
    key = provisioned.key_id(wanted.app, wanted.environment, 1)
    gateways.make_key(key, display_name=wanted.title)
    await taken_away(wanted)
    assert key in {each.id for each in await apikeys.list_keys(PROJECT)}
