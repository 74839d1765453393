"""The next traffic split of a Cloud Run service, decided from the split that is live. Pure: values in, values out.

Traffic goes to revisions by name, never to LATEST: a revision that merely became ready last must not receive a request.
Percent and tag are separate entries, as gcloud writes them. What others set, their tags and the share they gave to a
third revision, stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NoReturn, TypeAlias

from infra.gcp.run.traffic import TrafficTarget
from tasks.failures.errors import TrafficConflict
from tasks.model import Verdict

OWN_TAG_PREFIX = "slipway-"
ALL = 100  # percent; what a split always sums to

Shares: TypeAlias = dict[str | None, int]  # percent by revision, None is LATEST
Tags: TypeAlias = dict[str, str | None]  # revision by tag


@dataclass(frozen=True, slots=True)
class Traffic:
    """A service's traffic as it is, with what is needed to read it."""

    targets: tuple[TrafficTarget, ...]  # as the service asks for it; empty is 100 % to LATEST, as in Cloud Run's API
    latest_ready: str | None  # the revision that LATEST stands for
    ready: frozenset[str]  # the revisions that exist and are Ready: no other can take traffic
    observed: tuple[TrafficTarget, ...] = ()  # as Cloud Run routes it; differs when what is asked for cannot be had


@dataclass(frozen=True, slots=True)
class Dark:
    """The split under which a candidate is deployed."""

    targets: tuple[TrafficTarget, ...]
    notes: tuple[str, ...]  # for the run's log: what could not stay as it was, and why
    first: bool  # nothing served before, so there is nothing to go back to


class Move(StrEnum):
    FORWARD = "forward"
    HOLD = "hold"
    BACK = "back"
    DONE = "done"  # the candidate has all it can get, and was healthy with it


@dataclass(frozen=True, slots=True)
class NextSplit:
    """The next split; `percent` is what the candidate has in it."""

    move: Move
    targets: tuple[TrafficTarget, ...]
    percent: int
    reason: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What somebody else changed, in words: a changed `traffic` stops a release, changed `tags` are only reported."""

    traffic: tuple[str, ...]
    tags: tuple[str, ...]


def normalise(targets: Iterable[TrafficTarget]) -> tuple[TrafficTarget, ...]:
    """The same split in gcloud's form: one entry per revision with its percentage, then one per tag; the sum is 100.

    Entries of one revision are merged. A tag that is named twice belongs to its last entry. Without any percentage all
    goes to LATEST, which is Cloud Run's reading of empty traffic; another sum than 100 is scaled to it.
    """
    targets = tuple(targets)
    return _split(_scaled(_percents(targets)) or {None: ALL}, _tags(targets))


def stable_revision(live: Traffic, candidate: str = "") -> str | None:
    """The revision with the largest share of the traffic, the candidate aside; None when no other serves anything."""
    shares = {revision: share for revision, share in _shares(live).items() if revision != candidate}
    return max(shares, key=shares.__getitem__, default=None)


def pinned(live: Traffic) -> str | None:
    """Why a plain `gcloud run deploy` would get 0 % and still report success; None when it would get traffic."""
    shares = _percents(normalise(live.targets))
    if None in shares:
        return None
    held = ", ".join(f"{revision} holds {percent} %" for revision, percent in shares.items())
    reason = f"LATEST receives no traffic ({held}): a revision deployed without moving traffic gets 0 %."
    if live.latest_ready and live.latest_ready not in shares:
        reason += f" The newest ready revision, {live.latest_ready}, is such a one."
    return reason


def dark(live: Traffic, candidate: str, tag: str, own_tags: Collection[str] = (), *, served: bool = False) -> Dark:
    """The split for deploying `candidate` with its tag and no traffic; a candidate that already has a share keeps it.

    LATEST's share goes to the revision it stands for now. The share of a revision that is gone or not ready goes to the
    revision with the largest one. `own_tags` are the tags this app is recorded to have set: such a tag, or one that
    begins with `slipway-`, moves to the candidate; '' is none. TrafficConflict when the tag is somebody else's, or when
    revisions are ready but none of them holds traffic.

    In a first deployment nothing else can hold the 100 % that Cloud Run demands, so the candidate does (`first`). So
    does one that has `served` before, where no revision that holds traffic is ready: nobody is served worse by it.
    """
    tags, notes = _usable_tags(live, candidate)
    if tag and tags.get(tag, candidate) != candidate:
        _refuse_foreign_tag(tag, tags[tag], own_tags)
        notes.append(f"tag {tag} moves from {_name(tags[tag])} to {candidate}")
    tags |= {tag: candidate} if tag else {}
    shares, first = _shares(live), not live.ready - {candidate}
    if not shares and not (first or served):
        _refuse_unserved(live)
    return Dark(_split(shares or {candidate: ALL}, tags), (*_share_notes(live), *notes), first)


def next_split(live: Traffic, stable: str | None, candidate: str, steps: Iterable[int], verdict: Verdict) -> NextSplit:
    """The next step of a release: HEALTHY goes up one step, INCONCLUSIVE stays, UNHEALTHY gives all back to `stable`.

    `steps` are the percentages on the way to everything: (5, 25, 50) for a canary, () for direct and blue-green. The
    candidate's share comes from `stable` alone, so everything is what `stable` has: with 10 % on a third revision, 90.
    `stable` is None in a first deployment: then there is nothing to go back to, and the split stays.

    TrafficConflict when a step needs more than `stable` has, when `stable` cannot take its share back, and when the
    candidate or all that serves is gone or not ready.
    """
    if verdict is Verdict.UNHEALTHY:
        return _back(live, stable, candidate)
    shares = _shares(live) or _refuse_unserved(live)
    tags, _ = _usable_tags(live)
    held = shares.get(candidate, 0)
    if verdict is Verdict.INCONCLUSIVE:
        return NextSplit(Move.HOLD, _split(shares, tags), held, f"no proof either way: the candidate stays at {held} %")
    if candidate not in live.ready:
        raise TrafficConflict(
            f"{candidate} was healthy, but is gone or not ready now.",
            "start the run again; it deploys the revision anew.",
            state=f"{candidate} gets no more traffic.",
        )
    percent = _step_up(shares, stable, candidate, steps)
    if percent == held:
        return NextSplit(Move.DONE, _split(shares, tags), held, _finished(shares, candidate))
    after = shares | {candidate: percent, stable: shares[stable] - (percent - held)}
    return NextSplit(Move.FORWARD, _split(after, tags), percent, f"healthy at {held} %: on to {percent} %")


def all_to(live: Traffic, revision: str) -> NextSplit:
    """All traffic to a revision that is gone back to, whoever had a share of it; tags stay. Raises TrafficConflict."""
    targets = restore(live, replace(live, targets=(TrafficTarget(revision, ALL),)))
    move = Move.DONE if _shares(live) == {revision: ALL} else Move.FORWARD
    return NextSplit(move, targets, ALL, "all at once")


def restore(live: Traffic, snapshot: Traffic) -> tuple[TrafficTarget, ...]:
    """The percentages of the snapshot with the tags of today, so that no tag set since is lost.

    LATEST goes to the revision it stood for when the snapshot was taken. What revisions held that are no longer ready
    is shared out among the others; TrafficConflict when none is left.
    """
    before = _shares(snapshot)
    shares = _scaled(_ready(before, live.ready))
    if not shares:
        raise TrafficConflict(
            f"{', '.join(map(_name, before)) or 'what served before'} cannot serve: gone or not ready.",
            "go back to a version whose revision still exists.",
            state="Traffic is as it was.",
        )
    return _split(shares, _usable_tags(live)[0])


def changed_by_other(expected: Iterable[TrafficTarget], found: Iterable[TrafficTarget]) -> Changes:
    """The differences between the split that was written last and the one that is there now."""
    expected, found = normalise(expected), normalise(found)
    before, now = _percents(expected), _percents(found)
    tags_before, tags_now = _tags(expected), _tags(found)
    traffic = (
        f"{_name(revision)}: {before.get(revision, 0)} % expected, {now.get(revision, 0)} % found"
        for revision in before | now
        if before.get(revision) != now.get(revision)
    )
    tags = (
        f"tag {tag}: {_where(tags_before, tag)} expected, {_where(tags_now, tag)} found"
        for tag in tags_before | tags_now
        if _where(tags_before, tag) != _where(tags_now, tag)
    )
    return Changes(tuple(traffic), tuple(tags))


def _back(live: Traffic, stable: str | None, candidate: str) -> NextSplit:
    shares = _resolved(live, live.targets)
    held = shares.pop(candidate, 0)
    if stable is None:
        reason = "unhealthy, and there is no earlier revision to go back to"
        return NextSplit(Move.BACK, normalise(live.targets), held, reason)
    others = _ready(shares, live.ready - {stable})
    rest = ALL - sum(others.values())
    if rest and stable not in live.ready:
        raise TrafficConflict(
            f"{candidate} is unhealthy, but {stable} cannot take its traffic back: it is gone or not ready.",
            "go back to a version whose revision still exists.",
            state=f"{candidate} keeps {held} % of the traffic.",
        )
    after = {stable: rest, **others}
    return NextSplit(Move.BACK, _split(after, _usable_tags(live)[0]), 0, f"unhealthy at {held} %: back to {stable}")


def _step_up(shares: Shares, stable: str | None, candidate: str, steps: Iterable[int]) -> int:
    """The candidate's next percentage; the one it has when there is none above."""
    held = shares.get(candidate, 0)
    room = held + shares.get(stable, 0)
    ahead = [step for step in steps if step > held]
    if room >= max(ahead, default=1):
        return min((*ahead, room))
    others = "".join(
        f"; {_name(rev)} holds {share} %" for rev, share in shares.items() if rev not in (stable, candidate)
    )
    raise TrafficConflict(
        f"the candidate is to get {max(ahead, default=ALL)} %, but with {stable} it has only {room} %{others}.",
        f"move the traffic of the other revisions to {stable}, or choose smaller steps.",
        state=f"{candidate} keeps {held} % of the traffic.",
    )


def _finished(shares: Shares, candidate: str) -> str:
    others = "".join(f"; {_name(rev)} keeps its {share} %" for rev, share in shares.items() if rev != candidate)
    return f"healthy at {shares[candidate]} %: the release is complete{others}"


def _shares(live: Traffic) -> Shares:
    """What each ready revision receives, in percent; empty when no ready revision receives anything."""
    for targets in (live.targets, live.observed or live.targets):
        shares = _ready(_resolved(live, targets), live.ready)
        if shares:
            largest = max(shares, key=shares.__getitem__)
            return shares | {largest: shares[largest] + ALL - sum(shares.values())}
    return {}


def _resolved(live: Traffic, targets: Iterable[TrafficTarget]) -> Shares:
    """Percent by revision with LATEST's share at the revision it stands for, ready or not."""
    return _percents(replace(target, revision=target.revision or live.latest_ready) for target in normalise(targets))


def _ready(shares: Shares, ready: Collection[str]) -> Shares:
    return {revision: share for revision, share in shares.items() if revision in ready}


def _refuse_unserved(live: Traffic) -> NoReturn:
    raise TrafficConflict(
        "all traffic is assigned to revisions that are gone or not ready.",
        "gcloud run services update-traffic --to-revisions=REVISION=100, where REVISION is one of "
        + ", ".join(sorted(live.ready)),
    )


def _share_notes(live: Traffic) -> list[str]:
    shares = _percents(normalise(live.targets))
    notes = [
        f"{revision} is gone or not ready: its {percent} % go to a revision that serves"
        for revision, percent in shares.items()
        if revision is not None and revision not in live.ready
    ]
    if None in shares and live.latest_ready in live.ready:
        notes.append(
            f"LATEST is pinned to {live.latest_ready}, so that the candidate gets nothing of its {shares[None]} %"
        )
    return notes


def _usable_tags(live: Traffic, candidate: str = "") -> tuple[Tags, list[str]]:
    """The tags whose revision is there, and a note for each other one; a tag on LATEST goes on following it."""
    tags = _tags(live.targets)
    gone = {tag for tag, revision in tags.items() if revision not in (None, candidate, *live.ready)}
    notes = [f"tag {tag} is dropped: {_name(tags[tag])} is gone or not ready" for tag in tags if tag in gone]
    return {tag: revision for tag, revision in tags.items() if tag not in gone}, notes


def _refuse_foreign_tag(tag: str, revision: str | None, own_tags: Collection[str]) -> None:
    if tag.startswith(OWN_TAG_PREFIX) or tag in own_tags:
        return
    raise TrafficConflict(
        f"the tag {tag} is needed for the candidate, but somebody else has put it on {_name(revision)}.",
        f"gcloud run services update-traffic --remove-tags={tag} if nobody needs it there.",
    )


def _split(shares: Shares, tags: Tags) -> tuple[TrafficTarget, ...]:
    percents = (TrafficTarget(revision, percent) for revision, percent in shares.items() if percent)
    return (*percents, *(TrafficTarget(revision, 0, tag) for tag, revision in tags.items()))


def _scaled(shares: Shares) -> Shares:
    """The shares in the same proportions with the sum 100, by largest remainder; empty when there is nothing."""
    total = sum(shares.values())
    scaled = {revision: share * ALL // total for revision, share in shares.items()}
    by_remainder = sorted(shares, key=lambda revision: shares[revision] * ALL % total, reverse=True)
    for revision in by_remainder[: ALL - sum(scaled.values())]:
        scaled[revision] += 1
    return scaled


def _percents(targets: Iterable[TrafficTarget]) -> Shares:
    shares: Shares = {}
    for target in targets:
        if target.percent:
            shares[target.revision] = shares.get(target.revision, 0) + target.percent
    return shares


def _tags(targets: Iterable[TrafficTarget]) -> Tags:
    return {target.tag: target.revision for target in targets if target.tag}


def _where(tags: Tags, tag: str) -> str:
    return f"on {_name(tags[tag])}" if tag in tags else "nowhere"


def _name(revision: str | None) -> str:
    return revision or "LATEST"
