"""Tests that may be asked as often as one likes: what they are worth when nothing is wrong, and when something is."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.analysis.sequential import (
    Latencies,
    e_less,
    e_more,
    e_slower,
    histogram,
    measured,
    odds_slower,
    slowdown,
    wilson,
)

RUNS = 400


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(0, 100, 0.0, 0.0370), (3, 60, 0.0171, 0.1370), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662), (0, 0, 0, 1)],
)
def test_the_interval_is_wilsons(count: int, total: int, low: float, high: float) -> None:
    """The fourth is the example of Newcombe, Statistics in Medicine 17 (1998), p. 861, method 3."""
    assert wilson(count, total) == pytest.approx((low, high), abs=5e-5)


def ever(share: float, convinced_by: float, limit: float, *, more: bool) -> int:
    """In how many of `RUNS` streams of 2,000 requests the evidence was convincing at any of 200 looks."""
    random, found = Random(7), 0
    for _ in range(RUNS):
        count, evidence = 0, 0.0
        for total in range(10, 2_001, 10):
            count += sum(random.random() < share for _ in range(10))
            evidence = e_more(count, total, limit) if more else e_less(count, total, limit / 10, limit)
            if evidence >= math.log(convinced_by):
                found += 1
                break
    return found


def test_looking_two_hundred_times_convinces_no_more_often_by_chance_than_once() -> None:
    assert ever(0.02, 20, 0.02, more=True) <= RUNS / 20
    assert ever(0.02, 20, 0.02, more=False) <= RUNS / 20


def test_what_is_so_is_seen_sooner_or_later() -> None:
    assert ever(0.06, 20, 0.02, more=True) == RUNS
    assert ever(0.002, 20, 0.02, more=False) == RUNS


@given(st.integers(0, 500), st.integers(1, 5_000), st.floats(0.0005, 0.5))
def test_evidence_is_a_number_whatever_was_counted(count: int, total: int, share: float) -> None:
    count = min(count, total)
    assert math.isfinite(e_more(count, total, share))
    assert math.isfinite(e_less(count, total, share / 10, share))
    assert min(e_more(count, total, share), e_less(count, total, share / 10, share)) <= 0.7  # never both at once


def a_sample(random: Random, median_ms: float, count: int) -> Latencies:
    return measured([random.lognormvariate(math.log(median_ms), 0.8) for _ in range(count)])


def test_equal_latencies_are_told_from_half_as_long_again_and_from_no_other() -> None:
    random, bad = Random(3), math.log(1.5)
    for _ in range(50):
        stable, equal, slow = (a_sample(random, ms, 600) for ms in (100, 100, 150))
        assert odds_slower(*slowdown(equal, stable), bad) < -math.log(100)
        assert odds_slower(*slowdown(slow, stable), bad) > 0
        assert e_slower(*slowdown(slow, stable)) > math.log(1000) > e_slower(*slowdown(equal, stable))


class TestLatencies:
    BOUNDS = (10.0, 100.0, 1_000.0)

    def test_a_bucket_stands_at_its_middle(self) -> None:
        found = histogram(self.BOUNDS, (2, 3, 0, 1))
        assert found.ms == pytest.approx((5.0, 31.6, 1_000.0), abs=0.1)
        assert found.counts == (2, 3, 1)

    def test_zeros_at_the_end_may_be_left_out(self) -> None:
        assert histogram(self.BOUNDS, (0, 2)) == histogram(self.BOUNDS, (0, 2, 0, 0))

    @pytest.mark.parametrize("counts", [(), (0, 0, 0, 0)], ids=["left-out", "zeros"])
    def test_an_empty_histogram_has_no_latencies(self, counts: tuple[int, ...]) -> None:
        assert histogram(self.BOUNDS, counts).total == 0

    def test_what_is_no_number_is_no_latency(self) -> None:
        assert measured([math.nan, math.inf, 5.0]) == Latencies((5.0,), (1,))

    def test_mean_quantiles_and_share_above_are_those_of_the_values(self) -> None:
        found = measured([1.0, 10.0, 100.0])
        assert found.typical_ms == pytest.approx(10.0)
        assert found.quantile(0.5) == 10.0
        assert found.quantile(1.0) == 100.0
        assert found.above(10.0) == 1

    @given(st.lists(st.floats(0.1, 1e5), min_size=1, max_size=50))
    def test_the_variance_of_a_mean_is_never_zero(self, times: list[float]) -> None:
        found = measured(times)
        assert found.log_variance > 0
        assert min(times) * 0.99 <= found.typical_ms <= max(times) * 1.01
