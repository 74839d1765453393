"""When clean-up does not believe what it is told, and when it would take too much at once: nothing goes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tasks.cleanup.engine.model import Listing, ReportKind, Use
from tasks.cleanup.engine.plan import plan, uncapped, unlisted
from tasks.cleanup.kinds.revisions import REVISION
from tasks.cleanup.kinds.service_accounts import SERVICE_ACCOUNT
from tests.tasks.cleanup.engine.test_plan import NOW, gone, image, policy, thing, world

BELIEVED = Listing("revisions in europe-west1", NOW, 3)


@pytest.mark.parametrize(
    ("listing", "said"),
    [
        (replace(BELIEVED, error="503"), "could not be listed: 503"),
        (replace(BELIEVED, complete=False), "in part only"),
        (replace(BELIEVED, count=0, floor=1), "has 0 items, at least 1"),
        (replace(BELIEVED, count=2, floor=3), "has 2 items, at least 3"),
        (replace(BELIEVED, read=NOW - timedelta(hours=2)), "7200 s ago"),
        (replace(BELIEVED, read=NOW + timedelta(hours=2)), "yet to come"),
    ],
    ids=["failed", "page missing", "empty", "fewer than the history knows", "stale", "from the future"],
)
def test_an_answer_that_cannot_be_believed_stops_everything(listing: Listing, said: str) -> None:
    trusted = world(image("a"))
    made = plan(replace(trusted, listings=(*trusted.listings, listing)), policy())
    assert said in made.refusals[0]
    assert not made.steps
    assert gone(plan(replace(trusted, listings=(*trusted.listings, BELIEVED)), policy())) == ["a"]


def test_a_region_that_was_not_asked_stops_everything() -> None:
    made = plan(world(image("a"), required=("revisions in us-central1",)), policy())
    assert made.refusals == ("revisions in us-central1 was not listed.",)


def test_nothing_in_use_is_never_believed() -> None:
    """Swabbie aborts below 500 images in use: an empty answer must not mean that nothing is needed."""
    empty = replace(world(image("a")), uses=(Use("release v1", ("sha256:live",), live=False),))
    assert "0 things are seen in use" in plan(empty, policy()).refusals[0]
    assert gone(plan(empty, replace(policy(), min_live=0))) == ["a"]


def test_a_live_revision_that_no_listing_has_stops_everything() -> None:
    serving = Use("api in us-central1: 100 % of the traffic", ("api-00009",))
    lacking = world(image("a"), uses=(serving,), gone=frozenset({"api-00009"}))
    assert "needs api-00009, which no listing has" in plan(lacking, policy()).refusals[0]


def test_an_unlisted_index_stops_everything_because_its_children_are_unknown() -> None:
    lacking = world(image("amd64"), uses=(Use("release v1", ("sha256:index",), live=False),))
    assert plan(lacking, policy()).refusals
    assert unlisted(lacking, policy()) == {"sha256:index"}


def test_a_rollback_target_that_is_truly_gone_is_reported_and_stops_nothing() -> None:
    release = Use("release v1", ("sha256:lost",), live=False)
    made = plan(world(image("a"), uses=(release,), gone=frozenset({"sha256:lost"})), policy())
    assert gone(made) == ["a"]
    found = [(report.finding, report.detail) for report in made.reports]
    assert found == [(ReportKind.MISSING, "needed by release v1")]


def test_a_kind_of_which_nothing_is_known_stops_everything() -> None:
    """Its traits might say that it has to be disabled before it is deleted."""
    made = plan(replace(world(image("a")), kinds={}), policy())
    assert made.refusals == ("Nothing is known of kind image.",)


def test_a_listing_that_repeats_itself_stops_everything() -> None:
    made = plan(world(image("a"), image("a")), policy())
    assert "more than once" in made.refusals[0]


@pytest.mark.parametrize(("cap", "goes"), [(3, ["a", "b", "c"]), (2, ["a", "b"]), (1, ["a"])])
def test_of_too_many_items_the_oldest_go_and_the_rest_waits(cap: int, goes: list[str]) -> None:
    """An estate that nobody ever cleaned up is cleaned up day by day, without a change of slipway.yaml."""
    made = plan(world(image("c", 100), image("b", 150), image("a")), policy(max_items=cap))
    assert gone(made) == goes
    assert gone(uncapped(made)) == ["a", "b", "c"]
    assert bool(made.caps) == (cap < 3)


@pytest.mark.parametrize(("percent", "count"), [(75.0, 3), (74.9, 2), (20.0, 1), (1.0, 1)])
def test_of_too_large_a_share_of_a_kind_the_oldest_go_and_always_one(percent: float, count: int) -> None:
    others = [image(f"other{n}", owner="blog") for n in range(50)]
    made = plan(world(image("a"), image("b"), image("c"), *others), policy(max_percent=percent))
    assert len(gone(made)) == count
    assert count == 3 or "3 images may go" in made.caps[0]


@pytest.mark.parametrize(("images", "keep"), [(13, 10), (5, 2)])
def test_with_the_default_caps_a_small_estate_is_cleaned_up_in_the_end(images: int, keep: int) -> None:
    there = [image(f"{n:02}", 300 - n) for n in range(images)]
    for _ in range(images):
        made = plan(world(*there), policy(keep=keep, max_items=50, max_percent=20.0))
        names = {step.item.name for step in made.steps}
        there = [each for each in there if each.name not in names]
        if not made.steps:
            break
    assert [each.digest for each in there] == [f"sha256:{n:02}" for n in range(images - keep, images)]


def test_what_something_withheld_needs_waits_with_it() -> None:
    """An image must not go while the revision that runs it stays for the next run."""
    old, new = thing(REVISION, "one", needs=("sha256:a",)), thing(REVISION, "two", 100, needs=("sha256:b",))
    made = plan(world(old, new, image("a"), image("b", 300)), policy(max_percent=50.0))
    assert gone(made) == ["one", "a"]


def test_an_index_that_waits_for_a_revision_of_its_child_waits_too() -> None:
    """The revision was given the index and pulls that; it comes later in the order, being younger."""
    index, child = image("index", 300, needs=("sha256:child",)), image("child", 290)
    other = thing(REVISION, "one", 200)
    held = thing(REVISION, "two", 100, needs=("sha256:child",))
    made = plan(world(index, child, other, held, image("a", 250)), policy(max_percent=50.0))
    assert gone(made) == ["a", "one"]
    assert {step.item.name.rpartition(":")[2] for step in made.withheld} == {"index", "child", "two"}


def test_what_a_person_has_asked_for_by_name_has_nothing_left_to_wait() -> None:
    asked = uncapped(plan(world(image("b", 150), image("a")), policy(max_items=1)))
    assert (asked.withheld, asked.caps) == ((), ())


def test_a_region_that_was_asked_stops_nothing() -> None:
    assert gone(plan(world(image("a"), required=("all of it",)), policy())) == ["a"]


def test_clocks_may_differ_by_a_minute() -> None:
    trusted = world(image("a"))
    for ahead_s, believed in ((60, True), (61, False)):
        listing = replace(BELIEVED, read=NOW + timedelta(seconds=ahead_s))
        assert bool(plan(replace(trusted, listings=(listing,)), policy()).steps) is believed


def test_what_stays_and_lacks_something_stops_everything_and_what_goes_does_not() -> None:
    lacking = image("index", needs=("sha256:nowhere",))
    assert gone(plan(world(lacking), policy())) == ["index"]
    young = replace(lacking, uploaded=NOW)
    assert plan(world(young), policy()).refusals == (f"{young.name} needs sha256:nowhere, which no listing has.",)
    made = plan(world(young, gone=frozenset({"sha256:nowhere"})), policy())
    assert [(report.finding, report.detail) for report in made.reports] == [
        (ReportKind.MISSING, f"needed by {young.name}")
    ]


def test_what_is_read_one_by_one_is_what_something_lacks_and_the_subjects_that_nobody_listed() -> None:
    signature = image("signature", subject="sha256:nowhere")
    assert unlisted(world(signature), policy()) == {"sha256:nowhere"}
    assert unlisted(world(signature, gone=frozenset({"sha256:nowhere"})), policy()) == set()


def test_what_is_defined_and_in_use_is_reported_neither_as_foreign_nor_as_an_orphan() -> None:
    """A service account that somebody else made may be the one that slipway.yaml names."""
    accounts = [thing(SERVICE_ACCOUNT, owner or "nobody", owner=owner) for owner in ("shop", "blog", None)]
    uses = (Use("slipway.yaml", ("shop", "nobody")),)
    assert plan(world(*accounts, uses=uses), policy()).reports == ()
    found = [(report.finding, report.name) for report in plan(world(*accounts), policy()).reports]
    assert found == [(ReportKind.ORPHAN, "shop"), (ReportKind.FOREIGN, "nobody")]


def test_a_circle_is_told_from_one_to_the_next() -> None:
    made = plan(world(thing(REVISION, "a", needs=("b",)), thing(REVISION, "b", needs=("a",))), policy())
    assert made.refusals[0] in (f"{' needs '.join(circle)}: no order can be right." for circle in ("aba", "bab"))


def test_a_step_says_how_old_it_is_and_what_it_is_outside_of() -> None:
    [step] = plan(world(image("a", 200), image("b", 100)), policy(keep=1)).steps
    assert step.why == "200 days old, unused, outside the newest 1"


def test_the_caps_that_were_reached_are_told() -> None:
    made = plan(world(image("a"), image("b"), image("c")), policy(max_items=2, max_percent=25.0))
    assert made.caps == (
        "3 items may go, at most 2 of them in one run (max_items).",
        "3 images may go, at most 1 of them in one run (max_percent 25).",
    )
