"""What is known of a release, as its record keeps it, and what a history of such records tells. Pure.

A record is the only thing that says what a release meant to do and how far it came; Prefect's database is a view.
A record that an earlier version of Slipway wrote can be read for ever: fields get defaults, and keep their names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, field_validator, model_validator

from infra.gcp.run.members import EVERYONE
from tasks.history.backup_record import BackupRecord
from tasks.history.early import of_today
from tasks.history.job_record import JobRecord
from tasks.history.masking import masked
from tasks.history.pool_record import PoolRecord
from tasks.history.scan_record import ScanRecord
from tasks.history.step_record import HookRecord, StepRecord
from tasks.manifest.settings import Health
from tasks.manifest.silence import silenced
from tasks.model import (
    Candidate,
    Ending,
    Image,
    Outcome,
    Override,
    Place,
    Proof,
    Snapshot,
    Verdict,
    Version,
    VersionKind,
)
from tasks.names.naming import image_tag
from tasks.names.references import ImageReference

_APPROVAL = re.compile(r"(?P<who>.+?): (?P<decision>go|no-go)(?:, (?P<reason>.*))?", re.DOTALL)
_OVERRIDE = re.compile(r"(?P<who>.{2,100}?): (?P<why>.{5,1000})", re.DOTALL)
_NO_REASON = "no reason given"


class State(StrEnum):
    STARTED = "started"  # under way, or its process is gone: see reconcile
    RELEASED = "released"  # serves, and was seen healthy
    FAILED = "failed"  # never took traffic, or gave it all back
    CANCELLED = "cancelled"  # a person stopped it; traffic is as it was


# A template without values of variables, also where an earlier version of Slipway has kept them.
Masked = Annotated[dict[str, Any], AfterValidator(masked)]
Silenced = Annotated[dict[str, Any], AfterValidator(silenced)]
Action = Literal["deploy", "promote", "rollback", "refresh"]


class _Frozen(BaseModel):
    """Everything of the record is frozen; a change makes a new one."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Approval(_Frozen):
    """A person's answer to whether a release may go on."""

    who: str
    decision: Literal["go", "no-go"]
    reason: str = ""
    when: datetime | None = None  # UTC; None in records that did not keep it yet


class TargetRecord(_Frozen):
    """One service in one region."""

    service: str
    region: str
    name: str = ""  # in Cloud Run; '' for <app>-<service>, as in records that did not keep it yet
    revision: str = ""
    image: str = ""  # by digest
    before: tuple[tuple[str, int], ...] = ()  # revision, percent: what it goes back to
    stands_for: str = ""  # the revision that the service's template was of before; '' where that was not kept yet
    followed: int = 0  # percent of that revision's share which was for the newest revision, whichever that is
    serving: str = ""  # the revision that served most before, '' if none of ours did
    verdict: Verdict | None = None
    reason: str = ""
    p50_ms: float | None = None
    p95_ms: float | None = None
    config: Masked = {}  # the service's template before the release
    template: Masked = {}  # of the revision, as it was written: what drift is measured against
    whole: dict[str, Any] | None = None  # ingress, scaling, labels … of the service; None where that was not kept yet
    was_whole: dict[str, Any] | None = None  # the same before the release
    outcome: Outcome = Outcome.PLANNED
    said: str = ""  # more about the outcome, after a failure
    health: dict[str, Any] = {}  # what the revision was proven by; empty in records that did not keep it yet
    serving_health: dict[str, Any] = {}  # and what served before; empty where no release of ours had proven that
    public: bool | None = None  # whether everybody may call the service after it; None in records of earlier versions
    was_public: bool | None = None  # before; None where that is not known
    was_opened: bool = False  # by an earlier release
    invokers: tuple[str, ...] | None = None  # who else was let in by it; None in records of earlier versions
    was_invokers: tuple[str, ...] = ()  # whom of them, and of the following, the service's policy had before
    was_let_in: tuple[str, ...] = ()  # by an earlier release

    @property
    def is_owed(self) -> bool:
        """Whether it still has to be given back."""
        return self.outcome in (Outcome.FAILED, Outcome.GIVING_BACK)

    @property
    def proven_by(self) -> Health | None:
        return health_of(self.health)

    @property
    def place(self) -> Place:
        return Place(self.service, self.region, self.name)


@dataclass(frozen=True, slots=True)
class Intent:
    """What a release sets out to do; its record begins with it."""

    version: Version
    action: Action = "deploy"
    places: Sequence[Place] = ()  # where it is to go; without any, to all that the request names
    images: Mapping[str, str] = field(default_factory=dict)  # service -> image reference by digest
    sources: Mapping[str, str] = field(default_factory=dict)  # service -> what its image was built of, as far as known
    origin: str = ""  # the environment that a promotion comes from
    left: str = ""  # the version that a rollback turns away from
    irreversible: bool = False
    override: Override | None = None


Beside = JobRecord | PoolRecord  # what is released with the services


class ReleaseRecord(_Frozen):
    """One release; times are UTC."""

    app: str
    environment: str
    version: str
    kind: str
    commit: str
    run_id: str
    trigger: str = ""
    started: datetime
    finished: datetime | None = None
    state: State = State.STARTED
    reason: str = ""
    action: str = "deploy"  # an Action; one of another version of Slipway can be read too
    left: str = ""  # the version that a rollback turned away from
    origin: str = ""  # the environment that a promotion came from
    approval: Approval | None = None
    override: Override | None = None
    irreversible: bool = False  # declares a migration that earlier versions cannot live with
    images: dict[str, str] = {}  # service -> image reference by digest
    sources: dict[str, str] = {}  # service -> gs://…: what its image was built of; not of images built elsewhere
    targets: tuple[TargetRecord, ...] = ()
    jobs: tuple[JobRecord, ...] = ()
    pools: tuple[PoolRecord, ...] = ()
    steps: tuple[StepRecord, ...] = ()  # of a canary, in the order in which they were judged
    hooks: tuple[HookRecord, ...] = ()  # that have succeeded, in their order
    scans: tuple[ScanRecord, ...] = ()  # of its images; none where nobody asked for them
    audits: tuple[ScanRecord, ...] = ()  # of its lock files, by their paths; none where nobody asked for them
    backup: BackupRecord | None = None  # what was kept before it; None where nobody asked for that
    seconds: dict[str, float] = {}  # that stages took, and from a decision until traffic was restored
    moved: datetime | None = None  # when traffic was about to move first; None where none was, or that was not kept yet
    cause: str = ""  # a Cause, of what has failed; '' in records that did not keep it yet
    commits: dict[str, datetime] = {}  # the newest of the version, by 12 digits of their ids: when each was made
    manifest: Silenced | None = None  # slipway.yaml without values of variables: what a rollback needs of it
    _of_today = model_validator(mode="before")(of_today)

    @property
    def is_open(self) -> bool:
        """Under way, or somebody still has to do for it what it could not: reconcile goes on until it is done."""
        owed = any(target.is_owed for target in self.targets) and self.state is not State.RELEASED
        return self.state is State.STARTED or owed or any(each.is_owed for each in self.beside)

    @property
    def beside(self) -> tuple[Beside, ...]:
        """What is released with the services."""
        return (*self.jobs, *self.pools)

    @field_validator("approval", mode="before")
    @classmethod
    def _approval_in_words(cls, value: object) -> object:
        """Earlier records say it in one line: "Ada: go, the numbers are good"."""
        if not isinstance(value, str):
            return value
        found = _APPROVAL.fullmatch(value)
        if found is None:
            return {"who": value, "decision": "go"} if value else None
        return {**found.groupdict(), "reason": (found["reason"] or "").replace(_NO_REASON, "")}

    @field_validator("override", mode="before")
    @classmethod
    def _override_in_words(cls, value: object) -> object:
        """Earlier records say it in one line: "Ada: the shop is down"."""
        if not isinstance(value, str):
            return value
        found = _OVERRIDE.fullmatch(value)
        if found is None:
            return Override.model_construct(who=value, why="") if value else None
        return found.groupdict()


def health_of(kept: Mapping[str, Any]) -> Health | None:
    """As it was kept, unchecked: what a revision was proven by stays so, whatever slipway.yaml may say nowadays."""
    if not kept:
        return None
    return Health.model_construct(**{**kept, "status": tuple(kept.get("status", Health().status))})


def kept_health(health: Health | None) -> dict[str, Any]:
    return health.model_dump(mode="json") if health else {}


def planned(places: Iterable[Place]) -> tuple[TargetRecord, ...]:
    """Where a release is to go."""
    return tuple(TargetRecord(service=place.service, region=place.region, name=place.name) for place in places)


def with_snapshot(target: TargetRecord, before: Snapshot | None) -> TargetRecord:
    if before is None:
        return target
    shares = tuple((t.revision or before.latest_ready, t.percent) for t in before.traffic if t.percent)
    changes = {
        "before": shares,
        "stands_for": before.stands_for,
        "followed": before.followed,
        "serving": before.serving,
        "config": masked(before.config),
        "serving_health": kept_health(before.health),
        "was_public": None if before.callers is None else EVERYONE in before.callers,
        "was_opened": EVERYONE in let_in(before),
        "was_let_in": tuple(sorted(let_in(before) - {EVERYONE})),
        "was_invokers": tuple(
            sorted((before.callers or {}).keys() & {*(target.invokers or ()), *(let_in(before) - {EVERYONE})})
        ),
        "was_whole": dict(before.whole) or None,
    }
    return target.model_copy(update=changes)


def let_in(before: Snapshot) -> frozenset[str]:
    """Who of those who may call was let in by a release of ours."""
    return frozenset(who for who, ours in (before.callers or {}).items() if ours)


def with_candidate(target: TargetRecord, new: Candidate | None, images: Mapping[str, str]) -> TargetRecord:
    """images: reference by digest of each service."""
    if new is None:
        return target
    changes = {
        "revision": new.revision,
        "image": images.get(target.service, ""),
        "template": masked(new.template),
        "whole": dict(new.whole) or None,
        "health": kept_health(new.health),
        "public": new.public,
        "invokers": None if new.invokers is None else tuple(sorted(new.invokers)),
        "outcome": Outcome.DARK,
    }
    return with_snapshot(target.model_copy(update=changes), new.before)


def with_proof(target: TargetRecord, proof: Proof | None) -> TargetRecord:
    if proof is None:
        return target
    changes = {"verdict": proof.verdict, "reason": proof.reason, "p50_ms": proof.p50_ms, "p95_ms": proof.p95_ms}
    return target.model_copy(update=changes)


def with_live(target: TargetRecord) -> TargetRecord:
    return target.model_copy(update={"outcome": Outcome.LIVE})


def with_ending(target: TargetRecord, ending: Ending | None) -> TargetRecord:
    """As it ended after a failure; where nothing was deployed yet, nothing was touched."""
    if ending is not None:
        return target.model_copy(update={"outcome": ending.outcome, "said": ending.said})
    return target.model_copy(update={"outcome": Outcome.UNTOUCHED}) if target.outcome is Outcome.PLANNED else target


def with_beside(release: ReleaseRecord, known: Iterable[Beside]) -> ReleaseRecord:
    """The release with these in the place of its jobs and pools of the same names."""
    jobs, pools = {each.job: each for each in release.jobs}, {each.pool: each for each in release.pools}
    for each in known:
        if isinstance(each, JobRecord):
            jobs[each.job] = each
        else:
            pools[each.pool] = each
    return release.model_copy(update={"jobs": tuple(jobs.values()), "pools": tuple(pools.values())})


def good(history: Sequence[ReleaseRecord]) -> list[ReleaseRecord]:
    """Releases that served and were seen healthy, newest first, each version once.

    A version that somebody rolled back from is not good any more, unless it was released again after that.
    """
    seen: dict[str, ReleaseRecord] = {}
    left: set[str] = set()
    for release in history:
        if release.state is not State.RELEASED:
            continue
        left |= {release.left} - {release.version, *seen}
        if release.version not in left:
            seen.setdefault(release.version, release)
    return list(seen.values())


def irreversible_since(history: Sequence[ReleaseRecord], release: ReleaseRecord) -> ReleaseRecord | None:
    """What keeps from going back to a release: a newer one of another version that may have migrated data for good.

    One that failed counts, too: its hooks may have run by then.
    """
    newer = (each for each in history if each.started > release.started and each.version != release.version)
    return next((each for each in newer if each.irreversible), None)


def seen_healthy(history: Sequence[ReleaseRecord], place: Place, besides: Collection[str]) -> TargetRecord | None:
    """With which the newest good release served there; None if there is none but `besides` to go back to."""
    usable = (release for release in good(history) if not irreversible_since(history, release))
    targets = (target for release in usable for target in release.targets if target.place == place)
    return next((target for target in targets if target.revision and target.revision not in besides), None)


def target_of(history: Iterable[ReleaseRecord], place: Place, revision: str) -> TargetRecord | None:
    """What the newest release that had this revision there says of it; `history` is newest first."""
    targets = (target for release in history for target in release.targets if target.place == place)
    return next((target for target in targets if revision and target.revision == revision), None)


def version_of(record: ReleaseRecord) -> Version:
    return Version(
        record.version, VersionKind(record.kind), record.commit, record.version, image_tag=image_tag(record.version)
    )


def images_of(record: ReleaseRecord, version: Version) -> tuple[Image, ...]:
    """The recorded images, to be used again as they are."""
    images = {service: ImageReference.parse(reference) for service, reference in record.images.items()}
    return tuple(
        Image(service, image.uri, image.digest, version.image_tag, built=False, source=record.sources.get(service, ""))
        for service, image in images.items()
    )
