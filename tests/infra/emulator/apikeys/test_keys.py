"""API Keys as clients meet them: what a key is, how it is deleted and had back, and whose it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google.api_core import exceptions
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import api_keys_v2
from google.protobuf import field_mask_pb2

from infra.emulator.apikeys.restrictions import allows_caller
from infra.emulator.apikeys.state import KeyPb
from tests.conftest import EMPTY_PROJECT, PROJECT, LocalCloud
from tests.infra.emulator.discovery import Checked
from tests.infra.emulator.emulated_gateway import GLOBAL, QUICK, Gateways
from tests.infra.emulator.emulated_process import rest_of
from tests.infra.emulator.emulated_run import new_name

pytestmark = pytest.mark.usefixtures("cloud_env")
RUN = {"api_targets": [{"service": "run.googleapis.com"}]}


@pytest.fixture
def gateways() -> Gateways:
    return Gateways()


@pytest.fixture
def rest(cloud: LocalCloud) -> Iterator[Checked]:
    with rest_of(cloud, "apikeys") as session:
        yield session


def refusal(work: Any) -> GoogleAPICallError:
    with pytest.raises(GoogleAPICallError) as raised:
        work()
    return raised.value


def finished(rest: Checked, started: httpx.Response) -> dict[str, Any]:
    body = started.raise_for_status().json()
    assert set(body) == {"name"}  # nothing else is told at first
    assert body["name"].startswith("operations/akmf.p7-")
    while not (found := rest.get(f"/v2/{body['name']}").raise_for_status().json()).get("done"):
        time.sleep(0.02)
    return dict(found["response"])


def test_rest_answers_are_in_googles_form(rest: Checked) -> None:
    key_id, parent = new_name("key"), f"/v2/{GLOBAL}/keys"
    body = {"displayName": "Shop", "restrictions": {"apiTargets": [{"service": "run.googleapis.com"}]}}
    made = finished(rest, rest.post(parent, params={"keyId": key_id}, json=body))
    assert made["@type"] == "type.googleapis.com/google.api.apikeys.v2.Key"
    assert len(made["keyString"]) == 39
    shown = rest.get(f"{parent}/{key_id}").raise_for_status().json()
    number = shown["name"].split("/")[1]
    assert number.isdigit()  # names carry the project's number
    assert ("keyString" in shown, shown["etag"][:3], shown["restrictions"]) == (False, 'W/"', body["restrictions"])
    assert rest.get(f"{parent}/{key_id}/keyString").json() == {"keyString": made["keyString"]}
    assert rest.get("/v2/keys:lookupKey", params={"keyString": made["keyString"]}).json() == {
        "parent": f"projects/{number}",
        "name": shown["name"],
    }
    changed = finished(
        rest, rest.patch(f"{parent}/{key_id}", params={"updateMask": "displayName"}, json={"displayName": "B"})
    )
    assert (changed["displayName"], "keyString" in changed, changed["restrictions"]) == (
        "B",
        False,
        body["restrictions"],
    )
    gone = finished(rest, rest.delete(f"{parent}/{key_id}"))
    assert {"deleteTime", "keyString"} <= set(gone)
    assert key_id not in str(rest.get(parent).json())
    assert key_id in str(rest.get(parent, params={"showDeleted": "true"}).json())
    back = finished(rest, rest.post(f"{parent}/{key_id}:undelete", json={}))
    assert ("deleteTime" in back, back["uid"]) == (False, made["uid"])


def test_a_deleted_key_keeps_its_id_for_thirty_days(cloud: LocalCloud, gateways: Gateways) -> None:
    key_id = new_name("kept")
    name, made = f"{GLOBAL}/keys/{key_id}", gateways.make_key(key_id)
    gateways.keys.delete_key(name=name).result(polling=QUICK)
    assert gateways.keys.get_key(name=name).delete_time is not None
    assert isinstance(refusal(lambda: gateways.make_key(key_id)), exceptions.AlreadyExists)
    assert isinstance(refusal(lambda: gateways.keys.delete_key(name=name)), exceptions.FailedPrecondition)
    older = {"kind": "keys", "prefix": name, "days": 31}
    assert httpx.post(f"{cloud.admin}/age", json=older, trust_env=False).json() == {"aged": 1}
    error = refusal(lambda: gateways.keys.get_key(name=name))
    assert (type(error), error.message.startswith('key "projects/')) == (exceptions.NotFound, True)
    lookup = gateways.keys.lookup_key({"key_string": made.key_string})
    assert (lookup.parent != "", lookup.name) == (True, "")  # purged, and still somebody's
    assert gateways.make_key(key_id).uid != made.uid


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"display_name": "x" * 64}, "63 characters"),
        ({"restrictions": {"api_targets": [{"service": "nobodys-service"}]}}, "does not exist or is not visible"),
        ({"restrictions": {"server_key_restrictions": {"allowed_ips": ["10.0.0.300"]}}}, "is no IP address"),
    ],
)
def test_what_no_key_can_be_is_refused(gateways: Gateways, fields: dict[str, Any], text: str) -> None:
    error = refusal(lambda: gateways.make_key(new_name("bad"), **fields))
    assert (type(error), text in error.message) == (exceptions.InvalidArgument, True)


def test_an_id_and_a_place_that_google_refuses_are_refused(gateways: Gateways) -> None:
    for given in ("Upper", "9lives", "ends-", "a" * 64):
        assert isinstance(refusal(lambda given=given: gateways.make_key(given)), exceptions.InvalidArgument)
    parent = f"projects/{PROJECT}/locations/us-central1"
    assert "API keys are global" in refusal(lambda: gateways.keys.list_keys(parent=parent)).message


def test_an_outdated_etag_is_refused(gateways: Gateways) -> None:
    key_id = new_name("etag")
    made = gateways.make_key(key_id, restrictions=RUN)
    paths = field_mask_pb2.FieldMask(paths=["display_name"])
    key = api_keys_v2.Key(name=made.name, display_name="Another", etag=made.etag)
    assert gateways.keys.update_key(key=key, update_mask=paths).result(polling=QUICK).etag != made.etag
    again = refusal(lambda: gateways.keys.update_key(key=key, update_mask=paths))
    assert isinstance(again, exceptions.Aborted)
    assert isinstance(
        refusal(lambda: gateways.keys.delete_key({"name": made.name, "etag": made.etag})), exceptions.Aborted
    )


def test_nobody_looks_up_a_key_that_is_not_theirs(gateways: Gateways) -> None:
    error = refusal(lambda: gateways.keys.lookup_key({"key_string": "AIzaNobodys"}))
    assert (type(error), "apikeys.keys.lookup" in error.message) == (exceptions.PermissionDenied, True)
    parent = f"projects/{EMPTY_PROJECT}/locations/global"
    assert list(gateways.keys.list_keys(parent=parent)) == []


@pytest.mark.parametrize(
    ("restrictions", "address", "referrer", "allowed"),
    [
        ({}, "127.0.0.1", "", True),
        ({"server_key_restrictions": {"allowed_ips": ["127.0.0.0/8"]}}, "127.0.0.1", "", True),
        ({"server_key_restrictions": {"allowed_ips": ["10.0.0.1"]}}, "127.0.0.1", "", False),
        (
            {"browser_key_restrictions": {"allowed_referrers": ["*.example.com/*"]}},
            "::1",
            "https://a.example.com/x",
            True,
        ),
        ({"browser_key_restrictions": {"allowed_referrers": ["example.com"]}}, "::1", "https://example.com/x", True),
        ({"browser_key_restrictions": {"allowed_referrers": ["example.com"]}}, "::1", "https://evil.com/", False),
        ({"browser_key_restrictions": {"allowed_referrers": ["example.com"]}}, "::1", "", False),
        ({"ios_key_restrictions": {"allowed_bundle_ids": ["com.example"]}}, "::1", "", False),
    ],
)
def test_a_restricted_key_is_for_those_callers_alone(
    restrictions: dict[str, Any], address: str, referrer: str, allowed: bool
) -> None:
    assert allows_caller(KeyPb(restrictions=restrictions), address, referrer) == allowed


def test_of_two_that_make_a_key_of_one_id_at_once_one_is_refused(cloud: LocalCloud, gateways: Gateways) -> None:
    """Else the second would take the place of the first, whose text somebody has by then."""
    key_id = new_name("twice")
    cloud.put("/latency", {"stages": {"apikeys.key": 60.0}})
    try:
        started = [gateways.keys.create_key(parent=GLOBAL, key_id=key_id, key=api_keys_v2.Key()) for _ in range(2)]
    finally:
        cloud.put("/latency", {"stages": {"apikeys.key": 0.0}})
    made = started[0].result(polling=QUICK)
    assert refusal(lambda: started[1].result(polling=QUICK)).message == f"The key {made.name} already exists."
    assert gateways.keys.get_key_string(name=made.name).key_string == made.key_string
