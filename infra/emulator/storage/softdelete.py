"""What keeps objects from being lost: soft delete, retention policies and holds.

https://cloud.google.com/storage/docs/soft-delete, /storage/docs/bucket-lock, /storage/docs/object-holds
"""

from __future__ import annotations

import datetime

from infra.emulator.kernel.store import Store
from infra.emulator.storage.errors import StorageError, no_object
from infra.emulator.storage.resources import Resource

# What a restored object does not inherit: https://cloud.google.com/storage/docs/json_api/v1/objects/restore
FLEETING = {
    "softDeleteTime", "hardDeleteTime", "timeDeleted", "timeCreated", "updated", "timeFinalized", "generation",
    "metageneration", "etag", "id", "timeStorageClassUpdated",
}  # fmt: skip
NEVER = "9999"


class SoftDeleted:
    def __init__(self, store: Store) -> None:
        self._table = store.values("soft-deleted-objects")  # bucket/name#generation -> resource
        self._next = ""  # no time is over before this one; '' when nobody has looked

    def take(self, resource: Resource, bucket: Resource) -> bool:
        """Keeps a deleted generation for as long as the bucket says; False if it says nothing."""
        kept_s = int((bucket.get("softDeletePolicy") or {}).get("retentionDurationSeconds") or 0)
        if not kept_s:
            return False
        now = datetime.datetime.now(datetime.UTC)
        times = {"softDeleteTime": _text(now), "hardDeleteTime": _text(now + datetime.timedelta(seconds=kept_s))}
        self._table.put(f"{resource['bucket']}/{resource['name']}#{resource['generation']}", resource | times)
        self._next = min(self._next, times["hardDeleteTime"])
        return True

    def within(self, bucket: str, prefix: str = "") -> list[Resource]:
        """By name and generation."""
        now = _text(datetime.datetime.now(datetime.UTC))
        return [one for one in self._table.list(f"{bucket}/{prefix}") if one["hardDeleteTime"] > now]

    def get(self, bucket: str, name: str, generation: int) -> Resource:
        """Raises 404."""
        for one in self.within(bucket, f"{name}#{generation}"):
            if (one["name"], one["generation"]) == (name, str(generation)):
                return dict(one)
        raise no_object(bucket, name)

    def expired(self) -> list[Resource]:
        """Takes out, and answers, those whose time is over."""
        now = _text(datetime.datetime.now(datetime.UTC))
        if now < self._next:
            return []
        times = dict(zip(self._table.names(), (one["hardDeleteTime"] for one in self._table.list()), strict=True))
        self._next = min((time for time in times.values() if time > now), default=NEVER)
        return self._take_out([key for key, time in times.items() if time <= now])

    def forget(self, bucket: str) -> list[Resource]:
        """Takes out, and answers, those of a bucket that is gone."""
        return self._take_out(self._table.names(f"{bucket}/"))

    def _take_out(self, keys: list[str]) -> list[Resource]:
        found = [self._table.get(key) for key in keys]
        for key in keys:
            self._table.delete(key)
        return [dict(one) for one in found if one is not None]


def check_retained(bucket: Resource, resource: Resource) -> None:
    """Raises 403 for a generation that may not be deleted or replaced yet."""
    name = f"{resource['bucket']}/{resource['name']}"
    for field, kind in (("temporaryHold", "Temporary"), ("eventBasedHold", "Event-Based")):
        if resource.get(field):
            text = f"Object '{name}' is under active {kind} hold and cannot be deleted, overwritten or archived until "
            raise StorageError(403, "objectUnderActiveHold", f"{text}hold is removed.", "ObjectUnderActiveHold")
    period_s = int((bucket.get("retentionPolicy") or {}).get("retentionPeriod") or 0)
    until = datetime.datetime.fromisoformat(resource["timeCreated"]) + datetime.timedelta(seconds=period_s)
    if until > datetime.datetime.now(datetime.UTC):
        raise StorageError(
            403,
            "retentionPolicyNotMet",
            f"Object '{name}' is subject to bucket's retention policy or object retention and cannot be deleted or "
            f"overwritten until {until.isoformat()}",
            "AccessDenied",
        )


def _text(time: datetime.datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
