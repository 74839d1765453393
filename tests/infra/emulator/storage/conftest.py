"""The official client of Cloud Storage, and a bucket for each test."""

from __future__ import annotations

import pytest
from google.cloud import storage

from tests.conftest import PROJECT
from tests.infra.emulator.emulated_storage import new_bucket


@pytest.fixture
def client(cloud_env: dict[str, str]) -> storage.Client:
    return storage.Client(project=PROJECT)


@pytest.fixture
def bucket(client: storage.Client) -> storage.Bucket:
    return new_bucket(client)
