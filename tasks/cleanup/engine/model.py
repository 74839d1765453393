"""The values of clean-up: what there is, what is used, what may go, and what was done about it.

The engine knows no kind of resource by name: what it has to know of one are its `Traits`, which the world brings along.
Saved plans and journals hold these values as JSON: a field or a word that changes its name makes them unreadable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType, TypeAlias

from pydantic import AwareDatetime

DAY_S = 86400.0


Kind = NewType("Kind", str)  # in the singular, as people read it: "service account"
Action = NewType("Action", str)
DELETE = Action("delete")


@dataclass(frozen=True, slots=True)
class Traits:
    """What is to be known of a kind before anything of it is judged."""

    standing: bool = False  # slipway.yaml defines it, runs do not make it anew: when unused it is an orphan, at any age
    first: Action = DELETE  # the reversible step that comes before the delete, if there is one
    settle_s: float = 0.0  # how long that step has to have held
    replaceable: bool = False  # a mistaken delete costs next to nothing: the cap of percent does not hold for it


@dataclass(frozen=True, slots=True)
class Item:
    """One resource, as an API has just described it."""

    kind: Kind
    name: str  # full resource name, unique in the world
    group: str  # keep-N counts within it: service and environment, "api/production"
    owner: str | None  # the app whose labels it carries; None when it carries no app's
    uploaded: AwareDatetime | None = None  # when the server got it; where no API tells, when clean-up first saw it
    created: AwareDatetime | None = None  # what it says of itself: reproducible builds date from 1980
    digest: str = ""  # of an image: what needs it names it by this
    needs: tuple[str, ...] = ()  # keys it cannot do without: a revision its image, an index its children
    subject: str = ""  # key of what it describes (signature, SBOM, attestation): it stays and goes with that
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    etag: str = ""  # or generation
    size_bytes: int = 0
    locked: str = ""  # why Google would refuse the delete: immutable tags, a retention policy
    prepared: AwareDatetime | None = None  # since when the kind's reversible first step has held

    @property
    def key(self) -> str:
        """What others refer to it by.

        For an image the digest alone: gcr.io and virtual repositories serve one image under several names, so what is
        used under one of them is used under all.
        """
        return self.digest or self.name


@dataclass(frozen=True, slots=True)
class Use:
    """Somebody who needs something: a service's traffic or tags, a release one can go back to, a job, slipway.yaml.

    `needs` are keys that the listings have to contain; images of registries that are not listed are left out.
    """

    by: str  # reads after "in use by": "api in europe-west1: 100 % of the traffic"
    needs: tuple[str, ...]
    live: bool = True  # used at this moment, not only by a rollback


@dataclass(frozen=True, slots=True)
class Listing:
    """How an API answered when it was asked for one sort of thing in one place."""

    source: str  # "Cloud Run revisions in acme-prod, europe-west1"
    read: AwareDatetime
    count: int
    complete: bool = True  # every page was read
    error: str = ""
    floor: int = 0  # fewer than this cannot be true: the history, or the run before, knows better

    @property
    def doubt(self) -> str:
        """Why the answer cannot be believed, however fresh it is; '' when nothing speaks against it."""
        if self.error:
            return f"{self.source} could not be listed: {self.error}"
        if not self.complete:
            return f"{self.source} was listed in part only ({self.count} items)."
        if self.count < self.floor:
            return f"{self.source} has {self.count} items, at least {self.floor} are known to exist."
        return ""


@dataclass(frozen=True, slots=True)
class World:
    """All that a plan rests on."""

    items: tuple[Item, ...]
    uses: tuple[Use, ...]
    listings: tuple[Listing, ...]
    required: tuple[str, ...] = ()  # sources that must have been asked: every API in every region and environment
    gone: frozenset[str] = frozenset()  # keys that a read of their own, apart from any listing, answered with not found
    kinds: Mapping[Kind, Traits] = field(default_factory=dict)  # of every item's kind


class Foreign(StrEnum):
    """What to do with what the app does not define."""

    REPORT = "report"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """How long one kind is kept. All of it has to allow a delete."""

    keep: int = 10  # the newest of each group stay whatever their age
    max_age_s: float | None = 90 * DAY_S  # what is younger stays; None: age alone keeps nothing
    min_age_s: float = DAY_S  # what is younger stays, standing and foreign things as well
    foreign: Foreign = Foreign.REPORT
    max_percent: float = (
        20.0  # of the kind's items that are ours to judge; more wait for a later run, one may always go
    )


@dataclass(frozen=True, slots=True)
class Policy:
    """What the app's owner wants. A kind without a rule is never deleted."""

    app: str
    now: AwareDatetime
    rules: Mapping[Kind, RetentionRule]
    protect: tuple[str, ...] = ()  # globs over name, digest, tags and labels ("key=value")
    max_items: int = 50  # of all kinds together; more wait for a later run
    max_listing_age_s: float = 3600.0
    min_live: int = 1  # fewer live uses than this in the whole world are not believed


class Why(StrEnum):
    """Why something stays; the first that holds, in this order."""

    ANOTHER_APP = "belongs to another app"
    IN_USE = "in use"
    PROTECTED = "protected"
    NO_RULE = "no rule for its kind"
    FOREIGN = "only reported"
    AGE_UNKNOWN = "age unknown"
    TOO_YOUNG = "too young"
    NEWEST = "among the newest"
    SUBJECT_UNKNOWN = "its subject is not listed"
    MANAGED = "managed by something else"
    LOCKED = "cannot be deleted"
    SETTLING = "first step not old enough"
    NEEDED = "needed by what stays"


@dataclass(frozen=True, slots=True)
class Kept:
    kind: Kind
    name: str
    why: Why
    detail: str


@dataclass(frozen=True, slots=True)
class CleanupStep:
    """One thing to do; `item` is what it was when that was decided."""

    action: Action
    item: Item
    why: str


class ReportKind(StrEnum):
    FOREIGN = "foreign"  # carries no app's labels
    ORPHAN = "orphan"  # ours by its labels, but slipway.yaml does not know it
    MISSING = "missing"  # something needs it and it is gone: a rollback to it will fail


@dataclass(frozen=True, slots=True)
class Report:
    finding: ReportKind
    name: str
    detail: str
    kind: Kind | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in this order. Refused as a whole or not at all: with `refusals` there are no `steps`.

    What exceeds the caps is `withheld`: a later run takes it, or one that a person starts with this plan's name.
    """

    app: str
    made: AwareDatetime
    steps: tuple[CleanupStep, ...] = ()
    kept: tuple[Kept, ...] = ()
    reports: tuple[Report, ...] = ()
    refusals: tuple[str, ...] = ()
    withheld: tuple[CleanupStep, ...] = ()  # what comes after the steps, had a cap not stopped it
    caps: tuple[str, ...] = ()  # which caps did, in words

    @property
    def freed_bytes(self) -> int:
        """At most: images share layers."""
        return sum(step.item.size_bytes for step in self.steps if step.action == DELETE)


class CleanupOutcome(StrEnum):
    DONE = "done"
    ALREADY_GONE = "already gone"
    FAILED = "failed"  # it is still there, and the next run tries again
    SKIPPED = "skipped"  # it no longer qualified when its turn came


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal."""

    kind: Kind
    name: str
    action: Action
    outcome: CleanupOutcome
    why: str
    at: AwareDatetime


@dataclass(frozen=True, slots=True)
class Go:
    """Nothing speaks against it: act now."""


@dataclass(frozen=True, slots=True)
class Skip:
    outcome: CleanupOutcome
    reason: str


Recheck: TypeAlias = Go | Skip
