"""Cloud Storage on the local cloud, over the official client and plain HTTP."""

from __future__ import annotations

import datetime
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google.auth
import httpx
import pytest
from google.api_core import exceptions
from google.auth.transport.requests import Request
from google.cloud import storage
from google.cloud.storage.blob import Blob

from tests.conftest import OTHER_PROJECT, PROJECT, LocalCloud
from tests.infra.emulator.emulated_storage import new_bucket, plain_url, rest
from tests.infra.emulator.identities import new_identity

MEBIBYTE = 1 << 20
NOT_MET = "At least one of the pre-conditions you specified did not hold."


@pytest.fixture
def client(cloud_env: dict[str, str]) -> storage.Client:
    return storage.Client(project=PROJECT)


@pytest.fixture
def bucket(client: storage.Client) -> storage.Bucket:
    return new_bucket(client)


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


class TestUploads:
    def test_in_chunks(self, bucket: storage.Bucket) -> None:
        data = os.urandom(3 * MEBIBYTE + 17)
        blob = bucket.blob("big", chunk_size=MEBIBYTE)
        blob.upload_from_file(io.BytesIO(data), size=len(data))
        assert bucket.blob("big").download_as_bytes() == data

    def test_of_unknown_length(self, bucket: storage.Bucket) -> None:
        with bucket.blob("stream").open("wb", chunk_size=256 << 10) as file:
            for _ in range(5):
                file.write(b"0123456789" * 20_000)
        assert bucket.get_blob("stream").size == 1_000_000

    @pytest.fixture
    def session(self, cloud: LocalCloud, bucket: storage.Bucket) -> Iterator[tuple[httpx.Client, str]]:
        with rest(cloud) as http:
            url = f"https://storage.googleapis.com/upload/storage/v1/b/{bucket.name}/o"
            answer = http.post(url, params={"uploadType": "resumable", "name": "resumed"}, json={})
            with httpx.Client() as other:  # the session's address is all that it takes
                yield other, answer.headers["Location"]

    def test_goes_on_where_it_broke_off(self, session: tuple[httpx.Client, str], bucket: storage.Bucket) -> None:
        http, url = session
        empty = http.put(url, headers={"Content-Range": "bytes */*"})
        assert (empty.status_code, "Range" in empty.headers) == (308, False)
        http.put(url, content=b"01234", headers={"Content-Range": "bytes 0-4/*"})
        status = http.put(url, headers={"Content-Range": "bytes */10"})
        assert (status.status_code, status.headers["Range"]) == (308, "bytes=0-4")
        done = http.put(url, content=b"3456789", headers={"Content-Range": "bytes 3-9/10"})
        assert (done.status_code, done.json()["size"]) == (200, "10")
        again = http.put(url, headers={"Content-Range": "bytes */10"})
        assert again.json()["generation"] == done.json()["generation"]
        assert bucket.blob("resumed").download_as_bytes() == b"0123456789"

    def test_that_is_cancelled_is_gone(self, session: tuple[httpx.Client, str], bucket: storage.Bucket) -> None:
        http, url = session
        http.put(url, content=b"01234", headers={"Content-Range": "bytes 0-4/*"})
        assert http.delete(url).status_code == 499
        assert http.put(url, headers={"Content-Range": "bytes */*"}).status_code == 404
        assert bucket.get_blob("resumed") is None

    def test_with_a_wrong_checksum_is_refused(self, cloud: LocalCloud, bucket: storage.Bucket) -> None:
        body = (
            b'--b\r\nContent-Type: application/json\r\n\r\n{"name": "x", "crc32c": "AAAAAA=="}\r\n'
            b"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b--"
        )
        with rest(cloud) as http:
            answer = http.post(
                f"https://storage.googleapis.com/upload/storage/v1/b/{bucket.name}/o?uploadType=multipart",
                content=body,
                headers={"Content-Type": "multipart/related; boundary=b"},
            )
        assert answer.status_code == 400
        assert "crc32c" in answer.json()["error"]["message"]
        assert bucket.get_blob("x") is None


class TestDownloads:
    @pytest.fixture
    def ten(self, bucket: storage.Bucket) -> Blob:
        blob = bucket.blob("dir/ten")
        blob.upload_from_string("0123456789")
        return blob

    @pytest.mark.parametrize(
        ("wanted", "status", "text", "content_range"),
        [
            (None, 200, "0123456789", None),
            ("bytes=0-", 206, "0123456789", "bytes 0-9/10"),
            ("bytes=7-", 206, "789", "bytes 7-9/10"),
            ("bytes=2-3", 206, "23", "bytes 2-3/10"),
            ("bytes=-2", 206, "89", "bytes 8-9/10"),
            ("bytes=5-99", 206, "56789", "bytes 5-9/10"),
            ("lines=1-2", 200, "0123456789", None),
        ],
    )
    @pytest.mark.parametrize("door", ["xml", "json"])
    def test_of_a_range(
        self, cloud: LocalCloud, ten: Blob, wanted: str | None, status: int, text: str, content_range: str, door: str
    ) -> None:
        host = "https://storage.googleapis.com"
        url = f"{host}/{ten.bucket.name}/dir/ten" if door == "xml" else ten.media_link
        with rest(cloud) as http:
            answer = http.get(url, headers={"Range": wanted} if wanted else {})
        assert (answer.status_code, answer.text) == (status, text)
        assert answer.headers.get("Content-Range") == content_range
        assert answer.headers["X-Goog-Generation"] == str(ten.generation)

    def test_past_the_end_or_of_nothing(self, cloud: LocalCloud, ten: Blob) -> None:
        host = f"https://storage.googleapis.com/{ten.bucket.name}"
        with rest(cloud) as http:
            past = http.get(f"{host}/dir/ten", headers={"Range": "bytes=10-"})
            missing = http.get(f"{host}/dir/eleven")
            nowhere = http.get("https://storage.googleapis.com/nobody-has-this-one/x")
        assert (past.status_code, "<Code>InvalidRange</Code>" in past.text) == (416, True)
        assert (missing.status_code, "<Code>NoSuchKey</Code>" in missing.text) == (404, True)
        assert (nowhere.status_code, "<Code>NoSuchBucket</Code>" in nowhere.text) == (404, True)

    def test_a_head_tells_the_size_and_sends_nothing(self, cloud: LocalCloud, ten: Blob) -> None:
        with rest(cloud) as http:
            answer = http.head(f"https://storage.googleapis.com/{ten.bucket.name}/dir/ten")
        assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (200, "10", b"")

    def test_gzip_stays_as_it_was_stored(self, bucket: storage.Bucket) -> None:
        blob = bucket.blob("packed")
        blob.content_encoding = "gzip"
        blob.upload_from_string(b"\x1f\x8bnot really", "text/plain")
        assert blob.download_as_bytes(raw_download=True) == b"\x1f\x8bnot really"


class TestCopies:
    def test_a_copy_keeps_what_the_original_says_of_itself(
        self, client: storage.Client, bucket: storage.Bucket
    ) -> None:
        blob = bucket.blob("original")
        blob.metadata = {"commit": "abc"}
        blob.upload_from_string("hello", "text/plain")
        target = new_bucket(client)
        copied = bucket.copy_blob(blob, target, "copy", if_generation_match=0)
        bucket.blob("original").upload_from_string("changed")
        assert (copied.content_type, copied.metadata) == ("text/plain", {"commit": "abc"})
        assert target.blob("copy").download_as_bytes() == b"hello"

    def test_rewrite_and_compose(self, bucket: storage.Bucket) -> None:
        bucket.blob("1").upload_from_string("hello ")
        rewritten = bucket.blob("2")
        assert rewritten.rewrite(bucket.blob("1")) == (None, 6, 6)
        bucket.blob("3").upload_from_string("world")
        whole = bucket.blob("whole")
        whole.content_type = "text/plain"
        whole.compose([bucket.blob("1"), bucket.blob("2"), bucket.blob("3")])
        assert whole.download_as_bytes() == b"hello hello world"
        assert (whole.component_count, whole.md5_hash) == (3, None)


class TestVersioning:
    def test_an_overwritten_or_deleted_generation_can_still_be_read(self, client: storage.Client) -> None:
        bucket = new_bucket(client, versioning_enabled=True)
        blob = bucket.blob("x")
        blob.upload_from_string("old")
        old = blob.generation
        blob.upload_from_string("new")
        bucket.blob("x").delete()
        assert bucket.get_blob("x") is None
        assert bucket.blob("x", generation=old).download_as_bytes() == b"old"
        listed = list(bucket.list_blobs(versions=True))
        assert [item.generation for item in listed] == [old, blob.generation]
        assert all(item.time_deleted for item in listed)
        bucket.blob("x", generation=old).delete()
        assert [item.generation for item in bucket.list_blobs(versions=True)] == [blob.generation]


class TestSignedUrls:
    @pytest.fixture
    def blob(self, bucket: storage.Bucket) -> Blob:
        blob = bucket.blob("dir/signed file")
        blob.upload_from_string("for you")
        return blob

    @pytest.mark.parametrize("version", ["v2", "v4"])
    def test_open_the_object_without_credentials(self, blob: Blob, version: str) -> None:
        url = blob.generate_signed_url(datetime.timedelta(minutes=5), version=version)
        assert httpx.get(url).text == "for you"

    @pytest.mark.parametrize("version", ["v2", "v4"])
    def test_that_were_tampered_with_do_not(self, blob: Blob, version: str) -> None:
        url = blob.generate_signed_url(datetime.timedelta(minutes=5), version=version)
        answer = httpx.get(url.replace("signed", "other"))
        assert (answer.status_code, "<Code>SignatureDoesNotMatch</Code>" in answer.text) == (403, True)
        assert httpx.put(url, content=b"mine").status_code == 403

    def test_end_when_they_say(self, blob: Blob) -> None:
        past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
        # a V2 URL carries its end, a V4 one its length: only the former can be made for the past
        answer = httpx.get(blob.generate_signed_url(past, version="v2"))
        assert (answer.status_code, "<Code>ExpiredToken</Code>" in answer.text) == (400, True)

    def test_may_allow_an_upload_of_one_kind(self, bucket: storage.Bucket) -> None:
        url = bucket.blob("incoming").generate_signed_url(
            datetime.timedelta(minutes=5), version="v4", method="PUT", content_type="text/plain"
        )
        assert httpx.put(url, content=b"x", headers={"Content-Type": "image/png"}).status_code == 403
        assert httpx.put(url, content=b"x", headers={"Content-Type": "text/plain"}).status_code == 200
        assert bucket.get_blob("incoming").content_type == "text/plain"

    def test_may_be_signed_by_iam(self, blob: Blob) -> None:
        credentials: Any = google.auth.default()[0]
        scoped = credentials.with_scopes(["https://www.googleapis.com/auth/cloud-platform"])
        scoped.refresh(Request())
        url = blob.generate_signed_url(
            datetime.timedelta(minutes=5),
            version="v4",
            service_account_email=credentials.service_account_email,
            access_token=scoped.token,
        )
        assert httpx.get(url).text == "for you"

    def test_are_worth_what_the_signer_may(self, bucket: storage.Bucket, blob: Blob, tmp_path: Path) -> None:
        weak = new_identity(tmp_path)
        url = blob.generate_signed_url(datetime.timedelta(minutes=5), version="v4", credentials=weak.credentials)
        answer = httpx.get(url)
        assert (answer.status_code, weak.email in answer.text) == (403, True)


class TestRights:
    def test_the_public_reads_what_the_policy_shows_it(self, bucket: storage.Bucket, cloud: LocalCloud) -> None:
        bucket.blob("page").upload_from_string("hello")
        with rest(cloud, authorized=False) as http:
            url = f"https://storage.googleapis.com/{bucket.name}/page"
            assert http.get(url).status_code == 401
            policy = bucket.get_iam_policy()
            policy["roles/storage.objectViewer"] = {"allUsers"}
            bucket.set_iam_policy(policy)
            assert http.get(url).text == "hello"

    def test_prevention_of_public_access_wins(self, bucket: storage.Bucket) -> None:
        bucket.iam_configuration.public_access_prevention = "enforced"
        bucket.patch()
        policy = bucket.get_iam_policy()
        policy["roles/storage.objectViewer"] = {"allUsers"}
        with pytest.raises(exceptions.PreconditionFailed, match="public access prevention is enforced"):
            bucket.set_iam_policy(policy)

    def test_who_may_create_may_not_replace(self, bucket: storage.Bucket, tmp_path: Path) -> None:
        creator = new_identity(tmp_path, ["roles/storage.objectCreator"])
        theirs = storage.Client(project=PROJECT, credentials=creator.credentials).bucket(bucket.name)
        theirs.blob("new").upload_from_string("1")
        with pytest.raises(exceptions.Forbidden, match=r"storage\.objects\.delete access"):
            theirs.blob("new").upload_from_string("2")
        with pytest.raises(exceptions.Forbidden, match=r"storage\.objects\.get access"):
            theirs.blob("new").download_as_bytes()

    def test_permissions_can_be_asked_for(self, bucket: storage.Bucket, tmp_path: Path) -> None:
        viewer = new_identity(tmp_path, ["roles/storage.objectViewer"])
        theirs = storage.Client(project=PROJECT, credentials=viewer.credentials).bucket(bucket.name)
        asked = ["storage.objects.get", "storage.objects.create", "storage.buckets.get"]
        assert theirs.test_iam_permissions(asked) == ["storage.objects.get"]
        assert bucket.test_iam_permissions(asked) == asked


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
