"""A plan as a file, the check before each delete, and going on after a crash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.cleanup.engine.model import (
    DELETE,
    CleanupOutcome,
    CleanupStep,
    Entry,
    Go,
    Item,
    Plan,
    Policy,
    Skip,
    Use,
    World,
)
from tasks.cleanup.engine.plan import plan, used
from tasks.cleanup.engine.recheck import claims, from_json, is_stale, outdated, plan_digest, recheck, remaining, to_json
from tasks.cleanup.kinds.buckets import BUCKET, SOFT_DELETE
from tasks.cleanup.kinds.revisions import REVISION
from tasks.cleanup.kinds.service_accounts import DISABLE, SERVICE_ACCOUNT
from tasks.failures.errors import ParameterError
from tests.tasks.cleanup.engine.test_plan import NOW, ago, image, policy, thing, world
from tests.tasks.cleanup.engine.worlds import policies, worlds


def made() -> Plan:
    revision = thing(REVISION, "api-00001", 300, needs=("sha256:a",))
    return plan(world(revision, image("a", labels={"team": "web"}), image("b", 100)), policy())


def entry(step: CleanupStep, outcome: CleanupOutcome, why: str = "") -> Entry:
    return Entry(step.item.kind, step.item.name, step.action, outcome, why, NOW)


@given(worlds(), policies())
@settings(max_examples=60, deadline=None)
def test_a_plan_survives_its_file(there: World, rules: Policy) -> None:
    saved = plan(there, rules)
    assert from_json(to_json(saved)) == saved


def test_a_plan_that_was_edited_is_refused() -> None:
    with pytest.raises(ParameterError, match="digest does not match"):
        from_json(to_json(made()).replace(b"sha256:b", b"sha256:live"))


@pytest.mark.parametrize("text", ["", "[]", "{}", "not json", '{"digest": "", "plan": {"app": "shop"}}'])
def test_what_is_no_plan_is_refused_in_words(text: str) -> None:
    with pytest.raises(ParameterError, match="this is no clean-up plan"):
        from_json(text)


def test_plans_that_differ_have_different_digests() -> None:
    assert plan_digest(made()) == plan_digest(made())
    assert plan_digest(made()) != plan_digest(replace(made(), steps=made().steps[1:]))


@pytest.mark.parametrize(("age_s", "stale"), [(0, False), (3600, False), (3601, True), (-1, True)])
def test_a_plan_goes_stale(age_s: float, stale: bool) -> None:
    assert is_stale(made(), NOW + timedelta(seconds=age_s), limit_s=3600) is stale


def test_a_saved_plan_may_run_while_all_it_holds_would_be_planned_again() -> None:
    fresh = plan(world(image("b", 100), image("new", 95), image("young", 1)), policy())
    saved = plan(world(image("a"), image("b", 100)), policy())
    assert outdated(saved, fresh) == ()


@pytest.mark.parametrize(
    ("fresh", "said"),
    [
        (plan(world(image("a"), uses=(Use("api", ("sha256:a",)),)), policy()), "stays now: in use, api"),
        (plan(world(image("a")), policy(keep=5)), "stays now: among the newest"),
        (plan(world(image("a")), policy(protect=("*:a",))), "stays now: protected"),
        (plan(world(image("a", tags=("v9",))), policy()), "has changed: tags"),
        (plan(world(image("a")), replace(policy(), app="blog")), "is for shop, not for blog"),
    ],
    ids=["in use now", "stricter policy", "protected now", "changed", "another app"],
)
def test_a_saved_plan_is_refused_when_what_it_rests_on_has_changed(fresh: Plan, said: str) -> None:
    saved = plan(world(image("a")), policy())
    (problem,) = outdated(saved, fresh)
    assert said in problem


def test_nothing_new_means_go() -> None:
    assert recheck(image("a"), image("a"), used(world())) == Go()


def test_what_is_gone_already_is_a_success() -> None:
    assert recheck(image("a"), None, {}) == Skip(CleanupOutcome.ALREADY_GONE, "not found any more")


def test_an_image_that_a_rollback_needs_since_the_plan_survives() -> None:
    """Somebody sends traffic to an old revision between plan and delete: its image, an index's child, is in use."""
    index, child = image("index", needs=("sha256:amd64",)), image("amd64")
    revision = thing(REVISION, "api-00003", needs=("sha256:amd64",))
    back = Use("api in europe-west1: 100 % of the traffic", ("api-00003",))
    now = used(world(revision, index, child, uses=(back,)))
    for item in (revision, index, child):
        answer = recheck(item, item, now)
        assert answer == Skip(CleanupOutcome.SKIPPED, f"in use since the plan was made: {back.by}")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"tags": ("v1.0.0",)}, "tags"),
        ({"etag": "2"}, "etag"),
        ({"uploaded": ago(1)}, "uploaded"),
        ({"labels": {"keep": "yes"}}, "labels"),
        ({"owner": None}, "owner"),
        ({"digest": "sha256:other"}, "digest"),
        ({"prepared": ago(2)}, "prepared"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_has_changed_since_the_plan_is_left_alone(change: dict[str, Any], field: str) -> None:
    before = image("a")
    assert recheck(before, replace(before, **change), {}) == Skip(
        CleanupOutcome.SKIPPED, f"changed since the plan was made: {field}"
    )


def test_what_could_not_be_deleted_keeps_what_it_needs_and_what_is_attached_to_it() -> None:
    """In the order of the plan: a revision that fails saves its image, which saves its children and its signature."""
    stuck = thing(REVISION, "api-00001", needs=("sha256:index",))
    rest = [
        image("index", needs=("sha256:amd64",)),
        image("amd64"),
        image("signature", subject="sha256:index"),
        image("loose"),
    ]
    holding = claims(stuck)
    outcomes = {}
    for item in rest:
        answer = recheck(item, item, holding)
        outcomes[item.key.partition(":")[2]] = answer
        if isinstance(answer, Skip):
            holding |= claims(item)
    assert [name for name, answer in outcomes.items() if answer == Go()] == ["loose"]


def test_a_signature_stays_with_the_image_that_could_not_be_deleted() -> None:
    signature = image("signature", subject="sha256:a")
    assert recheck(signature, signature, {}) == Go()
    assert isinstance(recheck(signature, signature, claims(image("a"))), Skip)


@given(worlds(), policies(), st.data())
@settings(max_examples=200, deadline=None)
def test_whatever_fails_or_dies_half_way_nothing_loses_what_it_needs(
    there: World, rules: Policy, data: st.DataObject
) -> None:
    """Two runs of one plan; calls fail at random, the first run ends at random and its last entry may be lost."""
    saved = plan(there, rules)
    left = {item.name: item for item in there.items}
    journal: list[Entry] = []
    for fails in (data.draw(st.lists(st.booleans(), max_size=8)), [False] * len(saved.steps)):
        holding = used(there)
        for step, failed in zip(remaining(saved, journal), fails, strict=False):
            answer = recheck(step.item, left.get(step.item.name), holding)
            outcome = (
                answer.outcome if isinstance(answer, Skip) else CleanupOutcome.FAILED if failed else CleanupOutcome.DONE
            )
            if outcome is CleanupOutcome.DONE:
                after = replace(step.item, prepared=NOW)
                left |= {step.item.name: after}
                if step.action == DELETE:
                    del left[step.item.name]
            elif outcome is not CleanupOutcome.ALREADY_GONE:
                holding |= claims(step.item)
            journal.append(entry(step, outcome))
        assert_nothing_is_lost(there, left)
        journal = journal[: -data.draw(st.integers(0, 1)) or None]
    assert left.keys() == {item.name for item in there.items} - deleted_names(saved)


def assert_nothing_is_lost(before: World, left: Mapping[str, Item]) -> None:
    keys = {item.key for item in left.values()}
    for item in left.values():
        lost = [need for need in item.needs if need not in keys and any(need == was.key for was in before.items)]
        assert not lost, f"{item.name} lost {lost}"
    unsigned = [item.name for item in before.items if item.subject in keys and item.name not in left]
    assert not unsigned, f"{unsigned} went before what they are attached to"


def deleted_names(saved: Plan) -> set[str]:
    return {step.item.name for step in saved.steps if step.action == DELETE}


@pytest.mark.parametrize(
    ("outcome", "left"),
    [
        (CleanupOutcome.DONE, 2),
        (CleanupOutcome.ALREADY_GONE, 2),
        (CleanupOutcome.FAILED, 3),
        (CleanupOutcome.SKIPPED, 3),
    ],
    ids=lambda value: str(value),
)
def test_a_run_that_died_half_way_goes_on_with_what_is_not_settled(outcome: CleanupOutcome, left: int) -> None:
    whole = made()
    assert remaining(whole, ()) == whole.steps
    rest = remaining(whole, [entry(whole.steps[0], CleanupOutcome.FAILED, "503"), entry(whole.steps[0], outcome)])
    assert rest == whole.steps[-left:]


def test_an_account_that_was_disabled_is_still_to_be_deleted() -> None:
    account = thing(SERVICE_ACCOUNT, "old", prepared=ago(2))
    later = replace(made(), steps=(CleanupStep(DELETE, account, ""),))
    disabled = Entry(account.kind, account.name, DISABLE, CleanupOutcome.DONE, "", NOW)
    assert remaining(later, [disabled]) == later.steps


def test_bytes_freed_count_only_what_is_deleted() -> None:
    items: tuple[Item, ...] = (image("a", size_bytes=7), thing(BUCKET, "files", size_bytes=100))
    steps = (CleanupStep(DELETE, items[0], ""), CleanupStep(SOFT_DELETE, items[1], ""))
    assert replace(made(), steps=steps).freed_bytes == 7
