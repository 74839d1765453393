"""Slower or not: by what matters, beyond doubt, and warm."""

from __future__ import annotations

import math
from random import Random
from statistics import NormalDist

import pytest

from tasks.analysis.latency import judge_dark, judge_latency
from tasks.analysis.sequential import histogram, measured
from tasks.analysis.verdict import Rules
from tasks.model import Verdict

HEALTHY, UNHEALTHY, INCONCLUSIVE = Verdict.HEALTHY, Verdict.UNHEALTHY, Verdict.INCONCLUSIVE
RULES = Rules()


def lognormal(count: int, median_ms: float, sigma: float = 0.5) -> list[float]:
    """A sample without luck: the distribution's own quantiles."""
    normal = NormalDist(math.log(median_ms), sigma)
    return [math.exp(normal.inv_cdf((rank + 0.5) / count)) for rank in range(count)]


def judge(ours: list[float], theirs: list[float]) -> Verdict:
    return judge_latency(measured(ours), measured(theirs), RULES).verdict


@pytest.mark.parametrize(
    ("count", "factor", "verdict"),
    [
        pytest.param(500, 1.0, HEALTHY, id="equal"),
        pytest.param(20_000, 1.1, HEALTHY, id="sure-but-too-small-to-matter"),
        pytest.param(19, 3.0, INCONCLUSIVE, id="too-few"),
        pytest.param(25, 3.0, UNHEALTHY, id="three-times-in-twenty-five"),
        pytest.param(25, 1.5, INCONCLUSIVE, id="suspicious"),
        pytest.param(20, 1.0, INCONCLUSIVE, id="equal-but-few"),
        pytest.param(2_000, 1.3, UNHEALTHY, id="a-third-slower-beyond-doubt"),
        pytest.param(2_000, 0.3, HEALTHY, id="faster"),
    ],
)
def test_the_verdict_on_latency(count: int, factor: float, verdict: Verdict) -> None:
    assert judge(lognormal(count, 100 * factor), lognormal(count, 100)) is verdict


def test_milliseconds_that_nobody_notices_do_not_count() -> None:
    assert judge(lognormal(2_000, 4, 0.3), lognormal(2_000, 2, 0.3)) is HEALTHY


def test_a_slow_tail_counts_though_the_median_is_equal() -> None:
    assert judge(lognormal(1_800, 100) + lognormal(200, 1_000), lognormal(2_000, 100)) is UNHEALTHY


def test_a_slow_median_counts_though_the_tail_is_equal() -> None:
    assert judge(lognormal(400, 140, sigma=0.3), lognormal(400, 100)) is UNHEALTHY


def test_a_faster_candidate_with_a_few_slow_requests_passes() -> None:
    assert judge(lognormal(560, 30) + [300.0] * 20, lognormal(1_000, 100)) is HEALTHY


def test_many_equal_values_are_as_fast_as_each_other() -> None:
    assert judge([50.0] * 100, [50.0] * 100) is HEALTHY


@pytest.mark.parametrize("hole", [math.nan, math.inf], ids=["nan", "infinite"])
def test_holes_in_the_data_are_no_data_and_hide_no_slowdown(hole: float) -> None:
    stable = lognormal(50, 100)
    assert judge(lognormal(19, 300) + [hole] * 30, stable) is INCONCLUSIVE
    assert judge(lognormal(50, 300) + [hole] * 30, stable) is UNHEALTHY
    assert judge([hole] * 50, stable) is INCONCLUSIVE


def test_a_slowdown_shows_through_coarse_buckets() -> None:
    bounds = (10.0, 100.0, 1_000.0)
    fast, slow = histogram(bounds, (0, 90, 10)), histogram(bounds, (0, 40, 60))
    assert judge_latency(slow, fast, RULES).verdict is UNHEALTHY


def test_twenty_probes_of_equal_revisions_never_refuse_one_and_a_gross_slowdown_always_does() -> None:
    random, rules = Random(11), Rules(min_samples=10)

    def probes(median_ms: float) -> list[float]:
        return [random.lognormvariate(math.log(median_ms), 0.5) for _ in range(20)]

    verdicts = [judge_dark(probes(100), probes(100), rules).verdict for _ in range(500)]
    assert set(verdicts) == {HEALTHY}
    assert judge_dark(probes(200), probes(2), rules).verdict is UNHEALTHY
