"""Every name is known before a run, and is what the module's variables say."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from infra.terraform.plan import Resource, read_state
from tasks.names import provisioned
from tasks.provision.wanted import CONFIG, GATEWAY, KEY, VERSION, Kind, by_name, openapi_of, things, variables
from tests.tasks.provision.wanted_of import wanted_of

MEMBER = "serviceAccount:shop-gateway@acme-prod.iam.gserviceaccount.com"


def test_the_modules_variables_say_all_of_it() -> None:
    said = variables(wanted_of())
    assert said["accounts"]["shop-gateway"] == {
        "account_id": "shop-gateway",
        "display_name": "shop in production (slipway)",
    }
    assert said["roles"] == {
        "shop-gateway roles/run.invoker": {"role": "roles/run.invoker", "member": MEMBER},
        "group:ops@example.com roles/viewer": {"role": "roles/viewer", "member": "group:ops@example.com"},
    }
    assert said["secrets"] == {
        "db-password": {"secret_id": "db-password", "accessors": [MEMBER, "group:ops@example.com"]}
    }
    assert said["buckets"]["uploads"] == {
        "name": "acme-prod-shop-uploads",
        "location": "europe-west1",
        "versioning": False,
    }
    assert said["gateway"]["service_account"] == MEMBER.removeprefix("serviceAccount:")
    assert said["key"]["key_id"] == "shop-production-k1"
    assert {"pubsub.googleapis.com", "apikeys.googleapis.com", "apigateway.googleapis.com"} <= set(said["services"])


def test_what_is_not_wanted_is_not_asked_for() -> None:
    said = variables(wanted_of("secrets: {a: }"))
    assert said["gateway"] is said["key"] is None
    assert said["services"] == ["secretmanager.googleapis.com"]


def test_what_is_looked_for_has_the_names_that_the_module_is_given() -> None:
    wanted = wanted_of()
    said = variables(wanted)
    found = {each.kind: each for each in things(wanted)}
    assert found[Kind.GATEWAY].import_id.endswith(f"/gateways/{said['gateway']['gateway_id']}")
    assert found[Kind.CONFIG].import_id.endswith(f"/configs/{said['gateway']['config_id']}")
    assert found[Kind.KEY].import_id.endswith(f"/keys/{said['key']['key_id']}")
    assert {each.address for each in things(wanted) if each.kind is Kind.BUCKET} == {
        'google_storage_bucket.bucket["uploads"]',
        'google_storage_bucket.bucket["logs"]',
    }


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_a_config_is_called_by_what_it_says(one: bytes, other: bytes) -> None:
    def named(text: bytes) -> Any:
        return wanted_of(openapi=text.hex().encode()).config

    assert (named(one) == named(other)) == (one == other)
    assert len(named(one)) <= provisioned.CONFIG_LIMIT


@given(st.integers(1, 9999), st.from_regex(r"[a-z][a-z0-9-]{0,60}[a-z0-9]", fullmatch=True))
def test_a_generation_can_be_read_from_the_keys_name(generation: int, app: str) -> None:
    key = provisioned.key_id(app, "production", generation)
    assert provisioned.generation_of(f"projects/p/locations/global/keys/{key}") == generation
    assert len(key) <= provisioned.CONFIG_LIMIT


def test_what_a_gateway_serves_is_known_from_the_state() -> None:
    wanted = wanted_of(openapi=b"swagger: '2.0'\npaths: {}")
    documents = [{"document": [{"path": "openapi.yaml", "contents": variables(wanted)["gateway"]["openapi_base64"]}]}]
    kind, address = "google_api_gateway_api_config", f'{CONFIG}["shop-1"]'
    config = {"mode": "managed", "address": address, "type": kind, "tainted": True}
    followed = {**config, "tainted": False, "deposed_key": "1a2b", "values": {}}
    values = {"api_config_id": "shop-1", "openapi_documents": documents}
    state = read_state({"values": {"root_module": {"resources": [{**config, "values": values}, followed]}}})
    assert openapi_of(state) == wanted.openapi
    assert state[address].tainted
    assert openapi_of({}) == b""
    assert openapi_of(read_state({"values": {"root_module": {"resources": [config]}}})) == b""
    gateway = Resource(GATEWAY, "google_api_gateway_gateway", {"api_config": "projects/p/apis/a/configs/shop-1"})
    followed_by = Resource("", kind, {"api_config_id": "shop-0", "openapi_documents": []})
    assert openapi_of({f'{CONFIG}["shop-0"]': followed_by, **state, GATEWAY: gateway}) == wanted.openapi


def test_what_earlier_states_have_by_a_number_has_its_name_now() -> None:
    wanted = wanted_of()
    kinds = {CONFIG: {"api_config_id": "shop-1"}, KEY: {"name": "shop-production-k1"}, VERSION: {"name": "1"}}
    state = {f"{address}[0]": Resource(f"{address}[0]", "", values) for address, values in kinds.items()}
    assert dict(by_name(state)) == {
        f"{CONFIG}[0]": f'{CONFIG}["shop-1"]',
        f"{KEY}[0]": f'{KEY}["shop-production-k1"]',
        f"{VERSION}[0]": wanted.version_address,
    }
    assert not dict(by_name({wanted.version_address: Resource("", "", {})}))
