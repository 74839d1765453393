"""The OCI registry of the local cloud, request by request.

https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_registry import (
    HOST,
    OCI_INDEX,
    OCI_MANIFEST,
    OciClient,
    digest_of,
    image_name,
    new_repository,
    plain_door,
    token,
)
from tests.infra.emulator.identities import new_identity

PULL = "artifactregistry.repositories.downloadArtifacts"


@pytest.fixture
def oci(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[OciClient]:
    client = OciClient(cloud)
    with client.http:
        yield client


@pytest.fixture
def anonymous(cloud_env: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"https://{HOST}") as client:
        yield client


@pytest.fixture
def name(cloud_env: dict[str, str]) -> str:
    """PROJECT/REPOSITORY/IMAGE in a fresh repository."""
    return image_name(new_repository())


def error(answer: httpx.Response) -> tuple[int, str, str]:
    (only,) = answer.json()["errors"]
    return answer.status_code, only["code"], only["message"]


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


# --- blobs


def test_a_blob_uploaded_in_chunks_comes_back_whole_and_in_ranges(oci: OciClient, name: str) -> None:
    data = os.urandom(3_000_000)
    digest = digest_of(data)
    started = oci.http.post(f"/v2/{name}/blobs/uploads/")
    assert (started.status_code, started.headers["Range"]) == (202, "0-0")
    place, position = started.headers["Location"], 0
    for chunk in (data[:1_000_000], data[1_000_000:1_000_001], data[1_000_001:]):
        headers = {"Content-Range": f"{position}-{position + len(chunk) - 1}"}
        answer = oci.http.patch(place, content=chunk, headers=headers)
        position += len(chunk)
        assert (answer.status_code, answer.headers["Range"]) == (202, f"0-{position - 1}")
        place = answer.headers["Location"]
    assert oci.http.get(place).headers["Range"] == f"0-{position - 1}"
    finished = oci.http.put(place, params={"digest": digest})
    assert (finished.status_code, finished.headers["Location"]) == (201, f"/v2/{name}/blobs/{digest}")
    whole = oci.http.get(f"/v2/{name}/blobs/{digest}")
    assert whole.content == data
    assert whole.headers["Docker-Content-Digest"] == digest
    part = oci.http.get(f"/v2/{name}/blobs/{digest}", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, data[10:20])
    head = oci.http.head(f"/v2/{name}/blobs/{digest}")
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, str(len(data)), b"")


def test_a_chunk_out_of_order_is_refused_with_what_has_arrived(oci: OciClient, name: str) -> None:
    place = oci.http.post(f"/v2/{name}/blobs/uploads/").headers["Location"]
    place = oci.http.patch(place, content=b"12345").headers["Location"]
    answer = oci.http.patch(place, content=b"9", headers={"Content-Range": "7-7"})
    assert error(answer)[:2] == (416, "BLOB_UPLOAD_INVALID")
    assert answer.headers["Range"] == "0-4"


def test_an_upload_with_another_digest_than_its_contents_is_refused(oci: OciClient, name: str) -> None:
    digest = digest_of(b"other")
    answer = oci.http.post(f"/v2/{name}/blobs/uploads/", params={"digest": digest}, content=b"contents")
    assert error(answer)[:2] == (400, "DIGEST_INVALID")
    assert oci.http.head(f"/v2/{name}/blobs/{digest}").status_code == 404
    place = oci.http.post(f"/v2/{name}/blobs/uploads/").headers["Location"]
    assert error(oci.http.put(place, params={"digest": "md5:1"}, content=b"x"))[:2] == (400, "DIGEST_INVALID")


def test_an_upload_can_be_called_off(oci: OciClient, name: str) -> None:
    place = oci.http.post(f"/v2/{name}/blobs/uploads/").headers["Location"]
    assert oci.http.delete(place).status_code == 204
    assert error(oci.http.get(place))[:2] == (404, "BLOB_UPLOAD_UNKNOWN")


def test_a_blob_is_mounted_from_a_repository_that_the_caller_may_read(oci: OciClient, name: str) -> None:
    digest = oci.blob(name, os.urandom(10))["digest"]
    other = image_name(new_repository(), "other")
    mounted = oci.http.post(f"/v2/{other}/blobs/uploads/", params={"mount": digest, "from": name})
    assert (mounted.status_code, mounted.headers["Location"]) == (201, f"/v2/{other}/blobs/{digest}")
    absent = {"mount": digest_of(b"absent"), "from": name}
    assert oci.http.post(f"/v2/{other}/blobs/uploads/", params=absent).status_code == 202
    hidden = {"mount": digest, "from": "no-such-project/r/app"}
    assert oci.http.post(f"/v2/{other}/blobs/uploads/", params=hidden).status_code == 202


# --- manifests


def test_a_manifest_comes_back_byte_for_byte_by_tag_and_digest(oci: OciClient, name: str) -> None:
    manifest = oci.manifest(name)
    pushed = oci.put(name, "v1", manifest)
    digest = digest_of(manifest)
    assert pushed.status_code == 201
    assert pushed.headers["Docker-Content-Digest"] == digest
    assert pushed.headers["Location"] == f"/v2/{name}/manifests/{digest}"
    for reference in ("v1", digest):
        got = oci.http.get(f"/v2/{name}/manifests/{reference}")
        assert (got.content, got.headers["Content-Type"]) == (manifest, OCI_MANIFEST)
        head = oci.http.head(f"/v2/{name}/manifests/{reference}")
        assert (head.headers["Docker-Content-Digest"], head.content) == (digest, b"")
        assert head.headers["Content-Length"] == str(len(manifest))


@pytest.mark.parametrize(
    ("manifest", "media_type"),
    [
        pytest.param(b"{", OCI_MANIFEST, id="no JSON"),
        pytest.param(b"[]", OCI_MANIFEST, id="no object"),
        pytest.param(b"{}", OCI_MANIFEST, id="no configuration"),
        pytest.param(b'{"layers": [], "config": {}}', "text/plain", id="unknown media type"),
        pytest.param(
            json.dumps({"config": {"digest": digest_of(b"absent")}, "layers": []}).encode(),
            OCI_MANIFEST,
            id="configuration that was not uploaded",
        ),
        pytest.param(
            json.dumps({"manifests": [{"digest": digest_of(b"absent")}]}).encode(),
            OCI_INDEX,
            id="child that was not uploaded",
        ),
        pytest.param(
            json.dumps({"config": {"digest": "../../state.db"}, "layers": []}).encode(),
            OCI_MANIFEST,
            id="digest that is a path",
        ),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(oci: OciClient, name: str, manifest: bytes, media_type: str) -> None:
    assert error(oci.put(name, "v1", manifest, media_type))[:2] == (400, "MANIFEST_INVALID")
    assert oci.http.head(f"/v2/{name}/manifests/v1").status_code == 404


def test_a_manifest_under_another_digest_or_a_bad_tag_is_refused(oci: OciClient, name: str) -> None:
    manifest = oci.manifest(name)
    assert error(oci.put(name, digest_of(b"other"), manifest))[:2] == (400, "MANIFEST_INVALID")
    assert error(oci.put(name, "-bad", manifest))[:2] == (400, "TAG_INVALID")


def test_an_immutable_tag_takes_the_same_digest_again_but_no_other(oci: OciClient, cloud_env: dict[str, str]) -> None:
    name = image_name(new_repository(immutable=True))
    manifest = oci.manifest(name)
    assert oci.put(name, "v1", manifest).status_code == 201
    assert oci.put(name, "v1", manifest).status_code == 201
    status, code, message = error(oci.put(name, "v1", oci.manifest(name)))
    assert (status, code) == (400, "MANIFEST_INVALID")
    assert message == "cannot update tag v1. The repository has enabled tag immutability"
    assert oci.http.get(f"/v2/{name}/manifests/v1").content == manifest
    assert oci.put(name, "v2", oci.manifest(name)).status_code == 201


def test_deleting_by_tag_takes_the_tag_and_by_digest_the_manifest(oci: OciClient, name: str) -> None:
    digest = oci.push(name, "v1")
    tagged = error(oci.http.delete(f"/v2/{name}/manifests/{digest}"))
    assert tagged == (400, "GOOGLE_MANIFEST_DANGLING_TAG", "Manifest is still referenced by one or more tags")
    assert oci.http.delete(f"/v2/{name}/manifests/v1").status_code == 202
    assert oci.http.head(f"/v2/{name}/manifests/v1").status_code == 404
    assert oci.http.delete(f"/v2/{name}/manifests/{digest}").status_code == 202
    assert error(oci.http.delete(f"/v2/{name}/manifests/{digest}"))[:2] == (404, "MANIFEST_UNKNOWN")


def test_a_manifest_list_in_dockers_form_is_served_as_such(oci: OciClient, name: str) -> None:
    child = oci.push(name)
    media_type = "application/vnd.docker.distribution.manifest.list.v2+json"
    platform = {"os": "linux", "architecture": "amd64"}
    entry = {"mediaType": OCI_MANIFEST, "digest": child, "size": 1, "platform": platform}
    index = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": [entry]}).encode()
    assert oci.put(name, "multi", index, media_type).status_code == 201
    assert oci.http.get(f"/v2/{name}/manifests/multi").headers["Content-Type"] == media_type


def test_tags_are_listed_in_pages_that_link_to_each_other(oci: OciClient, name: str) -> None:
    manifest = oci.manifest(name)
    for tag in ("b", "a", "c"):
        oci.put(name, tag, manifest)
    first = oci.http.get(f"/v2/{name}/tags/list", params={"n": 2})
    assert first.json() == {"name": name, "tags": ["a", "b"]}
    second = oci.http.get(first.links["next"]["url"])
    assert second.json()["tags"] == ["c"]
    assert "next" not in second.links
    assert error(oci.http.get(f"/v2/{name}/tags/list", params={"n": "x"}))[0] == 400


def test_a_manifest_about_another_is_found_among_its_referrers(oci: OciClient, name: str) -> None:
    subject = oci.push(name, "v1")
    document = json.loads(oci.manifest(name))
    document |= {"artifactType": "application/example", "annotations": {"by": "test"}}
    document["subject"] = {"mediaType": OCI_MANIFEST, "digest": subject, "size": 1}
    data = json.dumps(document).encode()
    pushed = oci.put(name, digest_of(data), data)
    assert pushed.headers["OCI-Subject"] == subject
    path = f"/v2/{name}/referrers/{subject}"
    (found,) = oci.http.get(path).json()["manifests"]
    assert found == {
        "mediaType": OCI_MANIFEST,
        "digest": digest_of(data),
        "size": len(data),
        "artifactType": "application/example",
        "annotations": {"by": "test"},
    }
    filtered = oci.http.get(path, params={"artifactType": "application/other"})
    assert (filtered.json()["manifests"], filtered.headers["OCI-Filters-Applied"]) == ([], "artifactType")
    assert oci.http.delete(f"/v2/{name}/manifests/{digest_of(data)}").status_code == 202
    assert oci.http.get(path).json()["manifests"] == []


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
