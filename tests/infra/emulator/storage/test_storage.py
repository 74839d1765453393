"""Cloud Storage on the local cloud, over the official client and plain HTTP: buckets, preconditions, lists, doors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from google.api_core import exceptions
from google.cloud import storage

from tests.conftest import OTHER_PROJECT, PROJECT, LocalCloud
from tests.infra.emulator.emulated_storage import MEBIBYTE, new_bucket, plain_url, rest
from tests.infra.emulator.identities import new_identity

NOT_MET = "At least one of the pre-conditions you specified did not hold."


def test_what_is_written_is_read_back_with_its_metadata(bucket: storage.Bucket) -> None:
    blob = bucket.blob("a/b c?.txt")
    blob.metadata = {"commit": "abc"}
    blob.cache_control = "no-store"
    blob.upload_from_string("hello", "text/plain")
    found = bucket.get_blob("a/b c?.txt")
    assert found.download_as_bytes(checksum="md5") == b"hello"
    assert (found.content_type, found.size, found.metadata) == ("text/plain", 5, {"commit": "abc"})
    assert (found.md5_hash, found.crc32c) == ("XUFAKrxLKna5cZ2REBfFkg==", "mnG7TA==")
    assert (found.cache_control, found.metageneration, found.storage_class) == ("no-store", 1, "STANDARD")


def test_every_write_makes_a_later_generation(bucket: storage.Bucket) -> None:
    generations = []
    for text in "abc":
        blob = bucket.blob("counter")
        blob.upload_from_string(text)
        generations.append(blob.generation)
    assert generations == sorted(set(generations))
    assert bucket.blob("counter").download_as_bytes() == b"c"


class TestPreconditions:
    def test_only_one_of_two_creators_wins(self, bucket: storage.Bucket) -> None:
        bucket.blob("lock").upload_from_string("mine", if_generation_match=0)
        with pytest.raises(exceptions.PreconditionFailed, match=NOT_MET):
            bucket.blob("lock").upload_from_string("yours", if_generation_match=0)
        assert bucket.blob("lock").download_as_bytes() == b"mine"

    def test_a_write_against_an_old_generation_is_refused(self, bucket: storage.Bucket) -> None:
        blob = bucket.blob("record")
        blob.upload_from_string("1")
        old = blob.generation
        blob.upload_from_string("2", if_generation_match=old)
        with pytest.raises(exceptions.PreconditionFailed):
            blob.upload_from_string("3", if_generation_match=old)
        with pytest.raises(exceptions.PreconditionFailed):
            blob.delete(if_generation_match=old)
        with pytest.raises(exceptions.PreconditionFailed):
            blob.download_as_bytes(if_generation_match=old)

    def test_a_reader_that_has_the_generation_already_is_told_so(
        self, cloud: LocalCloud, bucket: storage.Bucket
    ) -> None:
        blob = bucket.blob("cached")
        blob.upload_from_string("1")
        url = f"https://storage.googleapis.com/storage/v1/b/{bucket.name}/o/cached"
        with rest(cloud) as http:
            assert http.get(url, params={"ifGenerationNotMatch": blob.generation}).status_code == 304
            assert http.get(url, params={"ifGenerationNotMatch": "1"}).status_code == 200

    def test_metadata_has_a_generation_of_its_own(self, bucket: storage.Bucket) -> None:
        blob = bucket.blob("labelled")
        blob.upload_from_string("1")
        blob.metadata = {"a": "b"}
        blob.patch(if_metageneration_match=1)
        assert blob.metageneration == 2
        with pytest.raises(exceptions.PreconditionFailed):
            blob.patch(if_metageneration_match=1)

    def test_the_refusal_has_the_json_apis_form(self, cloud: LocalCloud, bucket: storage.Bucket) -> None:
        with rest(cloud) as http:
            answer = http.post(
                f"https://storage.googleapis.com/upload/storage/v1/b/{bucket.name}/o",
                params={"uploadType": "media", "name": "x", "ifGenerationMatch": "7"},
                content=b"x",
            )
        error = {"message": NOT_MET, "domain": "global", "reason": "conditionNotMet"}
        error |= {"locationType": "header", "location": "If-Match"}
        assert answer.json() == {"error": {"code": 412, "message": NOT_MET, "errors": [error]}}


class TestBuckets:
    def test_settings_are_kept_and_a_null_removes(self, client: storage.Client, bucket: storage.Bucket) -> None:
        bucket.labels = {"app": "storefront", "run": "7"}
        bucket.versioning_enabled = True
        bucket.iam_configuration.uniform_bucket_level_access_enabled = True
        bucket.add_lifecycle_delete_rule(age=30)
        bucket.patch()
        del (labels := dict(bucket.labels))["run"]
        bucket.labels = labels
        bucket.patch()
        found = client.get_bucket(bucket.name)
        assert found.labels == {"app": "storefront"}
        assert found.versioning_enabled
        assert found.iam_configuration.uniform_bucket_level_access_locked_time is not None
        assert [rule["condition"] for rule in found.lifecycle_rules] == [{"age": 30}]
        assert (found.location, found.location_type) == ("EUROPE-WEST1", "region")

    def test_one_that_is_missing(self, client: storage.Client) -> None:
        with pytest.raises(exceptions.NotFound, match=r"The specified bucket does not exist\."):
            client.get_bucket("nobody-has-this-one")

    def test_one_of_ones_own_cannot_be_made_again(self, client: storage.Client, bucket: storage.Bucket) -> None:
        with pytest.raises(exceptions.Conflict, match="you already own it"):
            client.create_bucket(bucket.name)

    def test_a_name_that_another_project_has_is_not_available(
        self, client: storage.Client, bucket: storage.Bucket
    ) -> None:
        with pytest.raises(exceptions.Conflict, match="The requested bucket name is not available"):
            client.create_bucket(bucket.name, project=OTHER_PROJECT)

    def test_a_listing_shows_only_the_projects_own(self, client: storage.Client, bucket: storage.Bucket) -> None:
        assert bucket.name in [found.name for found in client.list_buckets()]
        assert bucket.name not in [found.name for found in client.list_buckets(project=OTHER_PROJECT)]

    def test_anothers_bucket_is_forbidden(self, bucket: storage.Bucket, tmp_path: Path) -> None:
        stranger = new_identity(tmp_path, ["roles/storage.admin"], OTHER_PROJECT)
        client = storage.Client(project=OTHER_PROJECT, credentials=stranger.credentials)
        text = (
            f"{stranger.email} does not have storage.buckets.get access to the Google Cloud Storage bucket. "
            r"Permission 'storage.buckets.get' denied on resource \(or it may not exist\)."
        )
        with pytest.raises(exceptions.Forbidden, match=text):
            client.get_bucket(bucket.name)

    def test_one_that_holds_something_stays(self, client: storage.Client, bucket: storage.Bucket) -> None:
        bucket.blob("x").upload_from_string("x")
        with pytest.raises(exceptions.Conflict, match="not empty"):
            bucket.delete()
        bucket.delete(force=True)
        assert client.lookup_bucket(bucket.name) is None

    @pytest.mark.parametrize("name", ["Upper", "ab", "google-mine", "a..b", "-a-b", "x" * 64])
    def test_invalid_names_are_refused(self, cloud: LocalCloud, cloud_env: dict[str, str], name: str) -> None:
        with rest(cloud) as http:
            url = "https://storage.googleapis.com/storage/v1/b"
            answer = http.post(url, params={"project": PROJECT}, json={"name": name})
        assert (answer.status_code, answer.json()["error"]["message"]) == (400, f"Invalid bucket name: '{name}'")


class TestListing:
    @pytest.fixture
    def filled(self, bucket: storage.Bucket) -> storage.Bucket:
        for name in ["a", "d/", "d/1", "d/2", "d/e/3", "f", "ü/1"]:
            bucket.blob(name).upload_from_string(name)
        return bucket

    @pytest.mark.parametrize(
        ("query", "names", "prefixes"),
        [
            ({}, ["a", "d/", "d/1", "d/2", "d/e/3", "f", "ü/1"], []),
            ({"prefix": "d/"}, ["d/", "d/1", "d/2", "d/e/3"], []),
            ({"delimiter": "/"}, ["a", "f"], ["d/", "ü/"]),
            ({"delimiter": "/", "include_trailing_delimiter": True}, ["a", "d/", "f"], ["d/", "ü/"]),
            ({"prefix": "d/", "delimiter": "/"}, ["d/", "d/1", "d/2"], ["d/e/"]),
            ({"start_offset": "d/2", "end_offset": "f"}, ["d/2", "d/e/3"], []),
            ({"match_glob": "d/*"}, ["d/", "d/1", "d/2"], []),
            ({"match_glob": "**/{1,3}"}, ["d/1", "d/e/3", "ü/1"], []),
        ],
        ids=str,
    )
    def test_shows_what_was_asked_for_whatever_the_page_size(
        self, filled: storage.Bucket, query: dict[str, object], names: list[str], prefixes: list[str]
    ) -> None:
        for page_size in (1, 2, 100):
            found = filled.list_blobs(page_size=page_size, **query)
            assert [blob.name for blob in found] == names
            assert sorted(found.prefixes) == prefixes


def test_a_batch_does_each_call_on_its_own(client: storage.Client, bucket: storage.Bucket) -> None:
    for name in "ab":
        bucket.blob(name).upload_from_string(name)
    with pytest.raises(exceptions.NotFound), client.batch():
        bucket.blob("a").delete()
        bucket.blob("missing").delete()
        bucket.blob("b").delete()
    assert list(bucket.list_blobs()) == []


def test_faults_wear_storages_own_form(cloud: LocalCloud, bucket: storage.Bucket) -> None:
    cloud.put("/faults", [{"method": "storage.objects.list", "code": "UNAVAILABLE", "message": "Backend Error"}])
    with rest(cloud) as http:
        answer = http.get(f"https://storage.googleapis.com/storage/v1/b/{bucket.name}/o")
    cloud.put("/faults", [])
    entry = {"message": "Backend Error", "domain": "global", "reason": "backendError"}
    assert answer.json() == {"error": {"code": 503, "message": "Backend Error", "errors": [entry]}}


def test_the_plain_port_serves_clients_of_emulators(cloud: LocalCloud, cloud_env: dict[str, str]) -> None:
    os.environ["STORAGE_EMULATOR_HOST"] = plain_url(cloud)
    client = storage.Client(project=PROJECT)
    bucket = new_bucket(client)
    data = os.urandom(9 * MEBIBYTE)  # large enough for a resumable upload, whose address is in an answer
    bucket.blob("x").upload_from_string(data)
    found = bucket.get_blob("x")
    assert found.media_link.startswith(plain_url(cloud))
    assert found.download_as_bytes() == data


def test_answers_are_as_googles_document_says(cloud: LocalCloud, bucket: storage.Bucket) -> None:
    bucket.blob("dir/x").upload_from_string("x")
    api = "https://storage.googleapis.com/storage/v1"
    own = f"{api}/b/{bucket.name}"
    with rest(cloud) as http:
        for url, query in [
            (f"{api}/b", {"project": PROJECT}),
            (own, {"projection": "noAcl"}),
            (f"{own}/o", {"delimiter": "/", "prefix": "dir/"}),
            (f"{own}/o/dir%2Fx", {}),
            (f"{own}/iam", {}),
            (f"{own}/iam/testPermissions", {"permissions": "storage.objects.get"}),
            (f"{own}/managedFolders", {}),
            (f"{api}/projects/{PROJECT}/serviceAccount", {}),
        ]:
            http.get(url, params=query).raise_for_status()
        http.post(f"{own}/o/dir%2Fx/rewriteTo/b/{bucket.name}/o/y").raise_for_status()
        http.patch(own, json={"labels": {"a": "b"}}).raise_for_status()
        assert http.checked == 10
