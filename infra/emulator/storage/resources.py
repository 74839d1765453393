"""What a bucket and an object look like, how their metadata changes, and the preconditions on both."""

from __future__ import annotations

import base64
import copy
import datetime
import re
import time
from dataclasses import dataclass
from typing import Any

from infra.emulator.storage.errors import bad_request, precondition_failed

Resource = dict[str, Any]  # a bucket or an object as the JSON API shows it, without links
MULTI_REGIONS = {"US", "EU", "ASIA"}
SOFT_DELETE_S = 7 * 24 * 3600  # https://cloud.google.com/storage/docs/soft-delete


@dataclass(frozen=True, slots=True)
class Preconditions:
    """https://cloud.google.com/storage/docs/request-preconditions; 0 as generation means: no live object."""

    generation: int | None = None
    generation_not: int | None = None
    metageneration: int | None = None
    metageneration_not: int | None = None

    def check(self, current: Resource | None) -> None:
        """Raises 412 unless they hold for the live object (or bucket), None if there is none."""
        generation = int(current.get("generation", 0)) if current else 0
        metageneration = int(current["metageneration"]) if current else None
        if self.generation is not None and generation != self.generation:
            raise precondition_failed("If-Match")
        if self.generation_not is not None and generation == self.generation_not:
            raise precondition_failed("If-None-Match")
        if self.metageneration is not None and metageneration != self.metageneration:
            raise precondition_failed("If-Match")
        if self.metageneration_not is not None and metageneration == self.metageneration_not:
            raise precondition_failed("If-None-Match")


NONE = Preconditions()


def new_bucket(name: str, project_number: int, location: str) -> Resource:
    """A bucket as it is right after its creation with nothing but a name and a location."""
    now = timestamp()
    return {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "projectNumber": str(project_number),
        "generation": str(time.time_ns() // 1000),
        "metageneration": "1",
        "location": location.upper(),
        "locationType": location_type(location),
        "storageClass": "STANDARD",
        "etag": etag(1),
        "timeCreated": now,
        "updated": now,
        "softDeletePolicy": {"retentionDurationSeconds": str(SOFT_DELETE_S), "effectiveTime": now},
        "iamConfiguration": {
            "bucketPolicyOnly": {"enabled": False},
            "uniformBucketLevelAccess": {"enabled": False},
            "publicAccessPrevention": "inherited",
        },
    } | ({} if location_type(location) == "region" else {"rpo": "DEFAULT"})


def location_type(location: str) -> str:
    """https://cloud.google.com/storage/docs/locations; raises 400 for what cannot be one."""
    if location.upper() in MULTI_REGIONS:
        return "multi-region"
    if re.fullmatch(r"(NAM|EUR|ASIA)\d+", location.upper()):
        return "dual-region"
    if re.fullmatch(r"[A-Z]+-[A-Z]+\d+", location.upper()):
        return "region"
    raise bad_request("The specified location constraint is not valid.")


def settled(bucket: Resource) -> Resource:
    """With what the server itself writes into the settings that a caller has changed."""
    bucket = copy.deepcopy(bucket)
    access = bucket["iamConfiguration"]
    uniform = access.setdefault("uniformBucketLevelAccess", {"enabled": False})
    if uniform.get("enabled"):
        uniform.setdefault("lockedTime", timestamp())
    else:
        uniform.pop("lockedTime", None)
    access["bucketPolicyOnly"] = dict(uniform)
    access.setdefault("publicAccessPrevention", "inherited")
    for policy, duration in (("softDeletePolicy", "retentionDurationSeconds"), ("retentionPolicy", "retentionPeriod")):
        if bucket.get(policy):
            bucket[policy].setdefault("effectiveTime", timestamp())
            bucket[policy][duration] = str(bucket[policy].get(duration) or 0)  # clients send numbers too
    return bucket


def merged(old: Resource, patch: Resource) -> Resource:
    """JSON merge patch (RFC 7396), which is how the JSON API patches."""
    new = dict(old)
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        elif isinstance(value, dict):
            new[key] = merged(new.get(key) or {}, value)
        else:
            new[key] = value
    return new


def new_object(bucket: str, name: str, generation: int, properties: Resource) -> Resource:
    """An object of a first metageneration; `properties` holds its size and hashes too."""
    now = timestamp()
    return {
        "contentType": "application/octet-stream",
        **properties,
        "kind": "storage#object",
        "id": f"{bucket}/{name}/{generation}",
        "name": name,
        "bucket": bucket,
        "generation": str(generation),
        "metageneration": "1",
        "etag": etag(generation, 1),
        "timeCreated": now,
        "updated": now,
        "timeStorageClassUpdated": now,
        "timeFinalized": now,
    }


def check_name(name: str) -> None:
    """https://cloud.google.com/storage/docs/objects#naming"""
    if not name or len(name.encode()) > 1024 or "\r" in name or "\n" in name or name in (".", ".."):
        raise bad_request(f"Invalid object name: {name!r}")


def touched(resource: Resource) -> Resource:
    """With its metageneration counted up and everything that follows from that."""
    count = int(resource["metageneration"]) + 1
    numbers = (int(resource["generation"]), count) if resource["kind"] == "storage#object" else (count,)
    return {**resource, "metageneration": str(count), "etag": etag(*numbers), "updated": timestamp()}


def etag(*numbers: int) -> str:
    return base64.b64encode(b"".join(number.to_bytes(8, "little") for number in numbers)).decode()


def timestamp() -> str:
    """Now, as the JSON API writes it: 2026-01-02T03:04:05.678Z"""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
