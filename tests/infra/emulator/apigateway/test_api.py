"""API Gateway as clients meet it: what it makes, what it refuses, and in which words."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import yaml
from google.api_core import exceptions
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import apigateway_v1
from google.protobuf import field_mask_pb2

from tests.conftest import OTHER_PROJECT, PROJECT, LocalCloud
from tests.infra.emulator.discovery import Checked
from tests.infra.emulator.emulated_gateway import GLOBAL, QUICK, REGIONAL, Gateways, document, operation, swagger
from tests.infra.emulator.emulated_process import rest_of
from tests.infra.emulator.emulated_run import new_name

pytestmark = pytest.mark.usefixtures("cloud_env")
PLAIN = swagger({"/": {"get": operation("root")}})
ENCODED = base64.b64encode(yaml.safe_dump(PLAIN).encode()).decode()


@pytest.fixture
def gateways() -> Gateways:
    return Gateways()


@pytest.fixture
def rest(cloud: LocalCloud) -> Iterator[Checked]:
    with rest_of(cloud, "apigateway") as session:
        yield session


@pytest.fixture
def faults(cloud: LocalCloud) -> Iterator[LocalCloud]:
    yield cloud
    cloud.put("/faults", [])


def refusal(work: Any) -> GoogleAPICallError:
    with pytest.raises(GoogleAPICallError) as raised:
        work()
    return raised.value


def finished(rest: Checked, version: str, started: httpx.Response) -> dict[str, Any]:
    """The operation once it is done."""
    name = started.raise_for_status().json()["name"]
    while not (found := rest.get(f"/{version}/{name}").raise_for_status().json()).get("done"):
        time.sleep(0.02)
    return dict(found)


def mask(*paths: str) -> field_mask_pb2.FieldMask:
    return field_mask_pb2.FieldMask(paths=paths)


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_rest_answers_are_in_googles_form(rest: Checked, version: str) -> None:
    api, parent = new_name(f"rest-{version}"), f"/{version}/{GLOBAL}/apis"
    made = finished(rest, version, rest.post(parent, params={"apiId": api}, json={"labels": {"app": "shop"}}))
    assert made["response"]["@type"] == f"type.googleapis.com/google.cloud.apigateway.{version}.Api"
    assert made["response"]["managedService"].startswith(f"{api}-")
    body = {"openapiDocuments": [{"document": {"path": "a.yaml", "contents": ENCODED}}]}
    made = finished(rest, version, rest.post(f"{parent}/{api}/configs", params={"apiConfigId": "c"}, json=body))
    assert "openapiDocuments" not in made["response"]
    config = f"{parent}/{api}/configs/c"
    assert "openapiDocuments" not in rest.get(config).json()
    assert rest.get(config, params={"view": "FULL"}).json()["openapiDocuments"] == body["openapiDocuments"]
    where = f"/{version}/{REGIONAL}/gateways"
    name = config.removeprefix(f"/{version}/")
    made = finished(rest, version, rest.post(where, params={"gatewayId": api}, json={"apiConfig": name}))
    assert (made["metadata"]["apiVersion"], made["metadata"]["verb"]) == (version, "create")
    assert made["metadata"]["target"] == f"{REGIONAL}/gateways/{api}"
    assert {"createTime", "endTime"} <= set(made["metadata"])
    for listed in (parent, f"{parent}/{api}/configs", f"/{version}/projects/{PROJECT}/locations/-/gateways"):
        assert rest.get(listed, params={"pageSize": "1"}).raise_for_status().json()
    for held in (f"{parent}/{api}", config, f"{where}/{api}"):
        policy = {"bindings": [{"role": "roles/viewer", "members": ["user:gateway@example.com"]}]}
        assert rest.post(f"{held}:setIamPolicy", json={"policy": policy}).raise_for_status()
        assert rest.get(f"{held}:getIamPolicy").json()["bindings"] == policy["bindings"]
        asked = {"permissions": ["apigateway.apis.get"]}
        assert rest.post(f"{held}:testIamPermissions", json=asked).json() == asked
    gone = finished(rest, version, rest.delete(f"{where}/{api}"))
    assert gone["response"] == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    assert rest.get(f"/{version}/projects/{PROJECT}/locations").status_code == 200
    assert rest.checked > 20


def test_v1beta_takes_the_account_in_its_older_place(rest: Checked, gateways: Gateways) -> None:
    api = new_name("older")
    gateways.make_api(api)
    number = rest.get(f"https://cloudresourcemanager.googleapis.com/v1/projects/{PROJECT}").json()["projectNumber"]
    account = f"{number}-compute@developer.gserviceaccount.com"
    body = {
        "openapiDocuments": [{"document": {"path": "a.yaml", "contents": ENCODED}}],
        "gatewayConfig": {"backendConfig": {"googleServiceAccount": account}},
    }
    where = f"{GLOBAL}/apis/{api}/configs"
    finished(rest, "v1beta", rest.post(f"/v1beta/{where}", params={"apiConfigId": "c"}, json=body))
    found = rest.get(f"/v1beta/{where}/c").json()
    assert (found["gatewayServiceAccount"], "gatewayConfig" in found) == (account, False)
    assert rest.post(f"/v1/{where}", params={"apiConfigId": "d"}, json=body).status_code == 400  # no field of v1


def test_what_is_missing_or_taken_is_told_by_name(gateways: Gateways) -> None:
    api = new_name("taken")
    name = f"{GLOBAL}/apis/{api}"
    assert refusal(lambda: gateways.api.get_api(name=name)).message == f"Resource '{name}' was not found"
    assert isinstance(refusal(lambda: gateways.make_config(api, "c", PLAIN)), exceptions.NotFound)
    gateways.make_all(api, PLAIN)
    for again in (
        lambda: gateways.make_api(api),
        lambda: gateways.make_config(api, api, PLAIN),
        lambda: gateways.make_gateway(api, api, api),
    ):
        error = refusal(again)
        assert isinstance(error, exceptions.AlreadyExists)
        assert error.message.endswith(f"/{api}' already exists")
    assert isinstance(refusal(lambda: gateways.make_gateway("g", api, "none")), exceptions.NotFound)


def test_what_others_stand_on_is_not_deleted(gateways: Gateways) -> None:
    name = new_name("nested")
    gateways.make_all(name, PLAIN)
    api, config, gateway = (
        f"{GLOBAL}/apis/{name}",
        f"{GLOBAL}/apis/{name}/configs/{name}",
        f"{REGIONAL}/gateways/{name}",
    )
    error = refusal(lambda: gateways.api.delete_api(name=api))
    assert (type(error), "has nested resources" in error.message) == (exceptions.FailedPrecondition, True)
    error = refusal(lambda: gateways.api.delete_api_config(name=config))
    assert (type(error), gateway in error.message) == (exceptions.FailedPrecondition, True)
    gateways.api.delete_gateway(name=gateway).result(polling=QUICK)
    gateways.api.delete_api_config(name=config).result(polling=QUICK)
    gateways.api.delete_api(name=api).result(polling=QUICK)
    assert isinstance(refusal(lambda: gateways.api.get_api(name=api)), exceptions.NotFound)


@pytest.mark.parametrize("given", ["", "Upper", "9lives", "ends-", "a" * 50, "under_score"])
def test_an_id_that_google_refuses_is_refused(gateways: Gateways, given: str) -> None:
    error = refusal(lambda: gateways.api.create_api(parent=GLOBAL, api_id=given, api=apigateway_v1.Api()))
    assert isinstance(error, exceptions.InvalidArgument)


def test_apis_are_global_and_gateways_are_in_a_region_that_has_them(gateways: Gateways) -> None:
    api = apigateway_v1.Api()
    error = refusal(lambda: gateways.api.create_api(parent=REGIONAL, api_id="regional", api=api))
    assert "Location us-central1 is not found" in error.message
    gateway = apigateway_v1.Gateway(api_config=f"{GLOBAL}/apis/a/configs/c")
    parent = f"projects/{PROJECT}/locations/europe-north1"
    error = refusal(lambda: gateways.api.create_gateway(parent=parent, gateway_id="north", gateway=gateway))
    assert "Location europe-north1 is not found" in error.message


def test_a_config_cannot_be_changed_but_for_its_labels_and_a_gateway_takes_another_one(gateways: Gateways) -> None:
    name = new_name("changed")
    before = gateways.make_all(name, PLAIN)
    gateways.make_config(name, "next", PLAIN)
    config = apigateway_v1.ApiConfig(name=f"{GLOBAL}/apis/{name}/configs/{name}", labels={"a": "b"})
    error = refusal(
        lambda: gateways.api.update_api_config(api_config=config, update_mask=mask("gateway_service_account"))
    )
    assert isinstance(error, exceptions.InvalidArgument)
    changed = gateways.api.update_api_config(api_config=config, update_mask=mask("labels")).result(polling=QUICK)
    assert (dict(changed.labels), changed.display_name) == ({"a": "b"}, name)
    gateway = apigateway_v1.Gateway(name=before.name, api_config=f"{GLOBAL}/apis/{name}/configs/next")
    after = gateways.api.update_gateway(gateway=gateway, update_mask=mask("api_config")).result(polling=QUICK)
    assert (after.api_config, after.default_hostname) == (gateway.api_config, before.default_hostname)


def test_a_document_is_refused_before_anything_is_made(gateways: Gateways) -> None:
    name = new_name("refused")
    gateways.make_api(name)
    error = refusal(lambda: gateways.make_config(name, "c", swagger({"/a/": {"get": operation("a")}})))
    assert error.message.startswith("Cannot convert to service config.\n'location:")
    assert list(gateways.api.list_api_configs(parent=f"{GLOBAL}/apis/{name}")) == []
    error = refusal(lambda: gateways.make_config(name, "c"))
    assert "openapi_documents or grpc_services must be set" in error.message


def test_what_could_not_be_made_stays_as_a_wreck(faults: LocalCloud, gateways: Gateways) -> None:
    name = new_name("wreck")
    gateways.make_api(name)
    gateways.make_config(name, name, PLAIN)
    faults.put("/faults", [{"method": "apigateway.gateways.create", "code": "INTERNAL", "times": 1}])
    assert isinstance(refusal(lambda: gateways.make_gateway(name, name, name)), exceptions.InternalServerError)
    state = gateways.api.get_gateway(name=f"{REGIONAL}/gateways/{name}").state
    assert state == apigateway_v1.Gateway.State.FAILED
    assert isinstance(refusal(lambda: gateways.make_gateway(name, name, name)), exceptions.AlreadyExists)


def test_what_is_being_changed_takes_no_other_change(cloud: LocalCloud, gateways: Gateways) -> None:
    name = new_name("busy")
    gateways.make_api(name)
    cloud.put("/latency", {"profile": "instant", "stages": {"apigateway.config": 60.0}})
    try:
        wanted = apigateway_v1.ApiConfig(openapi_documents=[document(PLAIN)])
        started = gateways.api.create_api_config(parent=f"{GLOBAL}/apis/{name}", api_config_id="c", api_config=wanted)
        config = f"{GLOBAL}/apis/{name}/configs/c"
        error = refusal(lambda: gateways.api.delete_api_config(name=config))
        assert (type(error), error.message) == (exceptions.Aborted, "unable to queue the operation")
        error = refusal(lambda: gateways.make_gateway(name, name, "c"))
        assert "is in state CREATING" in error.message
        cloud.put("/latency", {"profile": "instant", "stages": {}})
        assert started.result(polling=QUICK).state == apigateway_v1.ApiConfig.State.ACTIVE
    finally:
        cloud.put("/latency", {"profile": "instant", "stages": {}})


def test_a_managed_service_can_be_enabled_once_its_api_has_a_config(gateways: Gateways) -> None:
    name = new_name("managed")
    service = gateways.make_api(name).managed_service
    error = refusal(lambda: gateways.enable(service))
    assert f"Not found or permission denied for service(s): {service}" in error.message
    gateways.make_config(name, "c", PLAIN)
    gateways.enable(service)
    shown = gateways.usage.get_service({"name": f"projects/{PROJECT}/services/{service}"})
    assert (shown.state.name, shown.config.title) == ("ENABLED", name)


def test_who_may_not_and_where_the_api_is_off_nothing_is_made(cloud: LocalCloud, gateways: Gateways) -> None:
    parent = f"projects/{OTHER_PROJECT}/locations/global"
    gateways.usage.disable_service({"name": f"projects/{OTHER_PROJECT}/services/apigateway.googleapis.com"}).result()
    try:
        error = refusal(lambda: list(gateways.api.list_apis(parent=parent)))
        assert "API Gateway API has not been used in project" in error.message
    finally:
        name = f"projects/{OTHER_PROJECT}/services/apigateway.googleapis.com"
        gateways.usage.enable_service({"name": name}).result()


def test_a_list_has_pages(gateways: Gateways) -> None:
    names = [new_name("page") for _ in range(3)]
    for name in names:
        gateways.make_api(name)
    found = [api.name.rpartition("/")[2] for api in gateways.api.list_apis({"parent": GLOBAL, "page_size": 1})]
    assert set(names) <= set(found)
    assert len(found) == len(set(found))


def test_json_with_an_unknown_field_is_refused(rest: Checked) -> None:
    answer = rest.post(f"/v1/{GLOBAL}/apis", params={"apiId": "x"}, content=json.dumps({"labelz": {}}))
    assert (answer.status_code, "labelz" in answer.text) == (400, True)
