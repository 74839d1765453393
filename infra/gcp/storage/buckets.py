"""Cloud Storage: the buckets of a project, and their end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.cloud import storage
from google.cloud.exceptions import NotFound

from infra.gcp.storage.objects import OPTIONS, _run

SOFT_DELETE_S = 7 * 24 * 3600  # the default: https://cloud.google.com/storage/docs/soft-delete


@dataclass(frozen=True, slots=True)
class OwnedBucket:
    name: str
    labels: dict[str, str]
    created: datetime
    metageneration: int
    soft_delete_since: datetime | None  # what is deleted from it can be restored; None when it cannot


async def list_buckets(project: str) -> list[OwnedBucket]:
    def listing(client: storage.Client) -> list[OwnedBucket]:
        return [_bucket(found) for found in client.list_buckets(project=project, **OPTIONS)]

    return await _run("storage.buckets.list", listing)


async def find_bucket(name: str) -> OwnedBucket | None:
    def find(client: storage.Client) -> OwnedBucket | None:
        found = client.lookup_bucket(name, **OPTIONS)
        return None if found is None else _bucket(found)

    return await _run("storage.buckets.get", find)


async def is_empty(name: str) -> bool:
    """Noncurrent versions count as well: a bucket with any cannot be deleted."""

    def look(client: storage.Client) -> bool:
        return next(iter(client.list_blobs(name, max_results=1, versions=True, **OPTIONS)), None) is None

    return await _run("storage.objects.list", look)


async def turn_on_soft_delete(name: str) -> bool:
    """What is deleted from now on can be restored for a week. False if the bucket is gone."""

    def patch(client: storage.Client) -> bool:
        bucket = client.bucket(name)
        bucket.soft_delete_policy.retention_duration_seconds = SOFT_DELETE_S
        try:
            bucket.patch(**OPTIONS)
        except NotFound:
            return False
        return True

    return await _run("storage.buckets.patch", patch)


async def delete_bucket(name: str, metageneration: int) -> bool:
    """Only an empty one, as it was when it had `metageneration`. False if it was gone already."""

    def delete(client: storage.Client) -> bool:
        try:
            client.bucket(name).delete(if_metageneration_match=metageneration, **OPTIONS)
        except NotFound:
            return False
        return True

    return await _run("storage.buckets.delete", delete)


def _bucket(found: Any) -> OwnedBucket:
    policy = found.soft_delete_policy
    since = policy.effective_time if int(policy.retention_duration_seconds or 0) else None
    return OwnedBucket(found.name, dict(found.labels), found.time_created, int(found.metageneration), since)
