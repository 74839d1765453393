"""Objects of a cluster as clean-up sees them: metadata, and of some the whole body. Never what is in a Secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from infra.gcp.kubernetes.api import Resource

SINCE = "slipway/unused-since"  # annotation: when the first step was taken


class Identity(NamedTuple):
    """What an object is, in whichever version of its group."""

    group: str
    kind: str
    namespace: str  # '' of a cluster-scoped kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Thing:
    resource: Resource
    namespace: str
    name: str
    uid: str
    version: str  # resourceVersion
    created: datetime
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)  # of a Secret their keys alone
    owners: tuple[str, ...] = ()  # "ReplicaSet web-7d9"
    finalizers: tuple[str, ...] = ()
    deleting: str = ""  # since when
    writers: tuple[str, ...] = ()  # who has written fields of it
    written: datetime | None = None  # when somebody last did, its state apart
    generation: int = 0  # counts changes of what it is meant to be
    body: Mapping[str, Any] = field(default_factory=dict)  # what is beside the metadata, where that was asked for

    @property
    def identity(self) -> Identity:
        return Identity(self.resource.group, self.resource.kind, self.namespace, self.name)

    @property
    def path(self) -> str:
        return self.resource.path(self.namespace, self.name)

    @property
    def etag(self) -> str:
        """A delete with both takes away nothing that has changed."""
        return f"{self.uid}/{self.version}"

    @property
    def touched(self) -> datetime:
        """When somebody last showed that it matters: programs keep their state in ConfigMaps."""
        return max(self.created, self.written or self.created)

    @property
    def taken(self) -> datetime | None:
        """When clean-up took its first step; None where it has not."""
        try:
            found = datetime.fromisoformat(self.annotations.get(SINCE, ""))
        except ValueError:
            return None
        return found if found.tzinfo else None

    @property
    def since(self) -> datetime | None:
        """When clean-up took its first step, or somebody last wrote to it after that; None where it has not."""
        return max(self.taken, self.touched) if self.taken else None


def thing_of(resource: Resource, found: Mapping[str, Any]) -> Thing:
    meta = found["metadata"]
    annotations = meta.get("annotations") or {}
    return Thing(
        resource,
        meta.get("namespace", ""),
        meta["name"],
        meta["uid"],
        meta["resourceVersion"],
        datetime.fromisoformat(meta["creationTimestamp"]),
        labels=meta.get("labels") or {},
        annotations=_safe(annotations) if is_secret(resource) else annotations,
        owners=tuple(f"{each['kind']} {each['name']}" for each in meta.get("ownerReferences") or ()),
        finalizers=tuple(meta.get("finalizers") or ()),
        writers=tuple(each.get("manager", "") for each in meta.get("managedFields") or ()),
        written=_written(meta.get("managedFields") or ()),
        deleting=meta.get("deletionTimestamp", ""),
        generation=meta.get("generation", 0),
        body={key: value for key, value in found.items() if key not in ("kind", "apiVersion", "metadata")},
    )


def _written(fields: Iterable[Mapping[str, Any]]) -> datetime | None:
    """https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management"""
    times = (
        datetime.fromisoformat(each["time"])
        for each in fields
        if each.get("time") and each.get("subresource") != "status"
    )
    return max(times, default=None)


def is_secret(resource: Resource) -> bool:
    return (resource.group, resource.kind) == ("", "Secret")


def _safe(annotations: Mapping[str, str]) -> dict[str, str]:
    """`kubectl apply` leaves a Secret's values, in clear, in an annotation: nothing of them is kept but our own."""
    return {key: value if key == SINCE else "" for key, value in annotations.items()}


def in_words(things: Sequence[Thing], most: int = 3) -> str:
    shown = ", ".join(str(each.identity) for each in things[:most])
    return shown if len(things) <= most else f"{shown} and {len(things) - most} more"
