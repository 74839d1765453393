"""What a history of releases tells in figures: how often, how fast, how well. Pure.

Every figure is of one environment and one span of time, and comes from the release records alone. `MEANINGS` is how
each is defined; docs/how-to/measure-releases.md shows a history that is worked out by hand.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tasks.failures.cause import Cause
from tasks.history.record import ReleaseRecord, State
from tasks.model import Outcome
from tasks.source.commits import PLENTY

DAY_S = 24 * 3600.0
OBJECTIVE = 0.995  # of releases that succeed
CHANGES = ("deploy", "promote", "refresh")  # a rollback changes nothing that users had not before
HAD_TRAFFIC = frozenset({Outcome.LIVE, Outcome.TAKEN_BACK, Outcome.LEFT, Outcome.ESCALATED})
NOT_STAGES = frozenset({"restored", "verified", "taken back"})  # seconds of a record from a decision on

MEANINGS = {
    "releases": "deploys and promotions that ended, without those that a person cancelled",
    "success rate": "released / (released + failed)",
    "error budget left": "failures that the objective still allows among as many releases; below 0 it is missed",
    "cancelled": "stopped by a person; they count neither way",
    "permission failures": "failed because an account lacks a permission",
    "taken back": "had traffic and gave it back: after a verdict, an error, or as a person cancelled them",
    "rollbacks": "a person went back to an earlier release",
    "seconds to roll back": "from the start of the run until traffic was restored",
    "seconds to take back": "from the decision until traffic was restored",
    "duration": "seconds from the record's first line to its last, of those released",
    "deployment frequency": "DORA: released deploys and promotions a day; rollbacks do not count",
    "lead time": "DORA: median from a commit to the release that first had it, over all commits since the one before",
    "change failure rate": "DORA: taken back, or left by a rollback / all that had traffic",
    "time to restore": "DORA: median from the first traffic to a bad version until traffic was restored",
}


@dataclass(frozen=True, slots=True)
class Spread:
    """Seconds; each of the two is one that was measured (nearest rank)."""

    count: int
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Dora:
    """The four key figures; None where nothing was there to measure."""

    per_day: float
    lead_time_s: float | None
    change_failure_rate: float | None
    restore_s: float | None


@dataclass(frozen=True, slots=True)
class Budget:
    """Failures that the objective allows among as many releases, and how many there were."""

    objective: float
    allowed: float
    spent: int

    @property
    def left(self) -> float:
        return self.allowed - self.spent


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one environment; its fields are those of `slipway figures --json`."""

    environment: str
    since: datetime
    until: datetime
    released: int
    failed: int
    cancelled: int
    under_way: int
    success_rate: float | None
    budget: Budget
    causes: Mapping[str, int]  # of those that failed, as far as records say
    taken_back: int
    rollbacks: int
    rollback_s: Spread | None
    take_back_s: Spread | None
    duration_s: Spread | None
    stages_s: Mapping[str, Spread] = field(default_factory=dict)
    latency_p95_ms: Mapping[str, float] = field(default_factory=dict)  # by service, as the newest release was proven
    dora: Dora = Dora(0.0, None, None, None)


def figures(
    environment: str,
    history: Sequence[ReleaseRecord],
    since: datetime,
    until: datetime,
    objective: float = OBJECTIVE,
) -> Figures:
    """Of the releases that began in the span; `history` is newest first and may hold more on both sides of it."""
    within = [each for each in history if since <= each.started < until]
    changes = [each for each in within if each.action in CHANGES]
    states = Counter(each.state for each in changes)
    released, failed = states[State.RELEASED], states[State.FAILED]
    backs = [each for each in within if each.action == "rollback" and each.state is State.RELEASED]
    taken = [each for each in changes if was_taken_back(each)]
    return Figures(
        environment=environment,
        since=since,
        until=until,
        released=released,
        failed=failed,
        cancelled=states[State.CANCELLED],
        under_way=states[State.STARTED],
        success_rate=_share(released, released + failed),
        budget=Budget(objective, (1 - objective) * (released + failed), failed),
        causes=dict(Counter(each.cause for each in changes if each.state is State.FAILED and each.cause)),
        taken_back=len(taken),
        rollbacks=len(backs),
        rollback_s=spread(each.seconds["restored"] for each in backs if "restored" in each.seconds),
        take_back_s=spread(each.seconds["taken back"] for each in taken if "taken back" in each.seconds),
        duration_s=spread(_lasted(each) for each in changes if each.state is State.RELEASED and each.finished),
        stages_s=_stages(changes),
        latency_p95_ms=_latency(history, until),
        dora=dora(history, since, until),
    )


def dora(history: Sequence[ReleaseRecord], since: datetime, until: datetime) -> Dora:
    """A release that was left by a rollback counts where it began, whenever the rollback was."""
    changes = [each for each in history if each.action in CHANGES and since <= each.started < until]
    good = [each for each in changes if each.state is State.RELEASED]
    began = {each.run_id for each in good}
    left = left_by(history)
    served = [each for each in changes if had_traffic(each)]
    bad = [each for each in served if was_taken_back(each) or each.run_id in left]
    restored = [took for each in bad if (took := restore_s(each, left.get(each.run_id))) is not None]
    days = (until - since).total_seconds() / DAY_S
    return Dora(
        per_day=len(good) / days if days > 0 else 0.0,
        lead_time_s=median(
            lead for each, one in _with_former(history) if each.run_id in began for lead in leads_s(each, one)
        ),
        change_failure_rate=_share(len(bad), len(served)),
        restore_s=median(restored),
    )


def had_traffic(record: ReleaseRecord) -> bool:
    """Whether users were served by it, however few."""
    if record.state is State.RELEASED or record.steps:
        return True
    owed = record.moved is not None and any(target.is_owed for target in record.targets)
    return owed or any(target.outcome in HAD_TRAFFIC for target in record.targets)


def was_taken_back(record: ReleaseRecord) -> bool:
    """Whether it had traffic and did not stay: it gave that back, or could not."""
    return record.state in (State.FAILED, State.CANCELLED) and had_traffic(record)


def left_by(history: Sequence[ReleaseRecord]) -> dict[str, ReleaseRecord]:
    """By the run of a release that served: the rollback that turned away from it; `history` is newest first."""
    found: dict[str, ReleaseRecord] = {}
    for number, back in enumerate(history):
        if back.action != "rollback" or back.state is not State.RELEASED or not back.left:
            continue
        before = (each for each in history[number + 1 :] if each.version == back.left and each.action in CHANGES)
        if bad := next((each for each in before if each.state is State.RELEASED), None):
            found.setdefault(bad.run_id, back)
    return found


def restore_s(bad: ReleaseRecord, back: ReleaseRecord | None) -> float | None:
    """From its first traffic until users had what they had before; None where its record does not tell."""
    began = bad.moved or (bad.steps[0].began if bad.steps else bad.finished if back else None)
    ended = (back or bad).finished
    return max(0.0, (ended - began).total_seconds()) if began and ended else None


def leads_s(release: ReleaseRecord, before: ReleaseRecord | None) -> list[float]:
    """How long each commit has waited that this release was the first to have; of the first release of all, its own
    commit only. before: the good release before it.
    """
    if release.finished is None:
        return []
    if before is None or not before.commits:
        new = [when for name, when in release.commits.items() if release.commit.startswith(name)]
    else:
        # a record keeps so many commits: what is older than those of the one before may have been in it
        known = min(before.commits.values()) if len(before.commits) >= PLENTY else None
        new = [
            when
            for name, when in release.commits.items()
            if name not in before.commits and (known is None or when >= known)
        ]
    return [max(0.0, (release.finished - when).total_seconds()) for when in new]


def _with_former(history: Sequence[ReleaseRecord]) -> list[tuple[ReleaseRecord, ReleaseRecord | None]]:
    """Each change that stands, with the one before it; `history` is newest first."""
    stand = [each for each in history if _is_good_change(each)]
    return list(zip(stand, [*stand[1:], None], strict=True)) if stand else []


def _is_good_change(record: ReleaseRecord) -> bool:
    return record.state is State.RELEASED and record.action in CHANGES


def _stages(changes: Iterable[ReleaseRecord]) -> dict[str, Spread]:
    took: dict[str, list[float]] = {}
    for each in changes:
        for name, seconds in each.seconds.items():
            if name not in NOT_STAGES and each.state is State.RELEASED:
                took.setdefault(name, []).append(seconds)
    return {name: found for name, seconds in took.items() if (found := spread(seconds))}


def _latency(history: Iterable[ReleaseRecord], until: datetime) -> dict[str, float]:
    newest = next((each for each in history if each.state is State.RELEASED and each.started < until), None)
    found: dict[str, float] = {}
    for target in newest.targets if newest else ():
        if target.p95_ms is not None:
            found[target.service] = max(target.p95_ms, found.get(target.service, 0.0))
    return found


def _lasted(record: ReleaseRecord) -> float:
    assert record.finished is not None
    return max(0.0, (record.finished - record.started).total_seconds())


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def spread(seconds: Iterable[float]) -> Spread | None:
    found = sorted(seconds)
    return Spread(len(found), percentile(found, 0.5), percentile(found, 0.95)) if found else None


def rows(found: Figures) -> list[dict[str, str]]:
    """For people: each figure, its value, and what it counts."""
    spreads = {
        "seconds to roll back": found.rollback_s,
        "seconds to take back": found.take_back_s,
        "duration": found.duration_s,
        **{f"stage {name}": spread for name, spread in found.stages_s.items()},
    }
    said: dict[str, str] = {
        "releases": f"{found.released + found.failed}",
        "success rate": _percent(found.success_rate),
        "error budget left": f"{found.budget.left:.2f} of {found.budget.allowed:.2f}",
        "cancelled": str(found.cancelled),
        "permission failures": str(found.causes.get(Cause.PERMISSION, 0)),
        "taken back": str(found.taken_back),
        "rollbacks": str(found.rollbacks),
        **{name: f"p50 {each.p50:.1f}, p95 {each.p95:.1f}" if each else "-" for name, each in spreads.items()},
        **{f"latency of {name}": f"p95 {ms:.0f} ms" for name, ms in found.latency_p95_ms.items()},
        "deployment frequency": f"{found.dora.per_day:.2f} a day",
        "lead time": _span(found.dora.lead_time_s),
        "change failure rate": _percent(found.dora.change_failure_rate),
        "time to restore": _span(found.dora.restore_s),
    }
    return [{"figure": name, "value": value, "what it counts": _meaning(name)} for name, value in said.items()]


def _meaning(name: str) -> str:
    if name.startswith("stage "):
        return "seconds of those released"
    if name.startswith("latency "):
        return "as the newest release was proven, in its slowest region"
    return MEANINGS[name]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.1f} %"


def _span(seconds: float | None) -> str:
    """In the largest unit of which there is one at least."""
    if seconds is None:
        return "-"
    for size, unit in ((DAY_S, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def percentile(found: Sequence[float], share: float) -> float:
    """The smallest of them that is not exceeded by at least that share; `found` is sorted and not empty."""
    return found[max(0, math.ceil(share * len(found)) - 1)]


def median(seconds: Iterable[float]) -> float | None:
    """Of an even number, the lower of the two in the middle: a figure that was measured."""
    found = sorted(seconds)
    return percentile(found, 0.5) if found else None
