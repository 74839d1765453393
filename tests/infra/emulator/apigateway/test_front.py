"""Requests through a gateway: to a real service, with the key and the token that its document asks for."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google.auth.transport.requests import Request
from google.cloud import iam_admin_v1
from google.oauth2 import service_account

from tests.conftest import PROJECT, LocalCloud, environment
from tests.infra.emulator.emulated_gateway import GLOBAL, KEY_SCHEME, QUICK, Gateways, operation, swagger, visitor
from tests.infra.emulator.emulated_run import Run, new_name

pytestmark = pytest.mark.usefixtures("cloud_env")
GUARDED: list[dict[str, list[str]]] = [{"k": []}]
ID = {"name": "id", "in": "path", "required": True, "type": "string"}


@pytest.fixture
def gateways() -> Gateways:
    return Gateways()


@pytest.fixture(scope="module")
def uri(cloud: LocalCloud) -> Iterator[str]:
    """The address of one public service, which tells what it was asked."""
    with environment(cloud.env):
        yield Run().create(new_name("behind")).uri


def told(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["message"]


def test_a_key_opens_the_gateway_once_the_managed_service_is_enabled_in_its_project(
    cloud: LocalCloud, gateways: Gateways, uri: str
) -> None:
    said = swagger({"/pets": {"get": operation("pets", backend=uri, security=GUARDED)}}, securityDefinitions=KEY_SCHEME)
    gateway = gateways.make_all("front-key", said)
    service = gateways.api.get_api(name=f"{GLOBAL}/apis/front-key").managed_service
    key = gateways.make_key("front-key", restrictions={"api_targets": [{"service": service}]}).key_string
    other = gateways.make_key("front-other", restrictions={"api_targets": [{"service": "run.googleapis.com"}]})
    with visitor(cloud, gateway) as client:
        status, message = told(client.get("/pets"))
        assert (status, "Please use API Key or other form of API consumer identity" in message) == (401, True)
        assert told(client.get("/pets", params={"key": "AIzaNone"}))[0] == 400
        assert told(client.get("/pets", params={"key": key})) == (
            403,
            f"PERMISSION_DENIED:API {service} is not enabled for the project.",
        )
        gateways.enable(service)
        answer = client.get("/pets", params={"key": key})
        assert (answer.status_code, answer.json()["path"]) == (200, f"/?key={key}")
        assert told(client.get("/pets", params={"key": other.key_string}))[0] == 403
        assert told(client.post("/pets", params={"key": key}))[0] == 405
        assert told(client.get("/dogs", params={"key": key})) == (
            404,
            "The current request is not defined by this API.",
        )
        name = f"{GLOBAL}/keys/front-key"
        gateways.keys.delete_key(name=name).result(polling=QUICK)
        assert told(client.get("/pets", params={"key": key}))[0] == 400
        gateways.keys.undelete_key({"name": name}).result(polling=QUICK)
        assert client.get("/pets", params={"key": key}).status_code == 200


@pytest.mark.parametrize(
    ("backend", "path", "seen"),
    [
        ({"address": "URI/deep"}, "/pets/bob?a=1", "/deep?a=1&id=bob"),
        ({"address": "URI/deep?x=1"}, "/pets/bob", "/deep?x=1&id=bob"),
        (
            {"address": "URI/deep", "path_translation": "APPEND_PATH_TO_ADDRESS"},
            "/pets/b%2Fb?a=1",
            "/deep/pets/b%2Fb?a=1",
        ),
    ],
)
def test_paths_are_translated_as_the_document_says(
    cloud: LocalCloud, gateways: Gateways, uri: str, backend: dict[str, str], path: str, seen: str
) -> None:
    backend = backend | {"address": backend["address"].replace("URI", uri)}
    said = swagger({"/pets/{id}": {"get": operation("pet", **{"x-google-backend": backend}, parameters=[ID])}})
    with visitor(cloud, gateways.make_all(new_name("translated"), said)) as client:
        assert client.get(path).json()["path"] == seen


def test_a_private_service_is_called_as_the_gateways_account(cloud: LocalCloud, gateways: Gateways) -> None:
    run = Run()
    service = run.create(new_name("private"), public=False)
    account = f"gateway-caller@{PROJECT}.iam.gserviceaccount.com"
    _make_account("gateway-caller")
    said = swagger({"/": {"get": operation("root")}}, **{"x-google-backend": {"address": service.uri}})
    gateway = gateways.make_all(new_name("private"), said, gateway_service_account=account)
    with visitor(cloud, gateway) as client:
        assert client.get("/").status_code == 403
        run.open_to(f"serviceAccount:{account}", service.name)
        answer = client.get("/", headers={"Authorization": "Bearer mine"})
        assert answer.status_code == 200
        headers = answer.json()["headers"]
        assert headers["X-Forwarded-Authorization"] == "Bearer mine"
        assert _claims(headers["Authorization"])["email"] == account


def _make_account(account_id: str) -> None:
    client = iam_admin_v1.IAMClient()
    client.create_service_account({"name": f"projects/{PROJECT}", "account_id": account_id})


def _claims(header: str) -> dict[str, Any]:
    payload = header.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


def test_a_token_of_the_right_issuer_and_audience_is_asked_for_and_told_to_the_backend(
    cloud: LocalCloud, gateways: Gateways, uri: str
) -> None:
    google = {
        "type": "oauth2", "authorizationUrl": "", "flow": "implicit", "x-google-issuer": "https://accounts.google.com",
        "x-google-jwks_uri": "https://www.googleapis.com/oauth2/v3/certs", "x-google-audiences": "shop",
    }  # fmt: skip
    backend = {"address": uri, "disable_auth": True}
    said = swagger(
        {"/": {"get": operation("root", security=[{"google": []}])}},
        securityDefinitions={"google": google},
        **{"x-google-backend": backend},
    )
    with visitor(cloud, gateways.make_all(new_name("token"), said)) as client:
        assert told(client.get("/")) == (401, "Jwt is missing")
        assert told(client.get("/", headers=bearer("nonsense")))[0] == 401
        assert told(client.get("/", headers=bearer(_signed(issuer="https://evil.com")))) == (
            401,
            "Jwt issuer is not configured",
        )
        assert told(client.get("/", headers=bearer(_id_token("other")))) == (403, "Audiences in Jwt are not allowed")
        token = _id_token("shop")
        headers = client.get("/", headers=bearer(token) | {"X-Apigateway-Api-Userinfo": "forged"}).json()["headers"]
        assert headers["Authorization"] == f"Bearer {token}"  # no token of the gateway's own takes its place
        assert _claims(f".{headers['X-Apigateway-Api-Userinfo']}")["aud"] == "shop"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _id_token(audience: str) -> str:
    key = os.environ["GOOGLE_APPLICATION_CREDENTIALS"]
    credentials: Any = service_account.IDTokenCredentials.from_service_account_file(key, target_audience=audience)
    credentials.refresh(Request())
    return str(credentials.token)


def _signed(issuer: str) -> str:
    """Nobody has signed it."""
    parts = ({"alg": "RS256", "kid": "none"}, {"iss": issuer, "aud": "shop", "iat": 1, "exp": 9_999_999_999})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c2ln"])


def test_preflight_requests_pass_without_a_key_where_the_document_allows_them(
    cloud: LocalCloud, gateways: Gateways, uri: str
) -> None:
    said = swagger(
        {"/status/{code}": {"get": operation("status", security=GUARDED, parameters=[ID | {"name": "code"}])}},
        securityDefinitions=KEY_SCHEME,
        **{"x-google-backend": {"address": uri}, "x-google-endpoints": [{"name": "shop.com", "allowCors": True}]},
    )
    with visitor(cloud, gateways.make_all(new_name("cors"), said)) as client:
        assert client.options("/status/200").status_code == 501  # of the app, which knows no such method
        assert client.get("/status/200").status_code == 401
        assert client.options("/other").status_code == 404


def test_what_becomes_of_a_request_whose_backend_does_not_answer(
    cloud: LocalCloud, gateways: Gateways, uri: str
) -> None:
    slow = {"address": uri, "deadline": 0.3, "path_translation": "APPEND_PATH_TO_ADDRESS"}
    paths = {
        "/slow/{id}": {"get": operation("slow", parameters=[ID], **{"x-google-backend": slow})},
        "/closed": {"get": operation("closed", backend="http://127.0.0.1:9")},
        "/elsewhere": {"get": operation("elsewhere", backend="https://example.com")},
        "/nothing": {"get": operation("nothing")},
    }
    with visitor(cloud, gateways.make_all(new_name("silent"), swagger(paths))) as client:
        assert told(client.get("/slow/5")) == (504, "upstream request timeout")
        assert told(client.get("/closed"))[0] == 503
        assert "is not on this machine" in told(client.get("/elsewhere"))[1]
        assert told(client.get("/nothing"))[0] == 503
        unknown = client.get("/closed", headers={"Host": "nobody-12345678.uc.gateway.dev"})
        assert unknown.status_code == 404


def test_a_gateway_passes_bodies_and_answers_on_as_they_are(cloud: LocalCloud, gateways: Gateways, uri: str) -> None:
    said = swagger(
        {"/status/{id}": {"post": operation("post", parameters=[ID]), "put": operation("put", parameters=[ID])}},
        **{"x-google-backend": {"address": uri}},
    )
    with visitor(cloud, gateways.make_all(new_name("passed"), said)) as client:
        for verb in ("POST", "PUT"):
            answer = client.request(verb, "/status/418", content=b"tea", headers={"X-Mine": "yes"})
            assert answer.status_code == 418
            assert (answer.json()["method"], answer.json()["body"]) == (verb, "tea")
            assert answer.json()["headers"]["X-Mine"] == "yes"
