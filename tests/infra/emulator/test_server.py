"""The local cloud's doors: its REST form, and the proxy by which all APIs are reached."""

from __future__ import annotations

import httpx
import pytest

from tests.conftest import LocalCloud
from tests.infra.emulator.discovery import Checked
from tests.infra.emulator.emulated_registry import PARENT

# --- REST


def test_an_api_is_found_on_its_own_host_only(web: Checked) -> None:
    answer = web.get(f"https://secretmanager.googleapis.com/v1/{PARENT}/repositories/r")
    assert answer.status_code == 501
    assert "of secretmanager.googleapis.com is not emulated" in answer.json()["error"]["message"]


def test_a_head_request_is_answered_like_a_get_without_the_body(web: Checked) -> None:
    head, get = web.head(f"/v1/{PARENT}/repositories"), web.get(f"/v1/{PARENT}/repositories")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


@pytest.mark.parametrize(
    ("query", "body", "complaint"),
    [
        pytest.param("?repositoryId=r", b"{", "Invalid JSON payload", id="no JSON"),
        pytest.param("?repositoryId=r", b"[1]", "An object was expected", id="no object"),
        pytest.param("?repositoryId=r", b'{"colour": 1}', "colour", id="unknown field"),
        pytest.param("?repositoryId=r", b'{"format": "BALLOON"}', "BALLOON", id="unknown enum value"),
        pytest.param("?repositoryid=r", b"{}", "repositoryid", id="unknown query parameter"),
    ],
)
def test_a_malformed_request_is_told_what_is_wrong(web: Checked, query: str, body: bytes, complaint: str) -> None:
    answer = web.post(f"/v1/{PARENT}/repositories{query}", content=body)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert complaint in answer.json()["error"]["message"]


def test_a_query_parameter_of_the_wrong_type_is_refused(web: Checked) -> None:
    answer = web.get(f"/v1/{PARENT}/repositories", params={"pageSize": "many"})
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_enum_values_are_taken_in_any_case_as_gcloud_sends_them(web: Checked) -> None:
    body = {
        "format": "docker",
        "cleanupPolicyDryRun": True,
        "cleanupPolicies": {"old": {"id": "old", "action": "Delete"}},
    }
    operation = web.post(f"/v1/{PARENT}/repositories?repositoryId=any-case", json=body).json()
    while not operation.get("done"):
        operation = web.get(f"/v1/{operation['name']}").json()
    assert operation["response"]["cleanupPolicies"]["old"]["action"] == "DELETE"


def test_enums_are_numbers_for_clients_that_ask_for_them(cloud: LocalCloud, cloud_env: dict[str, str]) -> None:
    """The REST transports of the client libraries do; such an answer is not in the documents' form."""
    token = (cloud.data / "gcloud-token").read_text()
    url = "https://artifactregistry.googleapis.com/v1/projects/acme-test/projectSettings"
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.get(url, params={"$alt": "json;enum-encoding=int"}, headers=headers)
    assert answer.json()["legacyRedirectionState"] == 1


# --- the proxy


def test_the_proxy_lets_nothing_out_of_the_machine(cloud: LocalCloud) -> None:
    proxy = cloud.env["HTTPS_PROXY"]
    with httpx.Client(proxy=proxy, trust_env=False) as client:
        for url in ("https://example.com/", "https://googleapis.com.example.com/", "https://notgoogleapis.com/"):
            with pytest.raises(httpx.ProxyError, match="403"):
                client.get(url)
        assert client.get("http://example.com/").status_code == 403


def test_plain_requests_through_the_proxy_reach_the_api_of_their_host(cloud: LocalCloud) -> None:
    with httpx.Client(proxy=cloud.env["HTTPS_PROXY"], trust_env=False) as client:
        token = (cloud.data / "gcloud-token").read_text()
        url = f"http://artifactregistry.googleapis.com/v1/{PARENT}/repositories"
        assert client.get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 200
