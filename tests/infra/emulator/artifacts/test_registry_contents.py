"""What is pushed to the OCI registry of the local cloud and pulled again: blobs, manifests and tags.

https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
"""

from __future__ import annotations

import json
import os

import pytest

from tests.infra.emulator.emulated_registry import (
    OCI_INDEX,
    OCI_MANIFEST,
    OciClient,
    digest_of,
    error,
    image_name,
    new_repository,
)

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
