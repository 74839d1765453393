"""The values that travel between tasks: frozen, each made by exactly one task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.failures.errors import Cause
from tasks.names import labels, resources

if TYPE_CHECKING:
    from infra.gcp.run.services import TrafficTarget
    from tasks.manifest.manifest import Manifest
    from tasks.manifest.settings import Environment, ServiceSettings
    from tasks.rollout.split import Target


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
class Request:
    """What one run was asked to ship, and where to; made by `tasks.request`."""

    app: str
    environment: str
    services: tuple[str, ...]  # as the manifest names them, dependencies first
    manifest: Manifest
    settings: Environment
    folder: Path  # the checked-out repository
    scratch: Path  # for the run's own files
    run_id: str

    @property
    def project(self) -> str:
        return self.settings.project

    @property
    def build_region(self) -> str:
        """Where images are built and kept: the first region of the environment."""
        return self.settings.regions[0]

    def service(self, name: str) -> ServiceSettings:
        """The service's settings with the environment's overrides applied."""
        return self.manifest.service_in(self.environment, name)

    def run_service(self, name: str, region: str) -> str:
        """The full name of the Cloud Run service."""
        return resources.service(self.project, region, f"{self.app}-{name}")

    @property
    def labels(self) -> dict[str, str]:
        """What marks the resources of this app and environment."""
        return labels.labels(self.app, self.environment)


class Missing(StrEnum):
    """What may be created when it is not there."""

    API = "api"
    REPOSITORY = "repository"
    BUCKET = "bucket"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that is missing and safe to create."""

    kind: Missing
    name: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason not to start, with the command that removes it."""

    check: str
    cause: Cause
    problem: str
    fix: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Readiness:
    """All that preflight found; made by `tasks.preflight`."""

    problems: tuple[Problem, ...] = ()
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()


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
class Snapshot:
    """A service's traffic before the first write: what a failed release goes back to; made by `tasks.rollout`."""

    service: str
    region: str
    traffic: tuple[TrafficTarget, ...]
    latest_ready: str  # the revision that a target on LATEST meant
    serving: str  # the revision with most traffic, '' when only the placeholder serves
    serving_url: str = ""  # its own URL, '' when it has no tag
    config: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)  # the service's template


@dataclass(frozen=True, slots=True)
class Candidate:
    """A ready revision that holds no traffic yet; made by `tasks.rollout`."""

    service: str
    region: str
    revision: str
    tag: str
    url: str  # the tag's URL, as Cloud Run reports it
    service_url: str
    before: Snapshot
    split: tuple[Target, ...]  # the traffic that was written with it
    created: bool = True  # False when the revision already existed
    template: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)  # as it was written


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


@dataclass(frozen=True, slots=True)
class Live:
    """One service that serves the release; made by `tasks.traffic`."""

    service: str
    region: str
    revision: str
    url: str


@dataclass(frozen=True, slots=True)
class Release:
    """The outcome of a run."""

    app: str
    environment: str
    version: Version
    images: tuple[Image, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    proofs: tuple[Proof, ...] = ()
    live: tuple[Live, ...] = ()
