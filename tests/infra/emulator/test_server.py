"""The local cloud's doors, identities, faults and state, whatever the service behind them."""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.api_core import exceptions
from google.auth import crypt, jwt
from google.auth.transport.requests import Request
from google.cloud import artifactregistry_v1 as ar
from google.cloud import run_v2, service_usage_v1
from google.oauth2 import service_account
from google.oauth2.credentials import Credentials

from tests.conftest import OTHER_PROJECT, PROJECT, LocalCloud
from tests.infra.emulator.discovery import Checked
from tests.infra.emulator.emulated_process import Process, emulator, post
from tests.infra.emulator.emulated_registry import PARENT, rest
from tests.infra.emulator.identities import SCOPES, new_identity

GET = "google.devtools.artifactregistry.v1.ArtifactRegistry/GetRepository"
LIST = "google.devtools.artifactregistry.v1.ArtifactRegistry/ListRepositories"
TRANSPORTS = ["grpc", "rest"]


@pytest.fixture(params=TRANSPORTS)
def client(request: pytest.FixtureRequest, cloud_env: dict[str, str]) -> ar.ArtifactRegistryClient:
    return ar.ArtifactRegistryClient(transport=request.param)


@pytest.fixture
def web(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[Checked]:
    with rest(cloud) as session:
        yield session


@pytest.fixture
def faults(cloud: LocalCloud) -> Iterator[Any]:
    """Sets faults; the test's end takes them back."""
    yield lambda *faults: cloud.put("/faults", list(faults))
    cloud.put("/faults", [])
    cloud.put("/latency", {"profile": "instant"})


def repositories(client: ar.ArtifactRegistryClient, **options: Any) -> list[str]:
    return [repository.name for repository in client.list_repositories(parent=PARENT, **options)]


# --- who calls


def test_a_service_account_file_is_all_that_the_clients_need(client: ar.ArtifactRegistryClient) -> None:
    repositories(client)


def test_a_token_from_the_token_end_point_stands_for_its_account(cloud_env: dict[str, str]) -> None:
    key_file = cloud_env["GOOGLE_APPLICATION_CREDENTIALS"]
    credentials = service_account.Credentials.from_service_account_file(key_file, scopes=SCOPES)
    credentials.refresh(Request())
    minted = Credentials(credentials.token)
    for transport in TRANSPORTS:
        repositories(ar.ArtifactRegistryClient(credentials=minted, transport=transport))


def signed(key: dict[str, Any], *, lifetime_s: int = 600, **claims: Any) -> str:
    now = int(time.time())
    issued = min(now, now + lifetime_s) - 10
    content = {"iss": key["client_email"], "sub": key["client_email"], "aud": "https://x/", "iat": issued}
    signer = crypt.RSASigner.from_string(key["private_key"], key["private_key_id"])
    return bytes(jwt.encode(signer, {**content, "exp": now + lifetime_s, **claims})).decode()


@pytest.fixture
def key(cloud: LocalCloud) -> dict[str, Any]:
    return dict(json.loads((cloud.data / "deployer.json").read_text()))


def test_a_self_signed_token_is_believed_while_it_lasts(web: Checked, key: dict[str, Any]) -> None:
    path = f"/v1/{PARENT}/repositories"
    assert web.get(path, headers={"Authorization": f"Bearer {signed(key)}"}).status_code == 200
    expired = web.get(path, headers={"Authorization": f"Bearer {signed(key, lifetime_s=-60)}"})
    assert (expired.status_code, expired.json()["error"]["status"]) == (401, "UNAUTHENTICATED")


def test_credentials_that_prove_nothing_are_refused_at_every_door(
    web: Checked, key: dict[str, Any], cloud_env: dict[str, str], tmp_path: Path
) -> None:
    other = json.loads(new_identity(tmp_path).key_file.read_text())
    bad = {
        "unknown token": "Bearer ya29.forged",
        "no token": "Bearer",
        "another scheme": "Digest x",
        "damaged token": f"Bearer {signed(key)[:-8]}AAAAAAAA",
        "foreign key under a known id": f"Bearer {signed({**key, 'private_key': other['private_key']})}",
        "another's name": f"Bearer {signed(other, iss=key['client_email'])}",
        "unknown key": f"Bearer {signed({**key, 'private_key_id': '0' * 40})}",
    }
    for name, authorization in bad.items():
        answer = web.get(f"/v1/{PARENT}/repositories", headers={"Authorization": authorization})
        assert answer.status_code == 401, name
        assert answer.json()["error"]["status"] == "UNAUTHENTICATED", name
        with pytest.raises(grpc.RpcError) as caught:
            call(cloud_env, authorization)
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED, name


def call(env: dict[str, str], authorization: str) -> Any:
    """One gRPC call with a header of the test's choosing."""
    roots = Path(env["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"]).read_bytes()
    credentials = grpc.ssl_channel_credentials(roots)
    with grpc.secure_channel("artifactregistry.googleapis.com:443", credentials) as channel:
        method = channel.unary_unary(
            f"/{LIST}",
            request_serializer=ar.ListRepositoriesRequest.serialize,
            response_deserializer=ar.ListRepositoriesResponse.deserialize,
        )
        request = ar.ListRepositoriesRequest(parent=PARENT)
        return method(request, metadata=(("authorization", authorization),), timeout=10)


def test_a_caller_without_credentials_is_refused(web: Checked) -> None:
    del web.headers["Authorization"]
    assert web.get(f"/v1/{PARENT}/repositories").status_code == 401


# --- what a call meets before its handler


def test_an_unknown_project_looks_like_a_forbidden_one(client: ar.ArtifactRegistryClient) -> None:
    with pytest.raises(exceptions.Forbidden, match="no-such-project"):
        client.get_repository(name="projects/no-such-project/locations/us-central1/repositories/r")


@contextlib.contextmanager
def disabled(api: str, project: str) -> Iterator[None]:
    usage = service_usage_v1.ServiceUsageClient()
    name = f"projects/{project}/services/{api}"
    usage.disable_service(request={"name": name}).result(timeout=30)
    try:
        yield
    finally:
        usage.enable_service(request={"name": name}).result(timeout=30)


def test_a_disabled_api_says_so_with_everything_that_clients_look_for(client: ar.ArtifactRegistryClient) -> None:
    with disabled("artifactregistry.googleapis.com", OTHER_PROJECT), pytest.raises(exceptions.Forbidden) as caught:
        client.get_repository(name=f"projects/{OTHER_PROJECT}/locations/us-central1/repositories/r")
    error = caught.value
    assert (error.reason, error.domain) == ("SERVICE_DISABLED", "googleapis.com")
    assert error.metadata["service"] == "artifactregistry.googleapis.com"
    assert error.metadata["consumer"].startswith("projects/")
    assert error.metadata["serviceTitle"] == "Artifact Registry API"
    assert f"Artifact Registry API has not been used in project {OTHER_PROJECT} before or it is disabled" in str(error)
    assert error.metadata["activationUrl"] in str(error.details[1])  # google.rpc.Help


def test_a_missing_permission_is_named_in_the_details(
    request: pytest.FixtureRequest, client: ar.ArtifactRegistryClient, tmp_path: Path
) -> None:
    transport = client.transport.kind
    stranger = ar.ArtifactRegistryClient(credentials=new_identity(tmp_path).credentials, transport=transport)
    with pytest.raises(exceptions.Forbidden) as caught:
        repositories(stranger)
    error = caught.value
    assert (error.reason, error.domain) == ("IAM_PERMISSION_DENIED", "artifactregistry.googleapis.com")
    assert error.metadata == {"permission": "artifactregistry.repositories.list", "resource": PARENT}


def test_what_is_not_emulated_says_so(client: ar.ArtifactRegistryClient) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match="is not emulated"):
        client.list_npm_packages(parent=f"{PARENT}/repositories/r")


# --- REST


def test_an_unknown_address_is_answered_as_googles_front_end_does(web: Checked) -> None:
    answer = web.get("/v9/nothing")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert "The requested URL /v9/nothing was not found on this server." in answer.text


def test_an_api_is_found_on_its_own_host_only(web: Checked) -> None:
    assert web.get(f"https://secretmanager.googleapis.com/v1/{PARENT}/repositories/r").status_code == 404


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
    body = {"format": "docker", "cleanupPolicies": {"old": {"id": "old", "action": "Delete"}}}
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


# --- faults and latency


def test_a_fault_skips_strikes_and_ends(client: ar.ArtifactRegistryClient, faults: Any) -> None:
    faults({"method": "*/ListRepositories", "code": "UNAVAILABLE", "message": "maintenance", "skip": 1, "times": 2})
    outcomes = []
    for _ in range(4):
        try:
            repositories(client, retry=None)
            outcomes.append("ok")
        except exceptions.ServiceUnavailable as error:
            assert "maintenance" in str(error)
            outcomes.append("unavailable")
    assert outcomes == ["ok", "unavailable", "unavailable", "ok"]


def test_a_fault_carries_the_reason_and_metadata_it_is_given(client: ar.ArtifactRegistryClient, faults: Any) -> None:
    fault = {"reason": "RATE_LIMIT_EXCEEDED", "metadata": {"quota_limit": "ReadsPerMinute"}}
    faults({"method": GET, "code": "RESOURCE_EXHAUSTED", **fault})
    with pytest.raises(exceptions.TooManyRequests) as caught:
        client.get_repository(name=f"{PARENT}/repositories/r", retry=None)
    assert (caught.value.reason, caught.value.metadata) == (fault["reason"], fault["metadata"])


def test_a_fault_strikes_only_what_its_pattern_matches(client: ar.ArtifactRegistryClient, faults: Any) -> None:
    faults({"method": "google.cloud.run.*", "code": "INTERNAL"})
    repositories(client)
    with pytest.raises(exceptions.InternalServerError):
        run_v2.ServicesClient().list_services(parent=PARENT, retry=None)


def test_a_delay_is_felt(client: ar.ArtifactRegistryClient, faults: Any) -> None:
    repositories(client)  # the connection is there
    faults({"method": LIST, "delay_s": 0.3, "times": 1})
    start = time.monotonic()
    repositories(client)
    assert time.monotonic() - start >= 0.3


@pytest.mark.parametrize(("when", "acted"), [("before", False), ("after", True)])
def test_a_dropped_connection_leaves_the_work_undone_or_done(
    client: ar.ArtifactRegistryClient, faults: Any, when: str, acted: bool
) -> None:
    repository_id = f"dropped-{when}-{client.transport.kind}"
    wanted = ar.Repository(format_=ar.Repository.Format.DOCKER)
    faults({"method": "*/CreateRepository", "drop": when, "times": 1})
    with pytest.raises((exceptions.GoogleAPICallError, OSError)) as caught:
        client.create_repository(parent=PARENT, repository_id=repository_id, repository=wanted, retry=None)
    assert not isinstance(caught.value, exceptions.ClientError)
    faults()
    deadline = time.monotonic() + 5
    name = f"{PARENT}/repositories/{repository_id}"
    while acted and name not in repositories(client):
        assert time.monotonic() < deadline
    assert (name in repositories(client)) == acted


def test_the_latency_profile_slows_every_call_and_what_goes_on_behind_it(
    cloud: LocalCloud, client: ar.ArtifactRegistryClient, faults: Any
) -> None:
    repositories(client)
    cloud.put("/latency", {"stages": {"rpc": 0.1, "artifacts.repository": 0.2}})
    start = time.monotonic()
    repositories(client)
    listed = time.monotonic()
    wanted = ar.Repository(format_=ar.Repository.Format.DOCKER)
    operation = client.create_repository(
        parent=PARENT, repository_id=f"slow-{client.transport.kind}", repository=wanted
    )
    assert not operation.operation.done
    operation.result(timeout=30)
    assert listed - start >= 0.1
    assert time.monotonic() - listed >= 0.3


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"code": "UNAVAILABLE"}, id="no method"),
        pytest.param({"method": "*", "code": "SOMETIMES"}, id="unknown code"),
        pytest.param({"method": "*", "times": 0}, id="never"),
        pytest.param({"method": "*", "colour": "red"}, id="unknown field"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(cloud: LocalCloud, fault: dict[str, object]) -> None:
    answer = httpx.put(f"{cloud.admin}/faults", json=[fault], trust_env=False)
    assert answer.status_code == 400
    assert httpx.get(f"{cloud.admin}/faults", trust_env=False).json() == []


def test_every_call_is_counted_and_journaled(cloud: LocalCloud, client: ar.ArtifactRegistryClient) -> None:
    httpx.delete(f"{cloud.admin}/calls", trust_env=False).raise_for_status()
    repositories(client)
    with pytest.raises(exceptions.NotFound):
        client.get_repository(name=f"{PARENT}/repositories/none")
    told = httpx.get(f"{cloud.admin}/calls", trust_env=False).json()
    assert told["count"] == {LIST: 1, GET: 1}
    first, second = told["journal"]
    assert (first["method"], first["code"], second["method"], second["code"]) == (LIST, 0, GET, 5)
    assert first["principal"] == f"deployer@{PROJECT}.iam.gserviceaccount.com"
    assert "python" in first["headers"]["user-agent"]


def test_a_share_of_the_calls_meets_a_fault_and_they_are_counted(
    cloud: LocalCloud, client: ar.ArtifactRegistryClient, faults: Any
) -> None:
    httpx.delete(f"{cloud.admin}/calls", trust_env=False).raise_for_status()
    faults({"method": LIST, "code": "UNAVAILABLE", "probability": 0.5})
    failed = 0
    for _ in range(40):
        try:
            repositories(client, retry=None)
        except exceptions.ServiceUnavailable:
            failed += 1
    assert 4 < failed < 36  # by chance alone, twice in ten million runs
    told = httpx.get(f"{cloud.admin}/calls", trust_env=False).json()
    assert (told["count"], told["faulted"]) == ({LIST: 40}, {LIST: failed})


# --- state


def create(process: Process, repository_id: str) -> str:
    """Starts to create a repository; answers the operation's name."""
    with process.rest("artifactregistry") as web:
        body = {"format": "DOCKER"}
        return str(web.post(f"/v1/{PARENT}/repositories?repositoryId={repository_id}", json=body).json()["name"])


def finish(process: Process, operation: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    with process.rest("artifactregistry") as web:
        while time.monotonic() < deadline:
            answer = dict(web.get(f"/v1/{operation}").json())
            if answer.get("done"):
                return answer
    raise AssertionError(f"{operation} does not end")


def listed(process: Process) -> list[str]:
    with process.rest("artifactregistry") as web:
        found = web.get(f"/v1/{PARENT}/repositories").json().get("repositories", [])
        return [repository["name"].rpartition("/")[2] for repository in found]


def test_a_killed_emulator_comes_back_with_all_it_had_answered(tmp_path: Path) -> None:
    with emulator(tmp_path) as first:
        done = finish(first, create(first, "kept"))
        key = json.loads((tmp_path / "deployer.json").read_text())
        first.cloud.put("/latency", {"stages": {"artifacts.repository": 60}})
        interrupted = create(first, "under-way")
        first.kill()
    with emulator(tmp_path) as second:
        assert listed(second) == ["kept"]
        assert finish(second, done["name"]) == done
        error = finish(second, interrupted)["error"]
        assert (error["code"], error["message"]) == (10, "The operation was interrupted by a restart.")
        with second.rest("artifactregistry") as web:
            web.headers["Authorization"] = f"Bearer {signed(key)}"  # issued by the first
            assert web.get(f"/v1/{PARENT}/repositories").status_code == 200


def test_a_reset_forgets_everything_and_stops_what_is_under_way(tmp_path: Path) -> None:
    with emulator(tmp_path) as process:
        finish(process, create(process, "old"))
        process.cloud.put("/faults", [{"method": "*", "code": "INTERNAL", "skip": 100}])
        process.cloud.put("/latency", {"stages": {"artifacts.repository": 0.2}})
        operation = create(process, "under-way")
        post(process.cloud, "/reset")
        assert listed(process) == []
        process.cloud.put("/latency", {"stages": {"artifacts.repository": 0.4}})
        finish(process, create(process, "new"))  # takes longer than the abandoned one would have
        assert listed(process) == ["new"]
        with process.rest("artifactregistry") as web:
            assert web.get(f"/v1/{operation}").status_code == 404
        assert httpx.get(f"{process.cloud.admin}/faults", trust_env=False).json() == []


def test_it_is_ready_within_seconds(tmp_path: Path) -> None:
    """Under two seconds on a quiet machine. What it takes of the processor does not depend on who else is busy."""

    def children_s() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = children_s()
    with emulator(tmp_path) as process:
        health = httpx.get(f"{process.cloud.admin}/health", trust_env=False).json()
    assert health == {"status": "ok", "projects": [PROJECT]}
    assert children_s() - before < 5


def test_it_leaves_no_word_behind_when_it_ends(tmp_path: Path) -> None:
    with emulator(tmp_path) as process:
        assert (tmp_path / "emulator.json").exists()
        address = process.cloud.admin
    assert not (tmp_path / "emulator.json").exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/health", trust_env=False)


def test_its_commands_act_on_the_running_one(tmp_path: Path) -> None:
    def command(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "infra.emulator", *arguments, "--data", str(tmp_path)]
        return subprocess.run(line, input=given, capture_output=True, text=True, timeout=60, check=False)

    with emulator(tmp_path):
        fault = json.dumps([{"method": "*", "code": "INTERNAL", "skip": 9}])
        assert json.loads(command("faults", "-", given=fault).stdout)[0]["code"] == "INTERNAL"
        assert json.loads(command("faults", "--clear").stdout) == []
        assert f"export GOOGLE_CLOUD_PROJECT={PROJECT}" in command("env").stdout.splitlines()
        assert json.loads(command("env", "--json").stdout)["CLOUDSDK_CORE_PROJECT"] == PROJECT
        assert command("reset").returncode == 0
    absent = command("env")
    assert absent.returncode != 0
    assert "No local Google Cloud is running" in absent.stderr
