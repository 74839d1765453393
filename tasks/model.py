"""The values that cross the walls between rooms: frozen, each made in one place."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from infra.gcp.run.traffic import TrafficTarget
from tasks.failures.cause import Cause
from tasks.manifest.environment import Environment
from tasks.manifest.manifest import Manifest
from tasks.manifest.settings import Beside, Health, JobSettings, Part, PoolSettings, ServiceSettings
from tasks.names import labels, naming, resources

if TYPE_CHECKING:
    from infra.gcp.run.services import RunService  # what checks slipway.yaml alone loads no client of Google's


class VersionKind(StrEnum):
    RELEASE = "release"  # HEAD is on a SemVer tag without a pre-release part
    PRERELEASE = "prerelease"  # HEAD is on a SemVer tag with one
    DEVELOPMENT = "development"  # HEAD is on no SemVer tag


@dataclass(frozen=True, slots=True)
class Version:
    """What git says this commit is called; made by `source.version`."""

    version: str  # v1.4.0, v1.5.0-rc.1 or v1.4.0-dev.g0613260
    kind: VersionKind
    commit: str  # 40 hex digits
    base: str | None  # nearest reachable SemVer tag, None if there is none
    dirty: bool = False  # the work tree differs from the commit
    image_tag: str = ""  # the version as an image tag: letters, digits, '_', '.', '-', at most 128


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """One service in one region; reads "api in europe-west1"."""

    service: str  # as slipway.yaml names it
    region: str
    name: str = ""  # in Cloud Run, where slipway.yaml gives one; '' for `<app>-<service>`

    def __str__(self) -> str:
        return f"{self.service} in {self.region}"

    def run_service(self, project: str, app: str) -> str:
        """The full name of its Cloud Run service."""
        return resources.service(project, self.region, self.name or f"{app}-{self.service}")


@dataclass(frozen=True, slots=True)
class Request:
    """What one run was asked to ship, and where to; made by `request.request`."""

    app: str
    environment: str
    services: tuple[str, ...]  # as the manifest names them, dependencies first
    manifest: Manifest
    settings: Environment
    folder: Path  # the checked-out repository
    scratch: Path  # for the run's own files
    run_id: str
    builds: bool = True  # False: it ships images that are there already, so that the sources do not matter
    images: Mapping[str, str] = field(default_factory=dict)  # these: reference by digest of each service

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

    @property
    def places(self) -> tuple[Place, ...]:
        """Each service in each region of the environment."""
        return tuple(self.place(name, region) for region in self.settings.regions for name in self.services)

    def place(self, service: str, region: str) -> Place:
        """Also of a service that is not shipped along."""
        return Place(service, region, self.manifest.renamed(self.environment, service))

    @property
    def built(self) -> tuple[str, ...]:
        """The services, jobs and pools whose images this run makes of their sources."""
        return tuple(name for name in self.image_names if self.builds and not self.part(name).image)

    def run_service(self, place: Place) -> str:
        """The full name of the Cloud Run service."""
        return place.run_service(self.project, self.app)

    def job(self, name: str) -> JobSettings:
        """The job's settings with the environment's overrides applied."""
        return self.manifest.job_in(self.environment, name)

    @property
    def jobs(self) -> tuple[str, ...]:
        """The jobs that are deployed with these services: those that run their images, or with all of them any."""
        return tuple(name for name, job in self.manifest.jobs.items() if self._goes_along(job))

    def pool(self, name: str) -> PoolSettings:
        """The worker pool's settings with the environment's overrides applied."""
        return self.manifest.pool_in(self.environment, name)

    @property
    def pools(self) -> tuple[str, ...]:
        """The worker pools that are deployed with these services, by the same rule."""
        return tuple(name for name, pool in self.manifest.worker_pools.items() if self._goes_along(pool))

    def _goes_along(self, part: Beside) -> bool:
        whole = set(self.services) >= set(self.manifest.services)
        return whole or self.manifest.image_of(part) in self.services

    @property
    def parts(self) -> tuple[Part, ...]:
        """The settings of its services, jobs and worker pools."""
        return (*map(self.service, self.services), *self.beside)

    @property
    def beside(self) -> tuple[JobSettings | PoolSettings, ...]:
        """Of its jobs and worker pools."""
        return (*map(self.job, self.jobs), *map(self.pool, self.pools))

    def part(self, name: str) -> Part:
        """The settings of the one whose image has this name: a service, or what has an image of its own beside them."""
        if name in self.manifest.services:
            return self.service(name)
        pools = self.manifest.worker_pools
        return self.pool(name) if name in pools and pools[name].has_image else self.job(name)

    @property
    def image_names(self) -> tuple[str, ...]:
        """Of what is shipped: an image for each service, and for each job and pool that has one of its own."""
        return (*self.services, *(part.name for part in self.beside if part.has_image))

    def run_job(self, name: str) -> str:
        """The full name of the Cloud Run job."""
        settings = self.job(name)
        short = naming.job_name(self.app, name, settings.run_name)
        return resources.job(self.project, settings.region or self.build_region, short)

    def run_pool(self, name: str) -> str:
        """The full name of the Cloud Run worker pool."""
        settings = self.pool(name)
        short = naming.pool_name(self.app, name, settings.run_name)
        return resources.worker_pool(self.project, settings.region or self.build_region, short)

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
    key: tuple[str, ...] = ()  # of slipway.yaml, where it is about what one says


@dataclass(frozen=True, slots=True)
class Readiness:
    """All that preflight found; made by `preflight.preflight`."""

    problems: tuple[Problem, ...] = ()
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """A built image; made by `builds.build`. What is deployed is the digest, the tag is for people."""

    service: str
    uri: str  # europe-west1-docker.pkg.dev/acme-prod/storefront/api
    digest: str  # sha256:…
    tag: str
    built: bool = True  # False when an earlier run had built the same content
    build_id: str = ""
    source: str = ""  # gs://…: the archive that it was built of; '' for one that is built elsewhere

    @property
    def reference(self) -> str:
        return f"{self.uri}@{self.digest}"


class Verdict(StrEnum):
    """UNHEALTHY beats INCONCLUSIVE beats HEALTHY; no data is INCONCLUSIVE, never healthy."""

    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    INCONCLUSIVE = "INCONCLUSIVE"


class Outcome(StrEnum):
    """What became of one service in one region in a release; the words of its record."""

    PLANNED = "planned"
    DARK = "dark"  # its revision is there and has no traffic
    LIVE = "live"
    UNTOUCHED = "untouched"  # these and the following after a failure: it never had traffic
    TAKEN_BACK = "taken back"
    LEFT = "left"  # somebody else has moved its traffic since
    ESCALATED = "escalated"  # what to go back to is bad too: traffic stays where it is
    FAILED = "failed"  # its traffic could not be given back
    GIVING_BACK = "being given back"  # what a run was at when it ended: how far it came is not known


@dataclass(frozen=True, slots=True)
class Ending:
    """How a release that did not come about ended in one place."""

    place: Place
    outcome: Outcome
    said: str  # more about it, for people
    at_s: float = field(default_factory=time.monotonic, compare=False)  # when that was so, on the monotonic clock

    def __str__(self) -> str:
        return f"{self.place}: {self.outcome}, {self.said}"


class Override(BaseModel):
    """A person's decision against a safeguard; it goes into the release record."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    who: str = Field(min_length=2, max_length=100, description="Your name or e-mail.")
    why: str = Field(min_length=5, max_length=1000, description="Why the safeguard does not hold this time.")

    def __str__(self) -> str:
        return f"{self.who}: {self.why}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A service's traffic before the first write: what a failed release goes back to; made by `rollout.live`."""

    place: Place
    traffic: tuple[TrafficTarget, ...]
    latest_ready: str  # the revision that a target on LATEST meant
    serving: str  # the revision with most traffic, '' when only the placeholder serves
    serving_url: str = ""  # its own URL, '' when it has no tag
    serving_tag: str = ""
    health: Health | None = None  # what that revision was proven by, None if no release of ours has proven it
    callers: Mapping[str, bool] | None = None  # whether a release of ours let each in; None: not known who may call
    config: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)  # the service's template
    said: frozenset[str] = field(default=frozenset(), repr=False, compare=False)  # of it by an earlier Slipway
    stands_for: str = ""  # the revision that the template is of
    service: RunService | None = field(default=None, repr=False, compare=False)
    whole: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)  # what is set of the service
    previous: str = ""  # the revision that served before `serving`, as far as our records tell

    @property
    def followed(self) -> int:
        """Percent that went to the newest revision, whichever that is, while that was the template's."""
        return sum(t.percent for t in self.traffic if t.revision is None and self.stands_for == self.latest_ready)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A ready revision that holds no traffic yet; made by `rollout.dark`, or by `release.rollback` if it is back."""

    revision: str
    tag: str
    url: str  # the tag's URL, as Cloud Run reports it
    service_url: str
    before: Snapshot
    split: tuple[TrafficTarget, ...]  # the traffic that was written with it
    health: Health  # what it is proven by: its own version's, or what it was released with
    created: bool = True  # False when the revision already existed
    public: bool | None = None  # whether everybody is to be let in once it is proven; None: as it is
    invokers: frozenset[str] | None = None  # who else is
    template: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)  # as it was written
    whole: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)  # of the service, as it is to be
    unsent: frozenset[str] = frozenset()  # callers and fields of `whole` that its release has not come to set

    @property
    def place(self) -> Place:
        return self.before.place


@dataclass(frozen=True, slots=True)
class Proof:
    """The verdict on one candidate and what it rests on; made by `analysis.proof`."""

    place: Place
    verdict: Verdict
    reason: str
    attempts: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    evidence: tuple[str, ...] = ()
    status: int | None = None  # of its last answer; None where there was none
    said: str = ""  # what its container wrote last, where it is not healthy


@dataclass(frozen=True, slots=True)
class Serving:
    """One service that serves the release in one region; made by `rollout.traffic`."""

    place: Place
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
    live: tuple[Serving, ...] = ()
