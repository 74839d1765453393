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
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator

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
    revision: str = ""
    image: str = ""  # by digest
    before: tuple[tuple[str, int], ...] = ()  # revision, percent: what it goes back to
    serving: str = ""  # the revision that served most before, '' if none of ours did
    verdict: Verdict | None = None
    reason: str = ""
    p50_ms: float | None = None
    p95_ms: float | None = None
    config: dict[str, Any] = {}  # the service's template before the release
    template: dict[str, Any] = {}  # of the revision, as it was written: what drift is measured against
    outcome: Outcome = Outcome.PLANNED
    said: str = ""  # more about the outcome, after a failure

    @property
    def place(self) -> Place:
        return Place(self.service, self.region)


class StepRecord(_Frozen):
    """What was found while the candidates had a part of the traffic; times are UTC."""

    percent: int
    regions: tuple[str, ...]
    began: datetime
    ended: datetime
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class Intent:
    """What a release sets out to do; its record begins with it."""

    version: Version
    action: Action = "deploy"
    places: Sequence[Place] = ()  # where it is to go; without any, to all that the request names
    images: Mapping[str, str] = field(default_factory=dict)  # service -> image reference by digest
    origin: str = ""  # the environment that a promotion comes from
    left: str = ""  # the version that a rollback turns away from
    irreversible: bool = False
    override: Override | None = None


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
    targets: tuple[TargetRecord, ...] = ()
    steps: tuple[StepRecord, ...] = ()  # of a canary, in the order in which they were judged
    seconds: dict[str, float] = {}

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


def planned(places: Iterable[Place]) -> tuple[TargetRecord, ...]:
    """Where a release is to go."""
    return tuple(TargetRecord(service=place.service, region=place.region) for place in places)


def with_snapshot(target: TargetRecord, before: Snapshot | None) -> TargetRecord:
    if before is None:
        return target
    shares = tuple((t.revision or before.latest_ready, t.percent) for t in before.traffic if t.percent)
    return target.model_copy(update={"before": shares, "serving": before.serving, "config": dict(before.config)})


def with_candidate(target: TargetRecord, new: Candidate | None, images: Mapping[str, str]) -> TargetRecord:
    """images: reference by digest of each service."""
    if new is None:
        return target
    changes = {
        "revision": new.revision,
        "image": images.get(target.service, ""),
        "template": dict(new.template),
        "outcome": Outcome.DARK,
    }
    return with_snapshot(target, new.before).model_copy(update=changes)


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


def good(history: Sequence[ReleaseRecord]) -> list[ReleaseRecord]:
    """Releases that served and were seen healthy, newest first, each version once.

    A version that somebody rolled back from is not good any more, unless it was released again after that.
    """
    seen: dict[str, ReleaseRecord] = {}
    left: set[str] = set()
    for release in history:
        if release.state is not State.RELEASED:
            continue
        left |= {release.left} - set(seen)
        if release.version not in left:
            seen.setdefault(release.version, release)
    return list(seen.values())


def irreversible_since(history: Sequence[ReleaseRecord], release: ReleaseRecord) -> ReleaseRecord | None:
    """What keeps from going back to a release: a newer one of another version that may have migrated data for good.

    One that failed counts, too: its hooks may have run by then.
    """
    newer = (each for each in history if each.started > release.started and each.version != release.version)
    return next((each for each in newer if each.irreversible), None)


def seen_healthy(history: Sequence[ReleaseRecord], place: Place, besides: Collection[str]) -> str:
    """The revision with which the newest good release served there; '' if there is none but `besides` to go back to."""
    usable = (release for release in good(history) if not irreversible_since(history, release))
    revisions = (target.revision for release in usable for target in release.targets if target.place == place)
    return next((revision for revision in revisions if revision and revision not in besides), "")


def version_of(record: ReleaseRecord) -> Version:
    return Version(
        record.version, VersionKind(record.kind), record.commit, record.version, image_tag=image_tag(record.version)
    )


def images_of(record: ReleaseRecord, version: Version) -> tuple[Image, ...]:
    """The recorded images, to be used again as they are."""
    images = {service: ImageReference.parse(reference) for service, reference in record.images.items()}
    return tuple(
        Image(service, image.uri, image.digest, version.image_tag, built=False) for service, image in images.items()
    )
