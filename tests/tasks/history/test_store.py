"""Records in the bucket: read as they are now, and none twice while it stays the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from infra.gcp.storage import buckets, objects
from tasks.failures.errors import CloudError
from tasks.history.record import ReleaseRecord, State
from tasks.history.store import (
    Seen,
    list_records,
    newest_after,
    read_history,
    read_one,
    read_open,
    record_name,
    started_of,
    write_one,
)
from tests.conftest import PROJECT, LocalCloud
from tests.tasks.builders import a_record


@pytest.fixture
async def bucket(cloud: LocalCloud, cloud_env: dict[str, str]) -> AsyncIterator[str]:
    name = f"records-{uuid4().hex[:12]}"
    await buckets.create_bucket(name, PROJECT, "EUROPE-WEST1", {})
    yield name
    cloud.put("/faults", [])


async def written(bucket: str, count: int) -> list[ReleaseRecord]:
    """The newest first."""
    made = [a_record(f"v1.{number}.0", number) for number in range(count)]
    for each in made:
        await write_one(bucket, record_name(each), each, 0)
    return sorted(made, key=lambda each: each.started, reverse=True)


def place(bucket: str) -> tuple[str, str, str]:
    return bucket, "shop", "production"


async def test_what_has_been_seen_is_listed_and_not_read_again(cloud: LocalCloud, bucket: str) -> None:
    made = await written(bucket, 3)
    cloud.put("/faults", [{"method": "storage.objects.get", "code": "PERMISSION_DENIED"}])
    assert await read_history(*place(bucket)) == made


async def test_what_somebody_else_has_written_since_is_read(cloud: LocalCloud, bucket: str) -> None:
    newest, *_ = await written(bucket, 2)
    name = record_name(newest)
    found = await read_one(bucket, name)
    assert found is not None and found.release == newest
    ended = newest.model_copy(update={"state": State.FAILED})
    await objects.write_json(bucket, name, ended.model_dump(mode="json"), found.generation)
    assert (await read_history(*place(bucket)))[0].state is State.FAILED


async def test_an_open_record_is_found_with_the_generation_to_write_over(cloud: LocalCloud, bucket: str) -> None:
    newest, *_ = await written(bucket, 2)
    started, [listed, _] = newest.model_copy(update={"state": State.STARTED}), await list_records(*place(bucket))
    await write_one(bucket, listed.name, started, listed.generation)
    [found] = await read_open(*place(bucket))
    await write_one(bucket, found.name, newest, found.generation)
    assert await read_open(*place(bucket)) == []


def test_the_oldest_contents_are_forgotten_first() -> None:
    seen = Seen(most=2)
    for generation in (1, 2, 3):
        seen.keep("b", "name", generation, b"%d" % generation)
    assert [seen.get("b", "name", each) for each in (1, 2, 3)] == [None, b"2", b"3"]


def test_the_name_of_a_record_tells_when_its_release_began() -> None:
    record = a_record("v1", 1)
    assert started_of(record_name(record)) == record.started


async def test_a_release_is_the_newest_whatever_the_clock_of_its_machine_says(bucket: str) -> None:
    newest, *_ = await written(bucket, 3)
    late, early = newest.started + timedelta(days=1), newest.started - timedelta(days=1)
    assert await newest_after(*place(bucket), late) == late
    assert newest.started < await newest_after(*place(bucket), early) < late
    assert await newest_after(bucket, "another", "production", early) == early


async def test_what_somebody_else_keeps_beside_the_records_is_none_of_them(bucket: str) -> None:
    """As the empty object by which Google's console shows a folder."""
    made = await written(bucket, 2)
    for name in ("", "notes.txt"):
        await objects.write_bytes(bucket, f"releases/shop/production/{name}", b"", "text/plain", 0)
    assert await read_history(*place(bucket)) == made
    assert await newest_after(*place(bucket), made[0].started) > made[0].started


async def test_a_record_that_cannot_be_read_is_named(bucket: str) -> None:
    newest, _ = await written(bucket, 2)
    await objects.write_bytes(bucket, record_name(newest), b"{", "application/json", None)
    with pytest.raises(
        CloudError, match=f"gs://{bucket}/{record_name(newest)} cannot be read: Expecting property name"
    ):
        await read_history(*place(bucket))
