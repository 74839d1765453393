"""Over whole worlds: nothing that is needed ever goes, and nothing that may go is left behind.

The oracle is brute force and written from the promises, not from the engine: it asks of every item whether anything at
all holds it, and again until nothing changes. SLIPWAY_WORLDS sets the number of worlds for each rule.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, find, given, settings

from tasks.cleanup.engine.model import DAY_S, DELETE, CleanupStep, Foreign, Item, Policy, World
from tasks.cleanup.engine.plan import plan, uncapped, unlisted
from tasks.cleanup.kinds.buckets import BUCKET
from tasks.cleanup.kinds.service_accounts import SERVICE_ACCOUNT
from tasks.cleanup.kinds.services import SERVICE
from tests.tasks.cleanup.engine.worlds import APP, KINDS, Lie, Told, lied_about, policies, worlds

WORLDS = int(os.environ.get("SLIPWAY_WORLDS", "40"))
STANDING = (SERVICE, BUCKET, SERVICE_ACCOUNT)

many_worlds = settings(max_examples=WORLDS, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def age_d(item: Item, policy: Policy) -> float | None:
    for at in (item.uploaded, item.created):
        if at is not None and (at.year, at.month, at.day) >= (2013, 3, 20):
            return (policy.now - at).total_seconds() / DAY_S
    return None


def is_protected(item: Item, policy: Policy) -> bool:
    labels = [f"{key}={value}" for key, value in item.labels.items()]
    texts = [item.name, item.key, *item.tags, *labels]
    return any(fnmatch.fnmatchcase(text, glob) for glob in policy.protect for text in texts)


def is_young(item: Item, policy: Policy) -> bool:
    age, rule = age_d(item, policy), policy.rules[item.kind]
    if age is None or age * DAY_S < rule.min_age_s:
        return True
    return item.kind not in STANDING and rule.max_age_s is not None and age * DAY_S < rule.max_age_s


def is_part(item: Item, world: World) -> bool:
    held = any(item.key in other.needs for other in world.items if other.kind == item.kind)
    return bool(item.subject) or (held and not item.tags)


def is_among_newest(item: Item, world: World, policy: Policy) -> bool:
    if item.kind in STANDING or is_part(item, world):
        return False
    age = age_d(item, policy) or 0.0
    newer = [
        other
        for other in world.items
        if (other.kind, other.owner, other.group) == (item.kind, item.owner, item.group)
        and not is_part(other, world)
        and (other_age := age_d(other, policy)) is not None
        and (other_age < age or (other_age == age and other.name > item.name))
    ]
    return len(newer) < policy.rules[item.kind].keep


def is_left_alone(item: Item, world: World, policy: Policy) -> bool:
    """What stays whatever anything else does."""
    if item.owner not in (None, APP) or is_protected(item, policy) or item.kind not in policy.rules:
        return True
    outside = item.owner is None or item.kind in STANDING
    if outside and policy.rules[item.kind].foreign is Foreign.REPORT:
        return True
    if "goog-managed-by" in item.labels:
        return True
    if is_young(item, policy) or is_among_newest(item, world, policy) or item.locked:
        return True
    lost = item.subject and item.subject not in world.gone and all(item.subject != other.key for other in world.items)
    days = 7 if item.kind == BUCKET else 1
    settling = item.prepared and (policy.now - item.prepared).total_seconds() < days * DAY_S
    return bool(lost or settling)


def only_prepared(item: Item) -> bool:
    return item.kind in STANDING and item.prepared is None


def closure(world: World, stay: set[str]) -> set[str]:
    """Names of all that stays when `stay` does: asks everything again until nothing changes."""
    run = {key for use in world.uses for key in use.needs}  # keys that are run or pulled by name
    while True:
        before = len(run), len(stay)
        holding = [item for item in world.items if item.name in stay or only_prepared(item)]
        run |= {
            need
            for item in holding
            for need in item.needs
            if any(other.key == need and other.kind != item.kind for other in world.items)
        }
        run |= {
            index.key
            for index in world.items
            for child in world.items
            if child.key in run and child.key in index.needs and child.kind == index.kind
        }
        stay |= {item.name for item in world.items if item.key in run}
        stay |= {item.name for item in world.items if any(item.key in other.needs for other in holding)}
        stay |= {item.name for item in world.items if any(item.subject == other.key for other in holding)}
        if before == (len(run), len(stay)):
            return stay


def must_stay(world: World, policy: Policy) -> set[str]:
    return closure(world, {item.name for item in world.items if is_left_alone(item, world, policy)})


def touched(steps: Iterable[CleanupStep]) -> set[str]:
    return {step.item.name for step in steps}


@given(worlds(), policies())
@many_worlds
def test_exactly_what_nothing_holds_goes(world: World, policy: Policy) -> None:
    made = plan(world, policy)
    stays = must_stay(world, policy)
    everything = {item.name for item in world.items}
    assert not made.refusals
    assert touched(made.steps) == everything - stays
    assert {kept.name for kept in made.kept} == stays
    assert all((step.action == DELETE) != only_prepared(step.item) for step in made.steps)


@given(worlds(), policies())
@many_worlds
def test_nothing_goes_before_what_depends_on_it(world: World, policy: Policy) -> None:
    steps = plan(world, policy).steps
    place = {step.item.name: at for at, step in enumerate(steps)}
    for step in steps:
        for other in steps:
            if step.item.key in other.item.needs or other.item.subject == step.item.key:
                later, sooner = (step, other) if step.item.key in other.item.needs else (other, step)
                assert place[sooner.item.name] < place[later.item.name]


@given(lied_about(), policies())
@many_worlds
def test_an_api_that_fails_or_lies_costs_nothing(told: Told, policy: Policy) -> None:
    assume(told.told != told.truth)
    made = plan(told.told, policy)
    assert made.refusals, told.lie
    assert not made.steps
    assert not made.withheld


@given(worlds(), policies(capped=True))
@many_worlds
def test_within_the_caps_what_may_go_goes_and_nothing_that_waits_loses_anything(world: World, policy: Policy) -> None:
    made = plan(world, policy)
    stays = must_stay(world, policy)
    due = {item.name for item in world.items} - stays
    assert not made.refusals
    assert touched(made.steps) | touched(made.withheld) == due
    assert touched(uncapped(made).steps) == due
    assert len(made.steps) <= policy.max_items
    assert bool(made.steps) == bool(due)
    waiting = closure(world, stays | touched(made.withheld))
    assert not touched(made.steps) & waiting
    for kind in KINDS:
        mine = sum(item.kind == kind and is_judged(item, policy) for item in world.items)
        assert sum(step.item.kind == kind for step in made.steps) <= max(1, mine * 20 / 100)


def is_judged(item: Item, policy: Policy) -> bool:
    foreign = item.kind in policy.rules and policy.rules[item.kind].foreign is Foreign.DELETE
    return item.owner == APP or (item.owner is None and foreign)


@given(worlds(), policies())
@settings(max_examples=min(WORLDS, 100), deadline=None)
def test_a_second_look_settles_what_was_missing(world: World, policy: Policy) -> None:
    """What something needs and no listing has is asked for one by one; what is gone then stops nobody."""
    unsure = replace(world, gone=frozenset())
    to_ask = unlisted(unsure, policy)
    sure = replace(world, gone=to_ask)
    assert to_ask <= world.gone | {"sha256:unlisted"}  # the latter only as a subject, which stops nobody either
    assert bool(plan(unsure, policy).refusals) == bool(to_ask & world.gone)
    assert not plan(sure, policy).refusals


@pytest.mark.parametrize("lie", list(Lie), ids=[lie.name.lower() for lie in Lie])
def test_every_lie_is_told(lie: Lie) -> None:
    """Else the property above would hold for want of examples."""
    assert find(lied_about(), lambda told: told.lie is lie and told.told != told.truth)
