"""Buckets on the local Cloud Storage, and ways to reach them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

from google.cloud import storage

from tests.conftest import LocalCloud
from tests.infra.emulator.discovery import Checked

MEBIBYTE = 1 << 20
_numbers = itertools.count(1)


def new_bucket(client: storage.Client, **properties: object) -> storage.Bucket:
    bucket = client.bucket(f"bucket-{next(_numbers)}")
    for name, value in properties.items():
        setattr(bucket, name, value)
    return client.create_bucket(bucket, location="europe-west1")


def owner_token(cloud: LocalCloud) -> str:
    """The access token that gcloud is given."""
    return Path(cloud.env["CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"]).read_text()


def rest(cloud: LocalCloud, *, authorized: bool = True) -> Checked:
    """An HTTP client in the cloud's environment whose JSON answers are held against Google's documents."""
    headers = {"Authorization": f"Bearer {owner_token(cloud)}"} if authorized else {}
    return Checked(headers=headers)


def plain_url(cloud: LocalCloud) -> str:
    """The door without TLS that STORAGE_EMULATOR_HOST may name."""
    return str(json.loads((cloud.data / "emulator.json").read_text())["http"])
