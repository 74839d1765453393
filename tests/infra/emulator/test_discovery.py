"""The judge itself: it lets real answers pass and names what no real API would say."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.infra.emulator.discovery import Checked, NotConforming, api_of, assert_conforms, violations
from tests.serving import serving

REPOSITORIES = "/v1/projects/p/locations/us-central1/repositories"
IMAGES = f"{REPOSITORIES}/r/dockerImages"
GOOD_REPOSITORY = {
    "name": "projects/p/locations/us-central1/repositories/r",
    "format": "DOCKER",
    "createTime": "2024-03-05T10:11:12.123456Z",
    "sizeBytes": "1234567890123",
    "labels": {"any": "value"},
    "dockerConfig": {"immutableTags": True},
}
OPERATION = {
    "name": "projects/p/locations/us-central1/operations/1",
    "done": True,
    "metadata": {"@type": "type.googleapis.com/google.devtools.artifactregistry.v1.OperationMetadata"},
    "response": {"@type": "type.googleapis.com/google.devtools.artifactregistry.v1.Repository", **GOOD_REPOSITORY},
}


def test_an_answer_in_googles_form_conforms() -> None:
    assert_conforms("artifactregistry.v1", "GET", f"{REPOSITORIES}/r", GOOD_REPOSITORY)
    assert_conforms("artifactregistry.v1", "POST", REPOSITORIES, OPERATION, {"repositoryId": "r", "alt": "json"})
    assert_conforms("storage.v1", "POST", "/upload/storage/v1/b/bucket/o", {"size": "3"}, {"uploadType": "media"})


@pytest.mark.parametrize(
    ("change", "place"),
    [
        pytest.param({"sizeBytes": 12}, "$.sizeBytes", id="int64 as a number"),
        pytest.param({"format": 1}, "$.format", id="enum as a number"),
        pytest.param({"format": "OCI"}, "$.format", id="unknown enum value"),
        pytest.param({"size_bytes": "12"}, "size_bytes", id="field in snake case"),
        pytest.param({"createTime": "2024-03-05 10:11:12"}, "$.createTime", id="time in another form"),
        pytest.param({"createTime": "2024-03-05T10:11:12.1Z"}, "$.createTime", id="fraction of one digit"),
        pytest.param({"labels": {"a": 1}}, "$.labels.a", id="wrong type in a map"),
        pytest.param({"dockerConfig": {"immutable": True}}, "$.dockerConfig", id="unknown nested field"),
        pytest.param({"labels": None}, "$.labels", id="null"),
    ],
)
def test_a_field_in_a_form_that_google_does_not_use_is_a_violation(change: dict[str, Any], place: str) -> None:
    found = list(violations("artifactregistry.v1", "GET", f"{REPOSITORIES}/r", {**GOOD_REPOSITORY, **change}))
    assert found
    assert all(place in violation for violation in found)


def test_violations_inside_the_response_of_an_operation_are_found() -> None:
    broken = {**OPERATION, "response": {**OPERATION["response"], "tags": []}}  # type: ignore[dict-item]
    (violation,) = violations("artifactregistry.v1", "POST", REPOSITORIES, broken)
    assert violation.startswith("$.response: ")


def test_an_operation_of_a_foreign_type_is_a_violation() -> None:
    foreign = {"response": {"@type": "type.googleapis.com/google.cloud.run.v2.Service"}}
    (violation,) = violations("artifactregistry.v1", "POST", REPOSITORIES, foreign)
    assert "is no type of this API" in violation


@pytest.mark.parametrize(
    ("verb", "path", "query", "complaint"),
    [
        pytest.param("GET", "/v1/projects/p/repositories", {}, "no such method", id="unknown path"),
        pytest.param("PUT", REPOSITORIES, {}, "no such method", id="unknown verb"),
        pytest.param("GET", IMAGES, {"view": "FULL"}, "view is unknown", id="unknown query parameter"),
        pytest.param(
            "GET",
            f"{REPOSITORIES}/r/packages/a%2Fb/versions",
            {"view": "BIG"},
            "'BIG' is none of",
            id="unknown value of a query parameter",
        ),
    ],
)
def test_a_request_that_the_api_does_not_know_is_a_violation(
    verb: str, path: str, query: dict[str, str], complaint: str
) -> None:
    (violation,) = violations("artifactregistry.v1", verb, path, {}, query)
    assert complaint in violation


def test_the_most_literal_path_is_the_one_that_is_meant() -> None:
    operation = {"name": "x", "done": False}
    assert_conforms("artifactregistry.v1", "POST", f"{REPOSITORIES}/r/packages/a/versions:batchDelete", operation)
    assert_conforms("artifactregistry.v1", "GET", f"{REPOSITORIES}/r:getIamPolicy", {"etag": "ACAB"})


@pytest.mark.parametrize(
    ("host", "path", "api"),
    [
        ("run.googleapis.com", "/v2/projects/p/locations/r/services", "run.v2"),
        ("us-central1-run.googleapis.com", "/apis/serving.knative.dev/v1/namespaces/p/services", "run.v1"),
        ("storage.googleapis.com", "/storage/v1/b", "storage.v1"),
        ("artifactregistry.googleapis.com", "/v1beta2/projects/p/locations", "artifactregistry.v1beta2"),
    ],
)
def test_the_api_is_told_from_host_and_path(host: str, path: str, api: str) -> None:
    assert api_of(host, path) == api


class Answers(BaseHTTPRequestHandler):
    """Answers each path with a status and a JSON body of the test's choosing, sent along in the query."""

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        body = query["fields"][0].encode()
        self.send_response(int(query["key"][0]))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[str]:
    with serving(Answers) as address:
        yield address


def test_the_checked_client_judges_success_and_leaves_errors_alone(server: str) -> None:
    with Checked("artifactregistry.v1", base_url=server, trust_env=False) as client:
        with pytest.raises(NotConforming, match=r"dockerImages\[0\].tags"):
            client.get(IMAGES, params={"key": "200", "fields": '{"dockerImages": [{"tags": "v1"}]}'})
        client.get(IMAGES, params={"key": "404", "fields": '{"error": {}}'})
        assert client.checked == 0
        client.get(IMAGES, params={"key": "200", "fields": '{"dockerImages": []}'})
        assert client.checked == 1
