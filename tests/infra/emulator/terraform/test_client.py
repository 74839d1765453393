"""How the stand-in calls the cloud, and in which words it says what went wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from infra.emulator.terraform.client import CREDENTIALS, Cloud, Problem, credentials, seconds, text_of
from infra.emulator.terraform.kinds.resource import parts_of
from tests.conftest import environment

CONFIGS = "projects/{project}/locations/global/apis/{api}/configs/{api_config_id}"


def answer(status: int, body: object) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response._content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return response


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": {"message": "no"}}, "googleapi: Error 403: no"),
        ({"error": {"message": "no", "errors": [{"message": "no", "reason": "forbidden"}]}},
         "googleapi: Error 403: no, forbidden"),
        ({"error": {"message": "no", "details": [{"a": 1}]}},
         'googleapi: Error 403: no\nDetails:\n[\n  {\n    "a": 1\n  }\n]'),
        (b"<html>", "googleapi: got HTTP response code 403 with body: <html>"),
    ],
    ids=["plain", "reason", "details", "a proxy's page"],
)  # fmt: skip
def test_errors_are_printed_as_googles_go_library_prints_them(body: object, text: str) -> None:
    assert text_of(answer(403, body)) == text


@pytest.mark.parametrize(("text", "value"), [("20m", 1200.0), ("1h30m", 5400.0), ("1.5s", 1.5), ("250ms", 0.25)])
def test_time_outs_are_in_gos_notation(text: str, value: float) -> None:
    assert seconds(text) == value


def test_a_time_out_in_other_words_is_refused() -> None:
    with pytest.raises(Problem, match='invalid duration "soon"'):
        seconds("soon")


@pytest.mark.parametrize(
    "text", ["projects/p/locations/global/apis/a/configs/c", "p/a/c", "a/c"], ids=["whole", "parts", "own project"]
)
def test_an_id_may_be_short(text: str) -> None:
    cloud = Cloud()
    cloud.configure({"project": "p"})
    assert parts_of(text, CONFIGS, cloud) == {"project": "p", "api": "a", "api_config_id": "c"}


@pytest.mark.parametrize("text", ["", "c", "a//c", "w/x/y/z", "projects/p/locations/eu/apis/a/configs/c"])
def test_an_id_that_leaves_something_open_is_refused(text: str) -> None:
    cloud = Cloud()
    cloud.configure({"project": "p"})
    with pytest.raises(Problem, match="doesn't match any of the accepted formats"):
        parts_of(text, CONFIGS, cloud)


def test_why_a_call_is_made_and_who_pays_for_it_is_sent_along() -> None:
    cloud = Cloud()
    cloud.configure({"project": "p", "request_reason": "run 7", "user_project_override": True})
    assert {"x-goog-request-reason": "run 7", "x-goog-user-project": "p"}.items() <= cloud.headers().items()
    cloud.configure({"project": "p", "billing_project": "b", "user_project_override": True})
    with environment({"CLOUDSDK_CORE_REQUEST_REASON": "run 8"}):
        assert {"x-goog-request-reason": "run 8", "x-goog-user-project": "b"}.items() <= cloud.headers().items()


def test_project_and_region_are_those_of_the_environment_where_nothing_else_is_said() -> None:
    cloud = Cloud()
    with environment({"GOOGLE_PROJECT": "p", "GOOGLE_CLOUD_PROJECT": "q", "GOOGLE_REGION": "r"}):
        assert (cloud.project, cloud.region) == ("p", "r")
        cloud.configure({"project": "mine"})
        assert (cloud.project, cloud.region) == ("mine", "r")


@pytest.mark.parametrize("variable", CREDENTIALS)
def test_it_acts_as_the_account_whose_key_or_file_the_environment_names(variable: str, tmp_path: Path) -> None:
    private = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = {
        "type": "service_account",
        "client_email": "shop@acme.iam.gserviceaccount.com",
        "private_key": private.decode(),
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    file = tmp_path / "key.json"
    file.write_text(json.dumps(key))
    for said in (json.dumps(key), str(file)):
        with environment({variable: said}):
            assert vars(credentials())["_service_account_email"] == key["client_email"]
