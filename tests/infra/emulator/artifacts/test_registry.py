"""The OCI registry of the local cloud, request by request: who may, names that lead nowhere, and its doors.

https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_registry import HOST, OciClient, digest_of, error, plain_door, token
from tests.infra.emulator.identities import new_identity

PULL = "artifactregistry.repositories.downloadArtifacts"


@pytest.fixture
def anonymous(cloud_env: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"https://{HOST}") as client:
        yield client


# --- identity


def test_a_caller_without_credentials_is_told_where_to_get_a_token(anonymous: httpx.Client, name: str) -> None:
    answer = anonymous.get(f"/v2/{name}/manifests/v1")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == (
        f'Bearer realm="https://{HOST}/v2/token",service="{HOST}",scope="repository:{name}:pull"'
    )
    assert (
        anonymous.get("/v2/").headers["WWW-Authenticate"] == f'Bearer realm="https://{HOST}/v2/token",service="{HOST}"'
    )


def test_every_kind_of_credentials_that_docker_clients_send_opens_the_registry(
    cloud: LocalCloud, oci: OciClient, anonymous: httpx.Client, name: str
) -> None:
    oci.push(name, "v1")
    key = (cloud.data / "deployer.json").read_text()
    for user, password in (
        ("oauth2accesstoken", token(cloud)),
        ("_json_key", key),
        ("_json_key_base64", base64.b64encode(key.encode()).decode()),
    ):
        minted = anonymous.get("/v2/token", params={"scope": f"repository:{name}:pull"}, auth=(user, password)).json()
        headers = {"Authorization": f"Bearer {minted['token']}"}
        assert anonymous.get(f"/v2/{name}/manifests/v1", headers=headers).status_code == 200, user
        assert anonymous.get(f"/v2/{name}/manifests/v1", auth=(user, password)).status_code == 200, user


@pytest.mark.parametrize(
    ("user", "password"),
    [
        pytest.param("oauth2accesstoken", "ya29.forged", id="unknown token"),
        pytest.param("_json_key", "{}", id="key file without a key"),
        pytest.param("_json_key_base64", "%%%", id="key file that is not base64"),
    ],
)
def test_bad_credentials_are_refused_in_the_registrys_form(anonymous: httpx.Client, user: str, password: str) -> None:
    answer = anonymous.get("/v2/token", auth=(user, password))
    assert error(answer)[:2] == (401, "UNAUTHORIZED")


def test_a_foreign_key_under_a_known_id_is_refused(cloud: LocalCloud, anonymous: httpx.Client, tmp_path: Path) -> None:
    real = json.loads((cloud.data / "deployer.json").read_text())
    other = json.loads(new_identity(tmp_path).key_file.read_text())
    forged = json.dumps({**other, "private_key_id": real["private_key_id"], "client_email": real["client_email"]})
    assert error(anonymous.get("/v2/token", auth=("_json_key", forged)))[:2] == (401, "UNAUTHORIZED")


def test_an_anonymous_token_stands_for_nobody(anonymous: httpx.Client, name: str) -> None:
    headers = {"Authorization": f"Bearer {anonymous.get('/v2/token').json()['token']}"}
    status, code, message = error(anonymous.get(f"/v2/{name}/manifests/v1", headers=headers))
    assert (status, code) == (403, "DENIED")
    assert message.startswith("Unauthenticated request. Unauthenticated requests do not have permission")


def test_a_caller_without_a_role_is_denied_with_the_permission_it_lacks(
    anonymous: httpx.Client, name: str, tmp_path: Path
) -> None:
    auth = ("_json_key", new_identity(tmp_path).key_file.read_text())
    pull = error(anonymous.get(f"/v2/{name}/manifests/v1", auth=auth))
    push = error(anonymous.post(f"/v2/{name}/blobs/uploads/", auth=auth))
    for (status, code, message), permission in ((pull, "downloadArtifacts"), (push, "uploadArtifacts")):
        assert (status, code) == (403, "DENIED")
        assert message == (
            f"Permission 'artifactregistry.repositories.{permission}' denied on resource (or it may not exist)."
        )


def test_googles_hello_image_is_there_for_everyone_and_for_nobody_to_change(
    anonymous: httpx.Client, oci: OciClient
) -> None:
    with httpx.Client(base_url="https://us-docker.pkg.dev") as client:
        anonymous_token = client.get("/v2/token").json()["token"]
        headers = {"Authorization": f"Bearer {anonymous_token}"}
        manifest = client.get("/v2/cloudrun/container/hello/manifests/latest", headers=headers)
        assert manifest.status_code == 200
        config = manifest.json()["config"]["digest"]
        assert client.get(f"/v2/cloudrun/container/hello/blobs/{config}", headers=headers).json()["os"] == "linux"
        push = client.post("/v2/cloudrun/container/hello/blobs/uploads/", headers=dict(oci.http.headers))
        assert error(push)[:2] == (403, "DENIED")


# --- names


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param(
            f"{PROJECT}/no-such-repository/app",
            (404, "NAME_UNKNOWN", 'Repository "no-such-repository" not found'),
            id="no such repository",
        ),
        pytest.param(
            "no-such-project/r/app",
            (
                403,
                "DENIED",
                f"Permission '{PULL}' denied on resource (or it may not exist).",
            ),
            id="no such project",
        ),
        pytest.param(
            f"{PROJECT}/app",
            (
                400,
                "NAME_INVALID",
                "Missing image name. Pushes should be of the form docker push HOST-NAME/PROJECT-ID/REPOSITORY/IMAGE",
            ),
            id="no image",
        ),
    ],
)
def test_a_name_that_leads_nowhere_is_refused_with_googles_words(
    oci: OciClient, path: str, expected: tuple[int, str, str]
) -> None:
    assert error(oci.http.get(f"/v2/{path}/manifests/v1")) == expected


def test_what_is_not_there_is_unknown(oci: OciClient, name: str) -> None:
    digest = digest_of(b"nothing")
    assert error(oci.http.get(f"/v2/{name}/manifests/v1")) == (404, "MANIFEST_UNKNOWN", 'Failed to fetch "v1"')
    assert error(oci.http.get(f"/v2/{name}/manifests/{digest}"))[:2] == (404, "MANIFEST_UNKNOWN")
    assert error(oci.http.get(f"/v2/{name}/blobs/{digest}"))[:2] == (404, "BLOB_UNKNOWN")
    assert error(oci.http.get(f"/v2/{name}/tags/list"))[:2] == (404, "NAME_UNKNOWN")
    assert oci.http.head(f"/v2/{name}/manifests/v1").status_code == 404
    upload = f"/v2/{name}/blobs/uploads/00000000-0000-0000-0000-000000000000"
    assert error(oci.http.patch(upload, content=b"x"))[:2] == (404, "BLOB_UPLOAD_UNKNOWN")
    traversal = oci.http.get(f"/v2/{name}/blobs/uploads/..%2f..%2fstate.db")
    assert traversal.status_code == 404


# --- doors


def test_the_plain_door_serves_the_same_images_under_the_hosts_name(
    cloud: LocalCloud, oci: OciClient, name: str
) -> None:
    digest = oci.push(name, "v1")
    plain = OciClient(cloud, plain_door(cloud))
    with plain.http:
        got = plain.http.get(f"/v2/{HOST}/{name}/manifests/v1")
        assert got.headers["Docker-Content-Digest"] == digest
        new = plain.push(f"{HOST}/{name}", "v2")
        challenge = httpx.get(f"{plain_door(cloud)}/v2/", trust_env=False).headers["WWW-Authenticate"]
        assert challenge == f'Bearer realm="{plain_door(cloud)}/v2/token",service="127.0.0.1"'
    assert oci.http.head(f"/v2/{name}/manifests/v2").headers["Docker-Content-Digest"] == new


def test_another_location_is_another_registry(oci: OciClient, name: str) -> None:
    oci.push(name, "v1")
    elsewhere = oci.http.get(f"https://europe-west1-docker.pkg.dev/v2/{name}/manifests/v1")
    assert error(elsewhere)[:2] == (404, "NAME_UNKNOWN")


def test_a_fault_reaches_registry_clients_in_their_form(cloud: LocalCloud, oci: OciClient, name: str) -> None:
    method = "artifactregistry.docker.manifests.get"
    cloud.put("/faults", [{"method": method, "code": "RESOURCE_EXHAUSTED", "message": "slow down", "times": 1}])
    oci.push(name, "v1")
    assert error(oci.http.get(f"/v2/{name}/manifests/v1")) == (429, "TOOMANYREQUESTS", "slow down")
    assert oci.http.get(f"/v2/{name}/manifests/v1").status_code == 200
    cloud.put("/faults", [])
