"""Objects that are deleted or replaced can be had back, and some may not be deleted yet."""

from __future__ import annotations

import pytest
from google.api_core import exceptions
from google.cloud import storage

from tests.infra.emulator.emulated_storage import new_bucket


def write(bucket: storage.Bucket, name: str, text: str) -> storage.Blob:
    blob = bucket.blob(name)
    blob.upload_from_string(text)
    return blob


def soft_deleted(bucket: storage.Bucket) -> list[tuple[str, int]]:
    return [(blob.name, blob.generation) for blob in bucket.list_blobs(soft_deleted=True)]


def test_a_deleted_and_a_replaced_object_are_listed_and_restored(client: storage.Client) -> None:
    bucket = new_bucket(client)
    first, second = write(bucket, "a", "one"), write(bucket, "b", "two")
    write(bucket, "a", "another")
    second.delete()
    assert soft_deleted(bucket) == [("a", first.generation), ("b", second.generation)]
    found = bucket.get_blob("b", generation=second.generation, soft_deleted=True)
    assert found.soft_delete_time is not None
    assert (found.hard_delete_time - found.soft_delete_time).days == 7
    restored = bucket.restore_blob("b", generation=second.generation)
    assert restored.generation != second.generation
    assert (restored.metageneration, restored.soft_delete_time) == (1, None)
    assert bucket.blob("b").download_as_bytes() == b"two"
    bucket.restore_blob("a", generation=first.generation)
    assert bucket.blob("a").download_as_bytes() == b"one"
    assert len(soft_deleted(bucket)) == 3  # what was restored stays, and so does what it replaced


def test_a_restore_heeds_preconditions_and_knows_what_is_gone(client: storage.Client) -> None:
    bucket = new_bucket(client)
    blob = write(bucket, "a", "one")
    generation = blob.generation
    blob.delete()
    write(bucket, "a", "new")
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.restore_blob("a", generation=generation, if_generation_match=0)
    with pytest.raises(exceptions.NotFound):
        bucket.restore_blob("a", generation=generation + 1)


def test_without_soft_delete_what_is_deleted_is_gone_at_once(client: storage.Client) -> None:
    bucket = new_bucket(client)
    bucket.soft_delete_policy.retention_duration_seconds = 0
    bucket.patch()
    write(bucket, "a", "one").delete()
    assert soft_deleted(bucket) == []


def test_a_bucket_of_soft_deleted_objects_alone_is_empty(client: storage.Client) -> None:
    bucket = new_bucket(client)
    write(bucket, "a", "one").delete()
    bucket.delete()
    assert not bucket.exists()


def test_a_retention_policy_keeps_objects_from_being_deleted_or_replaced(client: storage.Client) -> None:
    bucket = new_bucket(client, retention_period=3600)
    blob = write(bucket, "a", "one")
    with pytest.raises(exceptions.Forbidden, match="subject to bucket's retention policy"):
        blob.delete()
    with pytest.raises(exceptions.Forbidden, match="cannot be deleted or overwritten until"):
        write(bucket, "a", "two")
    bucket.retention_period = None
    bucket.patch()
    blob.delete()


def test_a_retained_object_of_a_versioned_bucket_can_be_archived_but_its_generation_not_deleted(
    client: storage.Client,
) -> None:
    bucket = new_bucket(client, retention_period=3600, versioning_enabled=True)
    blob = write(bucket, "a", "one")
    generation = blob.generation
    bucket.blob("a").delete()
    with pytest.raises(exceptions.Forbidden, match="retention policy"):
        bucket.blob("a", generation=generation).delete()


@pytest.mark.parametrize("hold", ["temporary_hold", "event_based_hold"])
def test_an_object_on_hold_is_not_deleted(client: storage.Client, hold: str) -> None:
    bucket = new_bucket(client)
    blob = write(bucket, "a", "one")
    setattr(blob, hold, True)
    blob.patch()
    with pytest.raises(exceptions.Forbidden, match="under active"):
        blob.delete()
    setattr(blob, hold, False)
    blob.patch()
    blob.delete()
