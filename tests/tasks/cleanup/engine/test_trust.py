"""When clean-up does not believe what it is told, and when it would take too much at once: nothing goes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tasks.cleanup.engine.model import Listing, ReportKind, Use
from tasks.cleanup.engine.plan import plan, unlisted
from tests.tasks.cleanup.engine.test_plan import NOW, gone, image, policy, world

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


@pytest.mark.parametrize(("cap", "refused"), [(3, False), (2, True)])
def test_too_many_items_at_once_are_refused_before_the_first(cap: int, refused: bool) -> None:
    """Swabbie's cap counted into a value that was never stored: it never stopped anything."""
    made = plan(world(image("a"), image("b"), image("c")), policy(max_items=cap))
    assert bool(made.refusals) is refused
    assert len(made.steps if not refused else made.withheld) == 3
    assert not (refused and made.steps)


@pytest.mark.parametrize(("percent", "refused"), [(75.0, False), (74.9, True)])
def test_too_large_a_share_of_a_kind_is_refused(percent: float, refused: bool) -> None:
    others = [image(f"other{n}", owner="blog") for n in range(50)]
    made = plan(world(image("a"), image("b"), image("c"), *others), policy(max_percent=percent))
    assert bool(made.refusals) is refused
    assert not refused or "3 of 4 images" in made.refusals[0]
