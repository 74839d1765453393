"""Buckets whose earlier versions are kept, whoever else sets them up at the same time."""

from __future__ import annotations

import asyncio

import pytest
from google.cloud.storage import Client

from infra.gcp.storage import buckets
from tests.conftest import PROJECT
from tests.infra.emulator.emulated_run import new_name

pytestmark = pytest.mark.usefixtures("cloud_env")


async def test_ten_runs_that_begin_at_once_set_one_bucket_up() -> None:
    name = new_name("states")
    Client(project=PROJECT).create_bucket(name)
    await asyncio.gather(*(buckets.keep_versions(name, 7) for _ in range(10)))
    bucket = Client(project=PROJECT).get_bucket(name)
    assert bucket.versioning_enabled
    assert len(list(bucket.lifecycle_rules)) == 1
