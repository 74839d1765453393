"""The rules of clean-up at their edges, and what a plan says of each thing that stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.cleanup.engine.model import DAY_S, Foreign, Item, Kept, Plan, Use, Why
from tasks.cleanup.engine.plan import plan
from tasks.cleanup.engine.rules import BY_TERRAFORM
from tasks.cleanup.kinds.images import IMAGE
from tasks.cleanup.kinds.revisions import REVISION
from tasks.cleanup.kinds.service_accounts import DISABLE, SERVICE_ACCOUNT
from tests.tasks.cleanup.engine.test_plan import ago, gone, image, policy, thing, world

DOCKER_IS_BORN = datetime(2013, 3, 20, tzinfo=UTC)


def kept(made: Plan, item: Item) -> Kept:
    return next(each for each in made.kept if each.name == item.name)


def stays(item: Item, *, keep: int = 0, uses: tuple[Use, ...] = (), **rule: Any) -> tuple[Why, str]:
    """Why, in the plan's words."""
    found = kept(plan(world(item, uses=uses), policy(keep, **rule)), item)
    return found.why, found.detail


@pytest.mark.parametrize(
    ("item", "rule", "why", "detail"),
    [
        (image("a", owner="blog"), {}, Why.ANOTHER_APP, "labelled as part of blog"),
        (image("a", owner=None), {}, Why.FOREIGN, "not defined by the app"),
        (image("a", uploaded=None), {}, Why.AGE_UNKNOWN, "no time that can be believed"),
        (image("a", 80), {"max_age_s": 90 * DAY_S}, Why.TOO_YOUNG, "1920.0 h old, goes from 2160.0 h on"),
        (image("a", 0.5), {"max_age_s": None}, Why.TOO_YOUNG, "12.0 h old, goes from 24.0 h on"),
        (image("a"), {"keep": 5}, Why.NEWEST, "number 1 of the newest 5 of api/production"),
        (image("a", subject="sha256:x"), {}, Why.SUBJECT_UNKNOWN, "attached to sha256:x"),
        (image("a", labels={"goog-managed-by": "x"}), {}, Why.MANAGED, "labelled goog-managed-by=x"),
        (image("a", locked="tags are immutable"), {}, Why.LOCKED, "tags are immutable"),
        (
            thing(SERVICE_ACCOUNT, "a", prepared=ago(0.5)),
            {"foreign": Foreign.DELETE},
            Why.SETTLING,
            f"{DISABLE} 12.0 h ago, deleted after 24 h",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Why) else "",
)
def test_why_it_stays_is_told(item: Item, rule: dict[str, Any], why: Why, detail: str) -> None:
    assert stays(item, **rule) == (why, detail)


@pytest.mark.parametrize(
    "label", ["goog-managed-by", "managed-by-cnrm", "goog-config-connector", "goog-solutions-deployment-name"]
)
def test_what_others_manage_is_known_by_the_labels_that_they_set(label: str) -> None:
    assert stays(image("a", labels={label: "x"}))[0] is Why.MANAGED


def test_what_somebodys_terraform_keeps_stays_and_what_our_own_has_made_may_go() -> None:
    """It would make it again, or fail."""
    labels = {BY_TERRAFORM: "true"}
    theirs, ours = (
        thing(SERVICE_ACCOUNT, "theirs", owner=None, labels=labels),
        thing(SERVICE_ACCOUNT, "ours", labels=labels),
    )
    made = plan(world(theirs, ours), policy(foreign=Foreign.DELETE))
    assert [step.item.name for step in made.steps] == ["ours"]
    assert kept(made, theirs).why is Why.MANAGED


@pytest.mark.parametrize(("moment", "goes"), [(timedelta(), True), (timedelta(seconds=-1), False)])
def test_a_time_is_believed_from_the_day_on_that_docker_was_shown(moment: timedelta, goes: bool) -> None:
    made = plan(world(image("a", uploaded=DOCKER_IS_BORN + moment)), policy())
    assert bool(gone(made)) is goes


def test_what_has_no_age_is_counted_as_the_oldest() -> None:
    ageless = [image(name, uploaded=None) for name in "ab"]
    made = plan(world(*ageless, image("c", 400), image("d", 500)), policy(keep=3))
    assert {kept(made, each).why for each in ageless} == {Why.AGE_UNKNOWN}
    assert gone(made) == []


def test_each_glob_of_the_protection_list_protects() -> None:
    globs = ("*/api@sha256:a", "sha256:b", "never")
    assert gone(plan(world(image("a"), image("b"), image("c")), policy(protect=globs))) == ["c"]


def test_keep_n_keeps_nothing_that_slipway_yaml_has_to_define() -> None:
    """An account that nothing names is not kept for being the newest of its kind."""
    account = thing(SERVICE_ACCOUNT, "a", prepared=ago(100))
    assert gone(plan(world(account), policy(keep=10, foreign=Foreign.DELETE))) == ["a"]


def test_what_slipway_yaml_has_to_define_goes_without_waiting_for_the_age_of_what_runs_make() -> None:
    account = thing(SERVICE_ACCOUNT, "a", 30, prepared=ago(29))
    assert gone(plan(world(account), policy(max_age_s=90 * DAY_S, foreign=Foreign.DELETE))) == ["a"]


def test_what_is_in_use_says_so_even_if_something_that_stays_needs_it_too() -> None:
    used, release = image("used"), Use("job nightly", ("sha256:used",))
    revision = thing(REVISION, "api-1", needs=("sha256:used",))
    found = kept(plan(world(used, revision, uses=(release,)), policy(keep=1)), used)
    assert (found.kind, found.why, found.detail) == (IMAGE, Why.IN_USE, "job nightly")


def test_what_stays_for_the_sake_of_something_else_names_it() -> None:
    needed, revision = image("needed", 300), thing(REVISION, "api-1", 1, needs=("sha256:needed",))
    found = kept(plan(world(needed, revision, image("newer", 100)), policy(keep=1)), needed)
    assert (found.why, found.detail) == (Why.NEEDED, "api-1")
