"""Addresses that open one object for some minutes, to people without credentials."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest
from google.auth.credentials import Signing
from google.oauth2.credentials import Credentials as Person

from infra.gcp.calls.clients import SCOPES, use_credentials
from infra.gcp.calls.errors import GoogleError
from infra.gcp.iam.identity import whoami
from infra.gcp.storage import buckets, objects
from infra.gcp.storage.signed import signed_url
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.identities import grant_on, new_identity

NAME = "runs/shop/production/20261128T120000.000000Z-run.jsonl.gz"


@pytest.fixture
async def bucket(cloud_env: dict[str, str]) -> AsyncIterator[str]:
    name = f"signed-{uuid4().hex[:12]}"
    await buckets.create_bucket(name, PROJECT, "EUROPE-WEST1", {})
    await objects.write_bytes(name, NAME, b"the log", "application/gzip", 0)
    yield name
    use_credentials(None)


async def test_who_has_a_key_signs_without_asking_anybody(bucket: str, cloud: LocalCloud) -> None:
    signer = await whoami()
    before = cloud.calls().get("google.iam.credentials.v1.IAMCredentials/SignBlob", 0)
    url = await signed_url(bucket, NAME, 15, signer)
    assert cloud.calls().get("google.iam.credentials.v1.IAMCredentials/SignBlob", 0) == before
    answer = httpx.get(url)
    assert answer.content == b"the log"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{NAME.rpartition("/")[2]}"'
    asked = parse_qs(urlsplit(url).query)
    assert (asked["X-Goog-Expires"], asked["X-Goog-SignedHeaders"]) == (["900"], ["host"])
    assert asked["X-Goog-Credential"][0].startswith(f"{signer}/")


async def test_it_opens_this_object_for_reading_and_nothing_else(bucket: str) -> None:
    url = await signed_url(bucket, NAME, 15, await whoami())
    assert httpx.head(url).status_code == 200  # whoever may GET may HEAD
    assert {httpx.put(url, content=b"mine").status_code, httpx.delete(url).status_code} == {403}
    other = url.replace("production", "staging")
    longer = url.replace("X-Goog-Expires=900", "X-Goog-Expires=9000")
    elsewhere = url.replace("%2Fstorage%2Fgoog4_request", "%2Frun%2Fgoog4_request")
    assert [httpx.get(each).status_code for each in (other, longer, elsewhere)] == [403, 403, 400]


async def test_without_a_key_iam_signs_for_whoever_may_sign_as_the_account(
    bucket: str, cloud: LocalCloud, tmp_path: Path
) -> None:
    reader = new_identity(tmp_path, ["roles/storage.objectViewer"])
    person: Any = Person.from_authorized_user_file(str(cloud.data / "user.json"), scopes=SCOPES)
    assert not isinstance(person, Signing)
    use_credentials(person)
    with pytest.raises(GoogleError, match="signBlob") as refused:
        await signed_url(bucket, NAME, 5, reader.email)
    assert refused.value.status == "PERMISSION_DENIED"
    use_credentials(None)
    grant_on(reader, "user:you@example.com", "roles/iam.serviceAccountTokenCreator")
    use_credentials(person)
    assert httpx.get(await signed_url(bucket, NAME, 5, reader.email)).content == b"the log"


async def test_somebody_elses_signature_is_asked_of_iam_and_worth_what_they_may(bucket: str, tmp_path: Path) -> None:
    weak = new_identity(tmp_path)
    grant_on(weak, f"serviceAccount:{await whoami()}", "roles/iam.serviceAccountTokenCreator")
    answer = httpx.get(await signed_url(bucket, NAME, 5, weak.email, remote=True))
    assert (answer.status_code, weak.email in answer.text) == (403, True)


async def test_a_person_signs_nothing(bucket: str) -> None:
    with pytest.raises(GoogleError, match="only a service account signs URLs"):
        await signed_url(bucket, NAME, 15, "")


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
async def test_it_is_shaped_as_gclouds(bucket: str, cloud: LocalCloud) -> None:
    key = Path(cloud.env["GOOGLE_APPLICATION_CREDENTIALS"])
    command = ["gcloud", "storage", "sign-url", f"gs://{bucket}/{NAME}", f"--private-key-file={key}", "--duration=15m"]
    done = subprocess.run(  # noqa: ASYNC221 - nothing else waits
        [*command, "--region=europe-west1", "--format=json"], env=cloud.env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    theirs = str(json.loads(done.stdout)[0]["signed_url"])
    assert httpx.get(theirs).content == b"the log"
    ours = await signed_url(bucket, NAME, 15, await whoami())
    assert urlsplit(ours).path == urlsplit(theirs).path
    added = {"response-content-disposition"}
    assert {name.lower() for name in parse_qs(urlsplit(ours).query)} - added == {
        name.lower() for name in parse_qs(urlsplit(theirs).query)
    }
