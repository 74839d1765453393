"""Figures: a history that is worked out by hand, and what holds for every history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.failures.cause import Cause
from tasks.history.record import ReleaseRecord, State, TargetRecord
from tasks.observe.figures import CHANGES, Spread, figures, leads_s, median, percentile, rows, spread

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
DAYS = 10


def at(day: float, hour: float = 0) -> datetime:
    return MONDAY + timedelta(days=day, hours=hour)


def release(version: str, day: float, minutes: float = 5, **more: Any) -> ReleaseRecord:
    """Of the one service; it ends so many minutes after it began."""
    outcome = more.pop("outcome", "live" if more.get("state", "released") == "released" else "untouched")
    given: dict[str, Any] = {
        "app": "shop",
        "environment": "production",
        "version": version,
        "kind": "release",
        "commit": version * 4,
        "run_id": f"{version} on {day}",
        "started": at(day),
        "finished": at(day) + timedelta(minutes=minutes),
        "state": "released",
        "targets": (TargetRecord(service="web", region="europe-west1", outcome=outcome, p95_ms=day * 10),),
        **more,
    }
    return ReleaseRecord(**given)


# Ten days, newest last; below it is read newest first, as from the bucket.
BY_HAND = [
    # stands before the span, so that v2's commits can be told from it
    release("v1", -3, commits={"c1": at(-4)}),
    # two new commits, 24 h 5 min and 12 h 5 min old when released; 5 min in all
    release("v2", 1, commits={"c3": at(0, 12), "c2": at(0), "c1": at(-4)}, seconds={"build": 60, "shift": 30}),
    # never had traffic
    release("v3", 2, state="failed", cause="permission", commits={"c4": at(1)}),
    # a canary that was taken back 10 min after its traffic began
    release(
        "v4",
        3,
        minutes=20,
        state="failed",
        outcome="taken back",
        moved=at(3) + timedelta(minutes=10),
        seconds={"taken back": 8, "build": 500},
        cause="other",
    ),
    # stopped by a person before it had traffic
    release("v5", 4, state="cancelled"),
    # new commits c4 (3 days and 5 min old … as of day 5: 4 d 5 min) and c5 (1 h 5 min)
    release("v6", 5, commits={"c5": at(4, 23), "c4": at(1), "c3": at(0, 12)}, seconds={"build": 90, "shift": 40}),
    # a person goes back to v2: 2 h after v6 had stood
    release("v2", 5 + 2 / 24, minutes=5, action="rollback", left="v6", seconds={"restored": 4.5, "verified": 6}),
    # shipped again
    release("v7", 8, minutes=15, commits={"c6": at(7), "c5": at(4, 23), "c4": at(1)}, seconds={"build": 30}),
    # after the span
    release("v8", 11),
][::-1]
FOUND = figures("production", BY_HAND, at(0), at(DAYS))


def test_how_many_ended_how() -> None:
    assert (FOUND.released, FOUND.failed, FOUND.cancelled, FOUND.under_way) == (3, 2, 1, 0)
    assert FOUND.success_rate == 3 / 5
    assert FOUND.budget.allowed == pytest.approx(5 * 0.005)
    assert FOUND.budget.left == pytest.approx(5 * 0.005 - 2)
    assert FOUND.causes == {Cause.PERMISSION: 1, Cause.OTHER: 1}


def test_how_fast_it_went_back() -> None:
    assert (FOUND.taken_back, FOUND.rollbacks) == (1, 1)
    assert FOUND.rollback_s == Spread(1, 4.5, 4.5)
    assert FOUND.take_back_s == Spread(1, 8, 8)


def test_how_long_each_stage_took_of_those_released() -> None:
    assert FOUND.stages_s == {"build": Spread(3, 60, 90), "shift": Spread(2, 30, 40)}
    assert FOUND.duration_s == Spread(3, 300, 900)
    assert FOUND.latency_p95_ms == {"web": 80}


def test_the_four_dora_figures() -> None:
    assert FOUND.dora.per_day == 3 / DAYS  # v2, v6, v7
    five = timedelta(minutes=5)
    v2, v6 = [timedelta(hours=12) + five, timedelta(hours=24) + five], [timedelta(hours=1) + five, timedelta(4) + five]
    v7 = [timedelta(days=1, minutes=15)]
    assert FOUND.dora.lead_time_s == sorted(v2 + v6 + v7)[2].total_seconds() == 24 * 3600 + 300
    assert FOUND.dora.change_failure_rate == 2 / 4  # v4 and v6, of v2, v4, v6 and v7
    # v4: 10 min; v6: from its end, as its record does not tell when traffic moved, until the rollback's end, 2 h
    assert FOUND.dora.restore_s == 10 * 60


def test_a_rollback_counts_against_the_release_that_it_left_even_after_the_span() -> None:
    until_then = figures("production", BY_HAND, at(4.5), at(5.05))
    assert until_then.rollbacks == 0
    assert (until_then.dora.change_failure_rate, until_then.dora.restore_s) == (1.0, 2 * 3600)


def test_of_nothing_there_are_no_figures_and_no_errors() -> None:
    none = figures("production", [], at(0), at(DAYS))
    assert (none.success_rate, none.duration_s, none.dora.lead_time_s, none.dora.per_day) == (None, None, None, 0)
    assert {row["value"] for row in rows(none)} >= {"-", "0"}


def test_the_first_release_has_waited_for_its_own_commit_alone() -> None:
    first = release("v1", 1, commit="c9" * 20, commits={"c9" * 6: at(0.5), "c8": at(-100)})
    assert leads_s(first, None) == [12 * 3600 + 300]


def test_a_record_of_an_earlier_version_lacks_figures_and_gives_no_wrong_ones() -> None:
    old = release("v1", 1)
    assert figures("production", [old], at(0), at(DAYS)).dora.lead_time_s is None


numbers = st.lists(st.floats(0, 1e6), min_size=1)


@given(numbers, st.floats(0.01, 1))
def test_a_percentile_is_one_that_was_measured_and_bounds_its_share(found: list[float], share: float) -> None:
    value = percentile(sorted(found), share)
    assert value in found
    assert sum(each <= value for each in found) >= share * len(found)
    assert sum(each < value for each in found) < share * len(found)


@given(numbers)
def test_a_spread_is_in_order(found: list[float]) -> None:
    seen = spread(found)
    assert seen is not None
    assert min(found) <= seen.p50 <= seen.p95 <= max(found)
    assert median(found) == seen.p50


records = st.builds(
    release,
    version=st.sampled_from(["v1", "v2", "v3"]),
    day=st.integers(0, 12),
    minutes=st.integers(0, 600),
    state=st.sampled_from(list(State)),
    action=st.sampled_from([*CHANGES, "rollback", "something of a later Slipway"]),
    left=st.sampled_from(["", "v1", "v2"]),
    outcome=st.sampled_from(["live", "taken back", "untouched", "failed", "escalated"]),
    commits=st.dictionaries(st.sampled_from("abcdef"), st.integers(-5, 12).map(at), max_size=6),
    seconds=st.dictionaries(st.sampled_from(["build", "restored", "taken back"]), st.floats(0, 100)),
    moved=st.none() | st.integers(0, 12).map(at),
)


@given(st.lists(records, max_size=12))
def test_whatever_the_history_shares_are_shares_and_every_change_is_counted_once(some: list[ReleaseRecord]) -> None:
    history = sorted(some, key=lambda each: each.started, reverse=True)
    found = figures("production", history, at(0), at(DAYS))
    within = [each for each in history if at(0) <= each.started < at(DAYS) and each.action in CHANGES]
    assert found.released + found.failed + found.cancelled + found.under_way == len(within)
    for share in (found.success_rate, found.dora.change_failure_rate):
        assert share is None or 0 <= share <= 1
    for seconds in (found.dora.lead_time_s, found.dora.restore_s):
        assert seconds is None or seconds >= 0
    assert found.budget.left <= found.budget.allowed
    assert {row["figure"] for row in rows(found)} >= {"success rate", "lead time"}


@given(st.lists(records, max_size=8), st.integers(1, 9))
def test_two_halves_of_a_span_have_as_many_releases_as_the_whole(some: list[ReleaseRecord], day: int) -> None:
    history = sorted(some, key=lambda each: each.started, reverse=True)
    whole = figures("e", history, at(0), at(DAYS))
    halves = [figures("e", history, at(0), at(day)), figures("e", history, at(day), at(DAYS))]
    for name in ("released", "failed", "cancelled", "taken_back", "rollbacks"):
        assert getattr(whole, name) == sum(getattr(half, name) for half in halves)
