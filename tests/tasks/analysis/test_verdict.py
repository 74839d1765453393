"""Verdicts at their boundaries, what no data means, and how often chance alone may take a good release back."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import replace
from itertools import permutations
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from tasks.analysis.verdict import (
    SAMPLES,
    Course,
    Judgement,
    Probe,
    Rules,
    Window,
    combine,
    escalate,
    judge_errors,
    judge_latency,
    judge_probes,
    judge_stable,
    judge_window,
    on_inconclusive,
    p50_p95,
    spread,
    wilson,
)
from tasks.model import Verdict

HEALTHY, UNHEALTHY, INCONCLUSIVE = Verdict.HEALTHY, Verdict.UNHEALTHY, Verdict.INCONCLUSIVE
RULES = Rules()
STABLE = Window(10_000, 10)  # 0.1 %

OK = Probe(True, 20.0, 200)
BAD = Probe(False, 20.0, 500)
REFUSED = Probe(False, 1.0, None, "connection refused")


def lognormal(count: int, median_ms: float, sigma: float = 0.5) -> list[float]:
    """A sample without luck: the distribution's own quantiles."""
    normal = NormalDist(math.log(median_ms), sigma)
    return [math.exp(normal.inv_cdf((rank + 0.5) / count)) for rank in range(count)]


class TestProbes:
    @pytest.mark.parametrize(
        ("probes", "verdict"),
        [
            pytest.param([], INCONCLUSIVE, id="not-probed"),
            pytest.param([BAD] * 4, INCONCLUSIVE, id="tries-left"),
            pytest.param([BAD] * 5, UNHEALTHY, id="never-accepted"),
            pytest.param([REFUSED] * 5, UNHEALTHY, id="never-reached"),
            pytest.param([BAD] * 5 + [OK] * 20, UNHEALTHY, id="accepted-after-the-last-try"),
            pytest.param([BAD] * 4 + [OK] * 20, HEALTHY, id="accepted-at-the-last-try"),
            pytest.param([OK] * 19, INCONCLUSIVE, id="one-sample-short"),
            pytest.param([OK] * 20, HEALTHY, id="just-enough"),
            pytest.param([OK] * 19 + [BAD], INCONCLUSIVE, id="a-single-failure-asks-for-more"),
            pytest.param([OK] * 19 + [BAD] + [OK] * 20, HEALTHY, id="a-single-failure-passes"),
            pytest.param([OK] * 10 + [BAD] * 10, UNHEALTHY, id="breaks-down"),
            pytest.param([OK, OK, OK, OK, BAD] * 14, UNHEALTHY, id="one-in-five-fails"),
            pytest.param([OK] + [BAD] * 2, INCONCLUSIVE, id="two-errors-are-no-rate"),
        ],
    )
    def test_the_verdict_on_probes(self, probes: list[Probe], verdict: Verdict) -> None:
        assert judge_probes(probes, RULES).verdict is verdict

    def test_the_reason_names_what_the_last_try_met(self) -> None:
        assert judge_probes([BAD, BAD, BAD, BAD, REFUSED], RULES).reason.endswith("the last with connection refused")
        assert judge_probes([BAD] * 5, RULES).reason.endswith("the last with status 500")

    def test_failures_after_the_first_answer_are_in_the_evidence(self) -> None:
        judgement = judge_probes([BAD, OK, BAD, *[OK] * 20], RULES)
        assert judgement.evidence == ("accepted at try 2; 1 of 22 probes failed since", "status 500")


class TestErrors:
    @pytest.mark.parametrize(
        ("candidate", "stable", "verdict"),
        [
            pytest.param(Window(0, 0), STABLE, INCONCLUSIVE, id="no-requests"),
            pytest.param(Window(4, 4), STABLE, UNHEALTHY, id="four-of-four-acts"),
            pytest.param(Window(2, 2), STABLE, INCONCLUSIVE, id="two-of-two-is-a-blip"),
            pytest.param(Window(1_000, 30), Window(100, 1), INCONCLUSIVE, id="too-little-seen-of-stable"),
            pytest.param(Window(21, 3), STABLE, INCONCLUSIVE, id="three-of-21-happens-by-chance"),
            pytest.param(Window(100, 20), STABLE, UNHEALTHY, id="one-in-five"),
            pytest.param(Window(99, 0), STABLE, INCONCLUSIVE, id="one-request-short"),
            pytest.param(Window(1_000, 1), STABLE, HEALTHY, id="as-good-as-stable"),
            pytest.param(Window(10_000, 82), STABLE, HEALTHY, id="barely-healthy"),
            pytest.param(Window(10_000, 95), STABLE, INCONCLUSIVE, id="barely-unclear"),
            pytest.param(Window(10_000, 142), STABLE, UNHEALTHY, id="barely-unhealthy"),
            pytest.param(Window(10_000, 300), Window(10_000, 310), HEALTHY, id="no-worse-than-a-bad-stable"),
            pytest.param(Window(10_000, 600), Window(10_000, 300), UNHEALTHY, id="twice-as-bad-as-a-bad-stable"),
            pytest.param(Window(1_000, 300), Window(1_000, 300), INCONCLUSIVE, id="both-down-is-not-healthy"),
            pytest.param(Window(1_000, 0), Window(1_000, 300), HEALTHY, id="the-fix-for-a-stable-that-is-down"),
            pytest.param(Window(1_000, 0), None, HEALTHY, id="first-deployment"),
            pytest.param(Window(1_000, 200), Window(0, 0), UNHEALTHY, id="stable-without-requests"),
            pytest.param(Window(10, 400), STABLE, UNHEALTHY, id="more-errors-than-requests"),
            pytest.param(Window(1_000, -1), STABLE, INCONCLUSIVE, id="negative-errors"),
        ],
    )
    def test_the_verdict_on_errors(self, candidate: Window, stable: Window | None, verdict: Verdict) -> None:
        assert judge_errors(candidate, stable, RULES).verdict is verdict

    @pytest.mark.parametrize("hole", [math.nan, math.inf], ids=["nan", "infinite"])
    def test_numbers_that_are_none_are_no_data(self, hole: float) -> None:
        for window in (Window(hole, 0), Window(1_000, hole), Window(hole, hole)):  # type: ignore[arg-type]
            assert judge_errors(window, STABLE, RULES).verdict is INCONCLUSIVE
        assert judge_errors(Window(1_000, 0), Window(hole, hole), RULES).verdict is HEALTHY  # type: ignore[arg-type]

    @pytest.mark.parametrize(("next_percent", "verdict"), [(25, HEALTHY), (50, INCONCLUSIVE), (100, INCONCLUSIVE)])
    def test_a_small_next_step_needs_less_proof_than_a_large_one(self, next_percent: int, verdict: Verdict) -> None:
        assert judge_errors(Window(120, 0), STABLE, RULES, next_percent).verdict is verdict

    def test_no_step_is_so_small_that_a_candidate_above_the_ceiling_passes(self) -> None:
        assert judge_errors(Window(1_000, 150), Window(1_000, 150), RULES, next_percent=1).verdict is INCONCLUSIVE

    def test_the_reason_gives_the_numbers(self) -> None:
        judgement = judge_errors(Window(100, 20), STABLE, RULES)
        assert judgement.reason == "20 of 100 requests failed (20 %): surely above 1 %"
        assert judgement.evidence == ("20 of 100 requests failed (20 %)", "10 of 10000 failed on stable (0.1 %)")

    @pytest.mark.parametrize("requests", [3, 21, 60, 400, 2_000])
    @pytest.mark.parametrize("rate", [0.001, 0.005, 0.01])
    def test_chance_alone_takes_a_good_release_back_no_more_often_than_a_look_may(
        self, requests: int, rate: float
    ) -> None:
        def condemned(errors: int) -> bool:
            return judge_errors(Window(requests, errors), None, RULES).verdict is UNHEALTHY

        fewest = bisect_left(range(requests + 1), True, key=condemned)
        assert fewest <= requests, "the test could not fail"
        assert binom.sf(fewest - 1, requests, rate) < RULES.alpha_per_look

    def test_two_errors_are_never_a_rate_however_few_the_looks(self) -> None:
        rules = replace(RULES, looks=1)
        assert judge_errors(Window(2, 2), STABLE, rules).verdict is INCONCLUSIVE
        assert judge_errors(Window(3, 3), STABLE, rules).verdict is UNHEALTHY

    def test_more_looks_need_stronger_evidence(self) -> None:
        few, many = replace(RULES, looks=10), replace(RULES, looks=10_000)
        window = Window(100, 8)
        assert judge_errors(window, STABLE, few).verdict is UNHEALTHY
        assert judge_errors(window, STABLE, many).verdict is INCONCLUSIVE

    @given(st.integers(0, 5_000), st.integers(0, 5_000), st.integers(1, 100), st.integers(0, 5_000))
    def test_a_healthy_candidate_is_always_well_observed_and_below_the_ceiling(
        self, requests: int, errors: int, next_percent: int, stable_errors: int
    ) -> None:
        errors = min(errors, requests)
        judgement = judge_errors(Window(requests, errors), Window(5_000, stable_errors), RULES, next_percent)
        if judgement.verdict is HEALTHY:
            assert requests >= RULES.min_requests
            assert wilson(errors, requests)[1] < RULES.ceiling
        if judgement.verdict is UNHEALTHY:
            assert errors / requests > max(RULES.error_limit, stable_errors / 5_000)


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(0, 100, 0.0, 0.0370), (3, 60, 0.0171, 0.1370), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_the_interval_is_wilsons(count: int, total: int, low: float, high: float) -> None:
    """The last is the example of Newcombe, Statistics in Medicine 17 (1998), p. 861, method 3."""
    assert wilson(count, total) == pytest.approx((low, high), abs=5e-5)


class TestLatency:
    @pytest.mark.parametrize(
        ("count", "factor", "verdict"),
        [
            pytest.param(200, 1.0, HEALTHY, id="equal"),
            pytest.param(20_000, 1.1, HEALTHY, id="sure-but-too-small-to-matter"),
            pytest.param(19, 3.0, INCONCLUSIVE, id="too-few"),
            pytest.param(20, 3.0, UNHEALTHY, id="three-times-in-twenty"),
            pytest.param(25, 1.5, INCONCLUSIVE, id="suspicious"),
            pytest.param(20, 1.26, HEALTHY, id="well-explained-by-chance"),
            pytest.param(2_000, 1.3, UNHEALTHY, id="a-third-slower-beyond-doubt"),
            pytest.param(2_000, 0.3, HEALTHY, id="faster"),
        ],
    )
    def test_the_verdict_on_latency(self, count: int, factor: float, verdict: Verdict) -> None:
        judgement = judge_latency(lognormal(count, 100 * factor), lognormal(count, 100), RULES)
        assert judgement.verdict is verdict

    def test_milliseconds_that_nobody_notices_do_not_count(self) -> None:
        assert judge_latency(lognormal(2_000, 6), lognormal(2_000, 2), RULES).verdict is HEALTHY

    def test_a_slow_tail_counts_though_the_median_is_equal(self) -> None:
        slow_tail = lognormal(360, 100) + lognormal(40, 1_000)
        judgement = judge_latency(slow_tail, lognormal(400, 100), RULES)
        assert judgement.verdict is UNHEALTHY
        assert judgement.evidence[0].startswith("p50 107 ms, p95 9")

    def test_a_slow_median_counts_though_the_tail_is_equal(self) -> None:
        judgement = judge_latency(lognormal(400, 135, sigma=0.3), lognormal(400, 100), RULES)
        assert judgement.verdict is UNHEALTHY
        assert judgement.evidence[0] == "p50 135 ms, p95 220 ms; stable 100 and 226 ms"

    def test_a_faster_candidate_with_a_few_slow_requests_passes(self) -> None:
        assert judge_latency(lognormal(56, 30) + [300.0] * 4, lognormal(1_000, 100), RULES).verdict is HEALTHY

    def test_a_tail_that_too_few_of_stables_requests_define_is_no_proof(self) -> None:
        assert judge_latency(lognormal(400, 100, sigma=0.65), lognormal(20, 100), RULES).verdict is HEALTHY

    def test_many_equal_values_are_as_fast_as_each_other(self) -> None:
        assert judge_latency([50.0] * 100, [50.0] * 100, RULES).verdict is HEALTHY

    @pytest.mark.parametrize(
        ("candidate", "stable"),
        [([], lognormal(50, 100)), (lognormal(50, 100), []), ([math.nan] * 50, lognormal(50, 100)), ([], [])],
        ids=["candidate", "stable", "nan", "both"],
    )
    def test_no_latencies_are_inconclusive(self, candidate: list[float], stable: list[float]) -> None:
        assert judge_latency(candidate, stable, RULES).verdict is INCONCLUSIVE

    @pytest.mark.parametrize("hole", [math.nan, math.inf], ids=["nan", "infinite"])
    def test_holes_in_the_data_are_no_data_and_hide_no_slowdown(self, hole: float) -> None:
        stable = lognormal(50, 100)
        assert judge_latency(lognormal(19, 300) + [hole] * 30, stable, RULES).verdict is INCONCLUSIVE
        assert judge_latency(lognormal(50, 300) + [hole] * 30, stable, RULES).verdict is UNHEALTHY


class TestSpread:
    BOUNDS = (10.0, 100.0, 1_000.0)

    def test_counts_lie_evenly_in_their_buckets(self) -> None:
        assert spread(self.BOUNDS, (2, 3, 0, 1)) == pytest.approx((2.5, 7.5, 25, 55, 85, 1_000))

    def test_zeros_at_the_end_may_be_left_out(self) -> None:
        assert spread(self.BOUNDS, (0, 2)) == spread(self.BOUNDS, (0, 2, 0, 0))

    @pytest.mark.parametrize("counts", [(), (0, 0, 0, 0)], ids=["left-out", "zeros"])
    def test_an_empty_histogram_has_no_samples(self, counts: tuple[int, ...]) -> None:
        assert spread(self.BOUNDS, counts) == ()

    def test_no_histogram_has_no_samples(self) -> None:
        assert spread((), ()) == ()

    def test_a_large_histogram_keeps_its_quantiles(self) -> None:
        samples = spread(self.BOUNDS, (500_000, 400_000, 100_000, 0))
        assert len(samples) == SAMPLES
        assert p50_p95(samples) == pytest.approx((10, 550), rel=0.01)

    @given(st.lists(st.integers(0, 3_000), max_size=4))
    def test_samples_are_sorted_bounded_and_as_many_as_counted(self, counts: list[int]) -> None:
        samples = spread(self.BOUNDS, counts)
        assert len(samples) == min(sum(counts), SAMPLES)
        assert list(samples) == sorted(samples)
        assert all(0 <= sample <= 1_000 for sample in samples)

    def test_a_slowdown_shows_through_coarse_buckets(self) -> None:
        fast, slow = spread(self.BOUNDS, (0, 90, 10)), spread(self.BOUNDS, (0, 40, 60))
        assert judge_latency(slow, fast, RULES).verdict is UNHEALTHY


class TestWindow:
    FAST, SLOW = tuple(lognormal(1_000, 100)), tuple(lognormal(1_000, 300))

    @pytest.mark.parametrize(
        ("candidate", "verdict"),
        [
            pytest.param(Window(1_000, 0, FAST), HEALTHY, id="right-and-fast"),
            pytest.param(Window(1_000, 0, SLOW), UNHEALTHY, id="right-but-slow"),
            pytest.param(Window(1_000, 200, FAST), UNHEALTHY, id="fast-but-wrong"),
            pytest.param(Window(1_000, 0), INCONCLUSIVE, id="no-latencies"),
            pytest.param(Window(0, 0), INCONCLUSIVE, id="no-traffic"),
        ],
    )
    def test_errors_and_latency_are_judged_together(self, candidate: Window, verdict: Verdict) -> None:
        assert judge_window(candidate, Window(1_000, 0, self.FAST), RULES).verdict is verdict

    def test_a_first_deployment_has_no_latency_to_compare_with(self) -> None:
        assert judge_window(Window(1_000, 0, self.SLOW), None, RULES).verdict is HEALTHY


class TestCombine:
    @pytest.mark.parametrize(
        ("verdicts", "expected"),
        [
            pytest.param((HEALTHY, INCONCLUSIVE, UNHEALTHY), UNHEALTHY, id="unhealthy-beats-all"),
            pytest.param((HEALTHY, INCONCLUSIVE), INCONCLUSIVE, id="inconclusive-beats-healthy"),
            pytest.param((HEALTHY, HEALTHY), HEALTHY, id="all-healthy"),
            pytest.param((), INCONCLUSIVE, id="nothing"),
        ],
    )
    def test_the_worst_verdict_wins_in_any_order(self, verdicts: tuple[Verdict, ...], expected: Verdict) -> None:
        for order in permutations(verdicts):
            assert combine(Judgement(verdict, verdict.value) for verdict in order).verdict is expected

    def test_the_reason_is_the_deciding_one_and_the_evidence_is_complete(self) -> None:
        judgement = combine(
            [
                Judgement(HEALTHY, "probes passed", ("20 probes",)),
                Judgement(UNHEALTHY, "too many errors", ("20 of 100 failed",)),
                Judgement(UNHEALTHY, "too slow", ("p50 300 ms", "20 of 100 failed")),
            ]
        )
        assert judgement.reason == "too many errors; too slow"
        assert judgement.evidence == ("20 probes", "20 of 100 failed", "p50 300 ms")

    def test_nothing_measured_is_said(self) -> None:
        assert combine([]).reason == "nothing was measured"


@pytest.mark.parametrize(
    ("policy", "waited_s", "course"),
    [
        pytest.param(Course.PAUSE, 59.9, Course.WAIT, id="a-person-is-not-asked-before-the-limit"),
        pytest.param(Course.PAUSE, 60.0, Course.PAUSE, id="a-person-is-asked-at-the-limit"),
        pytest.param(Course.ROLL_BACK, 0.0, Course.ROLL_BACK, id="rollback-does-not-wait"),
        pytest.param(Course.WAIT, 59.9, Course.WAIT, id="waiting-goes-on"),
        pytest.param(Course.WAIT, 60.0, Course.ROLL_BACK, id="waiting-has-an-end"),
    ],
)
def test_an_inconclusive_verdict_leads_to_what_the_environment_says(
    policy: Course, waited_s: float, course: Course
) -> None:
    assert on_inconclusive(policy, waited_s, limit_s=60.0) is course


class TestEscalate:
    BAD_STABLE = judge_stable(Window(1_000, 300), RULES)

    def test_a_stable_revision_that_is_down_means_the_outage_is_elsewhere(self) -> None:
        candidate = judge_errors(Window(1_000, 310), Window(1_000, 300), RULES)
        reason = escalate(candidate, self.BAD_STABLE)
        assert reason == (
            "the outage is elsewhere: the stable revision is unhealthy too (300 of 1000 requests failed (30 %): "
            "surely above 10 %)"
        )

    def test_probes_that_fail_on_both_sides_mean_so_too(self) -> None:
        failing = judge_probes([REFUSED] * 5, RULES)
        assert escalate(failing, failing)

    @pytest.mark.parametrize("stable", [Window(1_000, 30), Window(0, 0)], ids=["known-to-be-mediocre", "unknown"])
    def test_otherwise_going_back_helps(self, stable: Window) -> None:
        assert escalate(Judgement(UNHEALTHY, "20 % errors"), judge_stable(stable, RULES)) is None

    def test_a_healthy_candidate_needs_no_escalation(self) -> None:
        assert escalate(Judgement(HEALTHY, "the fix"), self.BAD_STABLE) is None
