"""The values that travel between tasks: frozen, each made by exactly one task."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class VersionKind(StrEnum):
    RELEASE = "release"  # HEAD is on a SemVer tag without a pre-release part
    PRERELEASE = "prerelease"  # HEAD is on a SemVer tag with one
    DEVELOPMENT = "development"  # HEAD is on no SemVer tag


@dataclass(frozen=True, slots=True)
class Version:
    """What git says this commit is called; made by `tasks.version`."""

    version: str  # v1.4.0, v1.5.0-rc.1 or v1.4.0-dev.g0613260
    kind: VersionKind
    commit: str  # 40 hex digits
    base: str | None  # nearest reachable SemVer tag, None if there is none
    dirty: bool = False  # the work tree differs from the commit
    image_tag: str = ""  # the version as an image tag: letters, digits, '_', '.', '-', at most 128


@dataclass(frozen=True, slots=True)
class Image:
    """A built image; made by `tasks.build`. What is deployed is the digest, the tag is for people."""

    service: str
    uri: str  # europe-west1-docker.pkg.dev/acme-prod/storefront/api
    digest: str  # sha256:…
    tag: str
    built: bool = True  # False when an earlier run had built the same content
    build_id: str = ""

    @property
    def reference(self) -> str:
        return f"{self.uri}@{self.digest}"


class Verdict(StrEnum):
    """UNHEALTHY beats INCONCLUSIVE beats HEALTHY; no data is INCONCLUSIVE, never healthy."""

    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A ready revision that holds no traffic; made by `tasks.rollout`."""

    service: str
    region: str
    revision: str
    tag: str
    url: str  # the tag's URL, as Cloud Run reports it
    service_url: str
    created: bool = True  # False when the revision already existed
    first: bool = False  # no release was live before


@dataclass(frozen=True, slots=True)
class Proof:
    """The verdict on one candidate and what it rests on; made by `tasks.health`."""

    service: str
    region: str
    verdict: Verdict
    reason: str
    attempts: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    evidence: tuple[str, ...] = ()
