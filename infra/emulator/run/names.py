"""Names of Cloud Run's resources, and the names and fingerprints that Run makes up itself."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from typing import Any

SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # no vowels: a generated name spells no word


@dataclass(frozen=True, slots=True)
class ServiceName:
    """projects/{project}/locations/{location}/services/{id}"""

    project: str
    location: str
    id: str

    @classmethod
    def parse(cls, name: str) -> ServiceName:
        """`name` may be a service's or one of its revisions'."""
        _, project, _, location, _, service, *_ = name.split("/")
        return cls(project, location, service)

    @property
    def parent(self) -> str:
        return f"projects/{self.project}/locations/{self.location}"

    def revision(self, name: str) -> str:
        """The full name of a revision given by its short or its full name."""
        return f"{self}/revisions/{short(name)}"

    def __str__(self) -> str:
        return f"{self.parent}/services/{self.id}"


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
