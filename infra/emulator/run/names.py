"""Names of Cloud Run's resources, and the names and fingerprints that Run makes up itself."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from typing import Any, ClassVar, Self

SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # no vowels: a generated name spells no word


@dataclass(frozen=True, slots=True)
class Name:
    """projects/{project}/locations/{location}/{kind}/{id}"""

    kind: ClassVar[str]
    project: str
    location: str
    id: str

    @classmethod
    def parse(cls, name: str) -> Self:
        """`name` may be the resource's own, or that of one below it."""
        _, project, _, location, _, id_, *_ = name.split("/")
        return cls(project, location, id_)

    @property
    def parent(self) -> str:
        return f"projects/{self.project}/locations/{self.location}"

    def __str__(self) -> str:
        return f"{self.parent}/{self.kind}/{self.id}"


class OwnerName(Name):
    """Of what has revisions."""

    __slots__ = ()

    def revision(self, name: str) -> str:
        """The full name of a revision given by its short or its full name."""
        return f"{self}/revisions/{short(name)}"


class ServiceName(OwnerName):
    __slots__ = ()
    kind = "services"


class PoolName(OwnerName):
    __slots__ = ()
    kind = "workerPools"


def owner_of(name: str) -> OwnerName:
    """The name of the service or worker pool that is called so, or that has the revision which is."""
    kind = name.split("/")[4]
    return (PoolName if kind == PoolName.kind else ServiceName).parse(name)


def short(name: str) -> str:
    """The last segment of a resource name."""
    return name.rsplit("/", 1)[-1]


def generated_revision(service_id: str, ordinal: int) -> str:
    """web-00007-k2x, as Run names a revision whose template carries no name."""
    suffix = "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(3))
    return f"{service_id}-{ordinal:05d}-{suffix}"


def version_of(message: Any) -> int:
    """When the resource was last written by a user, in microseconds: what etags and v1 resource versions encode."""
    return int(message.update_time.ToMicroseconds())


def etag(message: Any) -> str:
    """The fingerprint of a service or revision; real ones carry literal quotes too."""
    version = base64.urlsafe_b64encode(version_of(message).to_bytes(8, "big")).decode().rstrip("=")
    name = base64.urlsafe_b64encode(message.name.encode()).decode().rstrip("=")
    return f'"{version}/{name}"'
