"""Who gets at objects of the local Cloud Storage: by signed URLs, and by rights."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.api_core import exceptions
from google.auth.transport.requests import Request
from google.cloud import storage
from google.cloud.storage.blob import Blob

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_storage import rest
from tests.infra.emulator.identities import grant_on, new_identity


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

    def test_may_be_signed_by_iam(self, blob: Blob, tmp_path: Path) -> None:
        """For whoever may sign as the account, be it the account itself."""
        signer = new_identity(tmp_path, ["roles/storage.objectViewer"])
        grant_on(signer, signer.member, "roles/iam.serviceAccountTokenCreator")
        scoped: Any = signer.credentials.with_scopes(["https://www.googleapis.com/auth/cloud-platform"])
        scoped.refresh(Request())
        url = blob.generate_signed_url(
            datetime.timedelta(minutes=5),
            version="v4",
            service_account_email=signer.email,
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
