"""Decides what clean-up may take away. Pure: a world and a policy in, a plan out.

Something goes only if every rule lets it go. It has to be ours, or foreign under an explicit policy; unprotected; older
than both ages, by the time the server got it; outside keep-N; unused and not needed by anything that stays. What
N counts: all items of the same kind, owner and group whose age is known, newest first. Parts do not count: untagged
children of an index and what is attached to an image (signatures, SBOMs).

Nothing goes at all when an answer that the plan rests on is missing, failed, partial, stale, repeated or empty beyond
belief. Caps bound what one run takes that nobody has looked at: the oldest up to the cap, and nothing that something
withheld needs. The rest is saved with the plan; a person who starts a run with the plan's name has looked at it.
"""

from __future__ import annotations

import graphlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

from tasks.cleanup.engine.links import Links, in_order
from tasks.cleanup.engine.model import (
    DAY_S,
    CleanupStep,
    Foreign,
    Item,
    Kept,
    Kind,
    Listing,
    Plan,
    Policy,
    Report,
    ReportKind,
    Why,
    World,
)
from tasks.cleanup.engine.rules import Facts, age_s, kept_items, rank, used_by

CLOCK_SKEW = timedelta(minutes=1)


def plan(world: World, policy: Policy) -> Plan:
    """What to do about the world, what stays and why, what to tell people, or why nothing may be done."""
    facts = Facts.of(world, policy)
    kept = kept_items(world.items, facts)
    problems = (*refusals(world, policy), *_unbelievable(kept, world, facts))
    if problems:
        return Plan(policy.app, policy.now, refusals=problems)
    try:
        steps = _steps((item for item in world.items if item.name not in kept), facts)
    except graphlib.CycleError as error:
        circle = " needs ".join(error.args[1])
        return Plan(policy.app, policy.now, refusals=(f"{circle}: no order can be right.",))
    reports = (*_missing(kept, world, facts), *_findings(world.items, facts))
    planned = Plan(policy.app, policy.now, steps, tuple(kept.values()), reports)
    return _capped(planned, world.items, facts)


def refusals(world: World, policy: Policy) -> tuple[str, ...]:
    """Why the world cannot be believed, before anything is decided; empty when nothing speaks against it."""
    asked = {listing.source for listing in world.listings}
    problems = [f"{source} was not listed." for source in world.required if source not in asked]
    problems += [
        f"Nothing is known of kind {kind}." for kind in sorted({i.kind for i in world.items} - world.kinds.keys())
    ]
    problems += [text for listing in world.listings if (text := _distrust(listing, policy))]
    live = sum(use.live for use in world.uses)
    if live < policy.min_live:
        problems.append(f"{live} things are seen in use, at least {policy.min_live} must be.")
    repeated = [name for name, count in Counter(item.name for item in world.items).items() if count > 1]
    problems += [f"{name} is listed more than once: the listing changed while it was read." for name in repeated]
    return tuple(problems)


def unlisted(world: World, policy: Policy) -> frozenset[str]:
    """Keys that something needs and no listing has: to be read one by one, those not found belong in `World.gone`."""
    facts = Facts.of(world, policy)
    kept = kept_items(world.items, facts)
    lost = {item.subject for item in world.items if item.name in kept and kept[item.name].why is Why.SUBJECT_UNKNOWN}
    return (frozenset(lack.key for lack in _lacks(kept, world, facts)) - world.gone) | lost


def used(world: World) -> dict[str, str]:
    """Every key in use, directly or through something that needs it, with by whom."""
    return used_by(world.uses, Links.of(world.items))


def _distrust(listing: Listing, policy: Policy) -> str:
    if listing.doubt:
        return listing.doubt
    if listing.read > policy.now + CLOCK_SKEW:
        return f"{listing.source} was read at {listing.read:%Y-%m-%d %H:%M:%S}, which is yet to come."
    old_s = (policy.now - listing.read).total_seconds()
    if old_s > policy.max_listing_age_s:
        return f"{listing.source} was read {old_s:.0f} s ago; more than {policy.max_listing_age_s:.0f} s is too old."
    return ""


class _Lack(NamedTuple):
    key: str
    by: str
    live: bool


def _lacks(kept: Mapping[str, Kept], world: World, facts: Facts) -> Iterator[_Lack]:
    """What is used or needed by something that stays, and not listed. Behind an unlisted index are children unknown."""
    listed = facts.links.items
    for use in world.uses:
        yield from (_Lack(key, use.by, use.live) for key in use.needs if key not in listed)
    for item in world.items:
        if item.name in kept:
            yield from (_Lack(key, item.name, False) for key in item.needs if key not in listed)


def _unbelievable(kept: Mapping[str, Kept], world: World, facts: Facts) -> list[str]:
    lacks = {lack.key: lack for lack in _lacks(kept, world, facts) if lack.live or lack.key not in world.gone}
    return [f"{lack.by} needs {lack.key}, which no listing has." for lack in lacks.values()]


def _missing(kept: Mapping[str, Kept], world: World, facts: Facts) -> list[Report]:
    lacks = {lack.key: lack for lack in _lacks(kept, world, facts)}
    return [Report(ReportKind.MISSING, lack.key, f"needed by {lack.by}") for lack in lacks.values()]


def _findings(items: Iterable[Item], facts: Facts) -> Iterator[Report]:
    """What the app does not define, whatever the policy does about it."""
    for item in items:
        by = facts.used.get(item.key)
        standing = facts.traits(item).standing
        if item.owner is None and not (standing and by):
            yield Report(ReportKind.FOREIGN, item.name, f"in use by {by}" if by else "not in use", item.kind)
        elif item.owner == facts.policy.app and standing and not by:
            yield Report(ReportKind.ORPHAN, item.name, "slipway.yaml does not define it", item.kind)


def _steps(doomed: Iterable[Item], facts: Facts) -> tuple[CleanupStep, ...]:
    return tuple(_step(item, facts) for item in in_order(doomed, rank))


def _step(item: Item, facts: Facts) -> CleanupStep:
    age_d = (age_s(item, facts.policy.now) or 0.0) / DAY_S
    why = sys.intern(f"{age_d:.0f} days old, unused, outside the newest {facts.rule(item).keep}")
    return CleanupStep(facts.next_action(item), item, why)


def uncapped(saved: Plan) -> Plan:
    """What a person has asked for by the plan's name: all of it."""
    return replace(saved, steps=(*saved.steps, *saved.withheld), withheld=(), caps=())


def _capped(planned: Plan, items: Iterable[Item], facts: Facts) -> Plan:
    """The first steps that the caps allow; what something withheld needs waits with it."""
    limits = _limits(planned.steps, items, facts.policy)
    taken: Counter[Kind] = Counter()
    going: list[CleanupStep] = []
    withheld: list[CleanupStep] = []
    waiting: set[str] = set()  # keys that something withheld holds directly; what it holds comes after it
    for step in planned.steps:
        item = step.item
        full = taken[item.kind] >= limits[item.kind] or len(going) >= facts.policy.max_items
        if full or item.key in waiting:
            withheld.append(step)
            waiting.update(item.needs, facts.links.referrers.get(item.key, ()))
        else:
            going.append(step)
            taken[item.kind] += 1
    while withheld:
        needed = facts.links.needed_by(step.item for step in withheld)
        stays = [step for step in going if step.item.key not in needed]
        if len(stays) == len(going):
            break
        withheld += [step for step in going if step.item.key in needed]
        going = stays
    chosen = {step.item.name for step in going}
    rest = tuple(step for step in planned.steps if step.item.name not in chosen)
    return replace(planned, steps=tuple(going), withheld=rest, caps=_exceeded(planned.steps, limits, facts.policy))


def _limits(steps: Iterable[CleanupStep], items: Iterable[Item], policy: Policy) -> Mapping[Kind, int]:
    """How many of each kind may go: its share of what is ours to judge, and one at least, else few things never go."""
    judged = Counter(item.kind for item in items if _is_ours_to_judge(item, policy))
    kinds = {step.item.kind for step in steps}
    return {kind: max(1, int(judged[kind] * policy.rules[kind].max_percent / 100)) for kind in kinds}


def _exceeded(steps: Sequence[CleanupStep], limits: Mapping[Kind, int], policy: Policy) -> tuple[str, ...]:
    """The caps that all the steps would break."""
    problems = []
    if len(steps) > policy.max_items:
        problems.append(f"{len(steps)} items may go, at most {policy.max_items} of them in one run (max_items).")
    for kind, count in Counter(step.item.kind for step in steps).items():
        if count > limits[kind]:
            share = f"at most {limits[kind]} of them in one run (max_percent {policy.rules[kind].max_percent:g})."
            problems.append(f"{count} {kind}s may go, {share}")
    return tuple(problems)


def _is_ours_to_judge(item: Item, policy: Policy) -> bool:
    if item.owner is None:
        return item.kind in policy.rules and policy.rules[item.kind].foreign is Foreign.DELETE
    return item.owner == policy.app
