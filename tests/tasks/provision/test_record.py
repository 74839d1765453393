"""Records in the bucket: which run has begun, and not closed its own."""

from __future__ import annotations

import pytest
from google.cloud.storage import Client

from tasks.provision.record import ProvisionRecord, State, begin, is_open
from tests.conftest import PROJECT
from tests.infra.emulator.emulated_run import new_name
from tests.tasks.builders import NOW

pytestmark = pytest.mark.usefixtures("cloud_env")


async def test_a_run_that_only_waited_for_its_turn_has_nothing_at_work() -> None:
    """What is at work then is the Terraform of the run that it waited for, which goes on."""
    bucket = new_name("records")
    assert not await is_open(bucket, "shop", "test", "works")  # nor is there a bucket
    Client(project=PROJECT).create_bucket(bucket)
    record = ProvisionRecord(app="shop", environment="test", run_id="works", started=NOW)
    stored = await begin(bucket, record)
    assert await is_open(bucket, "shop", "test", "works")
    assert not await is_open(bucket, "shop", "test", "waits")
    await stored.replaced(record.model_copy(update={"state": State.CANCELLED, "finished": NOW}))
    assert not await is_open(bucket, "shop", "test", "works")
