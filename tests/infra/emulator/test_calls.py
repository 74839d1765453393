"""What a call meets before its handler, whatever the service: who may call, faults, latency and the journal."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.api_core import exceptions
from google.auth.transport.requests import Request
from google.cloud import artifactregistry_v1 as ar
from google.cloud import run_v2, service_usage_v1
from google.oauth2 import service_account
from google.oauth2.credentials import Credentials

from tests.conftest import OTHER_PROJECT, PROJECT, LocalCloud
from tests.infra.emulator.discovery import Checked
from tests.infra.emulator.emulated_registry import PARENT
from tests.infra.emulator.identities import SCOPES, new_identity, signed

GET = "google.devtools.artifactregistry.v1.ArtifactRegistry/GetRepository"
LIST = "google.devtools.artifactregistry.v1.ArtifactRegistry/ListRepositories"
TRANSPORTS = ["grpc", "rest"]


@pytest.fixture(params=TRANSPORTS)
def client(request: pytest.FixtureRequest, cloud_env: dict[str, str]) -> ar.ArtifactRegistryClient:
    return ar.ArtifactRegistryClient(transport=request.param)


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
    deadline = time.monotonic() + 30
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
