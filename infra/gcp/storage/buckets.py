"""Cloud Storage: buckets."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.cloud import storage
from google.cloud.exceptions import NotFound

from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage.client import OPTIONS, call

TRIES = 3  # of a change that somebody else may make at the same time
SOFT_DELETE_S = 7 * 24 * 3600  # the default: https://cloud.google.com/storage/docs/soft-delete


@dataclass(frozen=True, slots=True)
class Bucket:
    name: str
    project_number: int
    location: str
    labels: dict[str, str]
    created: datetime | None = None
    metageneration: int = 0
    soft_delete_since: datetime | None = None  # what is deleted from it can be restored; None when it cannot


async def get_bucket(name: str) -> Bucket | None:
    """None if nobody has it; a bucket that is somebody else's answers GoogleError PERMISSION_DENIED."""

    def get(client: storage.Client) -> Bucket | None:
        found = client.lookup_bucket(name, **OPTIONS)
        return None if found is None else _bucket(found)

    return await call("storage.buckets.get", get)


async def test_permissions(name: str, permissions: Collection[str]) -> set[str]:
    """Which of these permissions the caller has on the bucket."""

    def test(client: storage.Client) -> set[str]:
        return set(client.bucket(name).test_iam_permissions(sorted(permissions), **OPTIONS))

    return await call("storage.buckets.testIamPermissions", test)


async def list_buckets(project: str) -> list[Bucket]:
    def listing(client: storage.Client) -> list[Bucket]:
        return [_bucket(found) for found in client.list_buckets(project=project, **OPTIONS)]

    return await call("storage.buckets.list", listing)


async def create_bucket(name: str, project: str, location: str, labels: dict[str, str]) -> None:
    """Private, with uniform access and no public objects, ever."""

    def create(client: storage.Client) -> None:
        bucket = client.bucket(name)
        bucket.iam_configuration.uniform_bucket_level_access_enabled = True
        bucket.iam_configuration.public_access_prevention = "enforced"
        bucket.labels = labels
        client.create_bucket(bucket, project=project, location=location, **OPTIONS)

    await call("storage.buckets.create", create)


async def is_empty(name: str) -> bool:
    """Noncurrent versions count as well: a bucket with any cannot be deleted."""

    def look(client: storage.Client) -> bool:
        return next(iter(client.list_blobs(name, max_results=1, versions=True, **OPTIONS)), None) is None

    return await call("storage.objects.list", look)


async def policy_members(name: str) -> frozenset[str]:
    """Everybody whom the bucket's IAM policy names; nobody where it is gone."""

    def read(client: storage.Client) -> frozenset[str]:
        try:
            policy = client.bucket(name).get_iam_policy(requested_policy_version=3, **OPTIONS)
        except NotFound:
            return frozenset()
        return frozenset(member for binding in policy.bindings for member in binding["members"])

    return await call("storage.buckets.getIamPolicy", read)


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

    return await call("storage.buckets.patch", patch)


async def keep_versions(name: str, days: int) -> None:
    """What is replaced or deleted stays as an earlier version for so many days; one that keeps them already is left.

    https://cloud.google.com/storage/docs/lifecycle#dayssincenoncurrenttime
    """

    def patch(client: storage.Client) -> None:
        bucket = client.get_bucket(name, **OPTIONS)
        if bucket.versioning_enabled:
            return
        bucket.versioning_enabled = True
        bucket.add_lifecycle_delete_rule(days_since_noncurrent_time=days)
        bucket.patch(if_metageneration_match=bucket.metageneration, **OPTIONS)

    for left in reversed(range(TRIES)):
        try:
            await call("storage.buckets.patch", patch)
            return
        except GoogleError as error:  # several runs may begin at the same time: the first one has done it for all
            if error.status != "FAILED_PRECONDITION" or not left:
                raise


async def delete_bucket(name: str, metageneration: int) -> bool:
    """Only an empty one, as it was when it had `metageneration`. False if it was gone already."""

    def delete(client: storage.Client) -> bool:
        try:
            client.bucket(name).delete(if_metageneration_match=metageneration, **OPTIONS)
        except NotFound:
            return False
        return True

    return await call("storage.buckets.delete", delete)


def _bucket(found: Any) -> Bucket:
    policy = found.soft_delete_policy
    return Bucket(
        name=found.name,
        project_number=int(found.project_number),
        location=found.location,
        labels=dict(found.labels),
        created=found.time_created,
        metageneration=int(found.metageneration),
        soft_delete_since=policy.effective_time if int(policy.retention_duration_seconds or 0) else None,
    )
