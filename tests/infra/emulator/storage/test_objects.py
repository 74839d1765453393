"""What objects hold on the local Cloud Storage: uploaded, downloaded, copied, and kept in versions."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator

import httpx
import pytest
from google.cloud import storage
from google.cloud.storage.blob import Blob

from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_storage import MEBIBYTE, new_bucket, rest


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
