"""Where a rollback goes, told by the history and by what serves. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from tasks.backup.advice import also
from tasks.failures.cause import Cause
from tasks.failures.errors import RollbackRefused
from tasks.history.beside import newest_of
from tasks.history.job_record import JobRecord
from tasks.history.pool_record import PoolRecord
from tasks.history.record import ReleaseRecord, State, TargetRecord, good, irreversible_since
from tasks.model import Override, Place

AGAIN = ("rollback", "refresh")  # what makes a version no newer: to go back to it, to ship it again for drift


def choose(
    history: Sequence[ReleaseRecord],
    live: Mapping[Place, str],
    to: str | None,
    override: Override | None,
    unfinished: Sequence[str] = (),
) -> tuple[ReleaseRecord, ReleaseRecord]:
    """What to go back to, and what serves now; `history` is newest first, `live` the revision that serves by place.

    To the release called `to`; without it to the newest good one, or if that is what serves, to the one before. From a
    release that had not come to its end it goes to the newest good one, even if that serves again already; from a
    rollback that had not, to where that was going.

    unfinished: runs of releases that were cancelled for this, or had not been given back.
    """
    released = good(history)
    stopped = _stopped(history, unfinished)
    serving = served_by(history, live) if stopped is None else stopped
    if stopped and stopped.action == "rollback":
        to, serving = to or stopped.version, next((each for each in history if each.version == stopped.left), stopped)
    if serving is None or not released:
        raise RollbackRefused(
            "Nothing was ever released here.", "ship a version with the deploy flow.", Cause.NOT_FOUND
        )
    chosen = _named(history, released, to) if to else _previous(history, released, serving)
    there = as_it_was(history, chosen, live)
    serves = all(live.get(target.place) == target.revision for target in there) if there else chosen is serving
    if serves and stopped is None:
        raise RollbackRefused(
            f"{chosen.version} is what serves now.", "name another version with `to`.", Cause.CONFLICT
        )
    _refuse_across_a_migration(history, chosen, override)
    return chosen, serving


def _refuse_across_a_migration(
    history: Sequence[ReleaseRecord], chosen: ReleaseRecord, override: Override | None
) -> None:
    barrier = irreversible_since(history, chosen)
    if barrier and override is None:
        raise RollbackRefused(
            f"{barrier.version} declares a migration that {chosen.version} cannot live with.",
            f"correct forward with a new version; or, if you know that it is safe, fill in `override`.{also(barrier)}",
            Cause.CONFLICT,
        )


def _stopped(history: Sequence[ReleaseRecord], unfinished: Sequence[str]) -> ReleaseRecord | None:
    """What was stopped for this; a release that had ended well by then was not, but a rollback may be ended for it."""
    found = next((each for each in history if each.run_id in unfinished), None)
    return found if found and (found.action == "rollback" or found.state is not State.RELEASED) else None


def served_by(history: Sequence[ReleaseRecord], live: Mapping[Place, str]) -> ReleaseRecord | None:
    """The newest release, good or not, that brought a revision which serves now; where nobody knows, the last good.

    One that did not come about, or was shipped again for drift, has brought no revision that a good release had brought
    before it.
    """
    good_before: set[tuple[Place, str]] = set()
    brought: list[ReleaseRecord] = []
    for record in reversed(history):  # the oldest first
        own = {(t.place, t.revision) for t in record.targets if t.revision and live.get(t.place) == t.revision}
        if record.action == "refresh" and own <= good_before:
            continue
        if record.state is State.RELEASED:
            good_before |= own
        elif own <= good_before:
            continue
        if own:
            brought.append(record)
    return brought[-1] if brought else next((r for r in history if r.state is State.RELEASED), None)


def _named(history: Sequence[ReleaseRecord], released: Sequence[ReleaseRecord], to: str) -> ReleaseRecord:
    found = next((record for record in released if record.version == to), None)
    if found:
        return found
    tried = next((record for record in history if record.version == to), None)
    versions = ", ".join(record.version for record in released) or "none"
    if tried and tried.state is State.RELEASED:
        raise RollbackRefused(
            f"{to} is what a rollback has left.",
            f"ship it again with the deploy flow (source.ref: {to}), or choose one of: {versions}.",
            Cause.CONFLICT,
        )
    if tried:
        raise RollbackRefused(
            f"{to} is marked {tried.state}: {tried.reason or 'it was never seen healthy'}.",
            f"choose one that was: {versions}.",
            Cause.CONFLICT,
        )
    raise RollbackRefused(f"{to} was never released here.", f"choose one of: {versions}.", Cause.NOT_FOUND)


def _previous(
    history: Sequence[ReleaseRecord], released: Sequence[ReleaseRecord], serving: ReleaseRecord
) -> ReleaseRecord:
    """The newest good release that is older than what serves now, and was not itself left behind by a rollback."""
    if serving.state is not State.RELEASED or all(record.version != serving.version for record in released):
        return released[0]  # what serves was never good: a release whose traffic could not be given back
    came, others = shipped(history), [record for record in released if record.version != serving.version]
    older = [record for record in others if came[record.version] < came[serving.version]]
    if not older and serving.action == "rollback":
        older = [record for record in others if record.version != serving.left]
    if not older:
        raise RollbackRefused(
            f"Before {serving.version} nothing was released here, so there is nothing to go back to.",
            "correct forward with a new version.",
            Cause.NOT_FOUND,
        )
    return older[0]


def shipped(history: Sequence[ReleaseRecord]) -> dict[str, datetime]:
    """By version: when it was shipped last."""
    found: dict[str, datetime] = {}
    for record in history:
        if record.state is State.RELEASED and record.action not in AGAIN:
            found.setdefault(record.version, record.started)
    return {record.version: record.started for record in history} | found


def as_it_was(
    history: Sequence[ReleaseRecord], chosen: ReleaseRecord, live: Mapping[Place, str]
) -> tuple[TargetRecord, ...]:
    """What going back to `chosen` gives traffic to: its own revisions, and wherever another revision serves now, the
    one that served while `chosen` was the newest. A release may have been of some services only.
    """
    then = served_with(history, chosen)
    own = {target.place for target in chosen.targets}
    return tuple(
        target for place, target in then.items() if place in own or (place in live and live[place] != target.revision)
    )


def served_with(history: Sequence[ReleaseRecord], release: ReleaseRecord) -> dict[Place, TargetRecord]:
    """By place: what served while the release's version was the newest, with its own revisions as it has them now."""
    own = {target.place: target for target in release.targets if target.revision}
    return served_after(history, _shipped_first(history, release)) | own


def _shipped_first(history: Sequence[ReleaseRecord], release: ReleaseRecord) -> ReleaseRecord:
    """That of its version which was none of going back to it, or of shipping a part of it again for drift."""
    same = (r for r in history if r.version == release.version and r.state is State.RELEASED)
    return next((record for record in same if record.action not in AGAIN), release)


def served_after(history: Sequence[ReleaseRecord], release: ReleaseRecord) -> dict[Place, TargetRecord]:
    """By place: what served when `release` had just come out. `history` is newest first."""
    until = (record for record in history if record.started <= release.started)
    return newest_of(until, lambda record: ((each.place, each) for each in record.targets if each.revision))


def jobs_as_they_were(history: Sequence[ReleaseRecord], chosen: ReleaseRecord) -> tuple[JobRecord, ...]:
    """Each job as it was while the chosen release served; a release of some services has brought some jobs only."""
    found = newest_of(_until(history, chosen), lambda record: ((each.job, each) for each in record.jobs))
    return tuple(found.values())


def pools_as_they_were(history: Sequence[ReleaseRecord], chosen: ReleaseRecord) -> tuple[PoolRecord, ...]:
    """The same of worker pools."""
    found = newest_of(_until(history, chosen), lambda record: ((each.pool, each) for each in record.pools))
    return tuple(found.values())


def _until(history: Sequence[ReleaseRecord], chosen: ReleaseRecord) -> list[ReleaseRecord]:
    """The chosen one, and what was released before it."""
    first = _shipped_first(history, chosen)
    return [chosen, *(record for record in history if record.started <= first.started)]
