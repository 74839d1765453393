"""What Cloud Monitoring says of requests that were really served."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from infra.gcp import monitoring
from infra.gcp.calls.errors import GoogleError
from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_run import Run, fetch, new_name, short

pytestmark = pytest.mark.usefixtures("cloud_env")
LIST = "*/ListTimeSeries"


@pytest.fixture
def faults(cloud: LocalCloud) -> Iterator[LocalCloud]:
    yield cloud
    cloud.put("/faults", [])


async def test_requests_are_added_up_and_a_page_that_fails_once_is_asked_for_again(faults: LocalCloud) -> None:
    service = Run().create(new_name("measured"))
    began = datetime.now(UTC) - timedelta(seconds=2)
    for path in ["/"] * 6 + ["/status/500"] * 2 + ["/status/404"]:
        fetch(service.uri, path)
    await asyncio.sleep(1.1)  # until the second they fell into is over: samples are taken once a second here
    revision = short(service.latest_ready_revision)
    for fault in ({}, {"code": "UNAVAILABLE", "times": 1}):
        faults.put("/faults", [{"method": LIST, **fault}] if fault else [])
        found = await monitoring.served(service.name, revision, began, datetime.now(UTC))
        assert (found.requests, found.errors, found.refused, sum(found.buckets)) == (9, 2, 1, 9)
        assert found.since is not None
        assert found.until is not None
        assert began <= found.since < found.until <= datetime.now(UTC)
    assert await monitoring.requests(service.name, began, datetime.now(UTC)) == 9
    assert (await monitoring.served(service.name, "another", began, datetime.now(UTC))).requests == 0
    by_each = await monitoring.served_by_each(service.name, began, datetime.now(UTC))
    assert {name: (each.requests, each.errors, sum(each.buckets)) for name, each in by_each.items()} == {
        revision: (9, 2, 9)
    }
    faults.put("/faults", [{"method": LIST, "code": "PERMISSION_DENIED"}])
    with pytest.raises(GoogleError, match="PERMISSION_DENIED"):
        await monitoring.requests(service.name, began, datetime.now(UTC))
