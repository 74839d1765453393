"""Verdicts at their boundaries, what no data means, and how often chance alone may take a good release back."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.analysis.sequential import wilson
from tasks.analysis.verdict import (
    Course,
    Judgement,
    Probe,
    Rules,
    Window,
    combine,
    escalate,
    judge_ceiling,
    judge_errors,
    judge_probes,
    judge_refused,
    judge_stable,
    on_inconclusive,
)
from tasks.model import Verdict

HEALTHY, UNHEALTHY, INCONCLUSIVE = Verdict.HEALTHY, Verdict.UNHEALTHY, Verdict.INCONCLUSIVE
RULES = Rules()
STABLE = Window(10_000, 10)  # 0.1 %

OK = Probe(True, 20.0, 200)
BAD = Probe(False, 20.0, 500)
REFUSED = Probe(False, 1.0, None, "connection refused")


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
            pytest.param([OK, OK, OK, OK, BAD] * 16, UNHEALTHY, id="one-in-five-fails"),
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
            pytest.param(Window(10_000, 70), STABLE, HEALTHY, id="barely-healthy"),
            pytest.param(Window(10_000, 95), STABLE, INCONCLUSIVE, id="barely-unclear"),
            pytest.param(Window(10_000, 160), STABLE, UNHEALTHY, id="barely-unhealthy"),
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

    @pytest.mark.parametrize(
        ("requests", "next_percent", "verdict"),
        [(150, 25, HEALTHY), (150, 50, INCONCLUSIVE), (300, 100, HEALTHY), (300, None, INCONCLUSIVE)],
    )
    def test_a_small_next_step_needs_less_proof_than_a_large_one_and_the_end_needs_most(
        self, requests: int, next_percent: int | None, verdict: Verdict
    ) -> None:
        assert judge_errors(Window(requests, 0), STABLE, RULES, next_percent).verdict is verdict

    def test_no_step_is_so_small_that_a_candidate_above_the_ceiling_passes(self) -> None:
        assert judge_errors(Window(1_000, 150), Window(1_000, 150), RULES, next_percent=1).verdict is INCONCLUSIVE

    def test_what_is_missing_is_told_in_requests_and_is_what_is_missing(self) -> None:
        judgement = judge_errors(Window(200, 0), STABLE, RULES)
        assert f"{judgement.missing} more without an error" in judgement.reason
        assert judge_errors(Window(200 + judgement.missing, 0), STABLE, RULES).verdict is HEALTHY
        assert judge_errors(Window(0, 0), STABLE, RULES).missing == judgement.needed

    def test_errors_that_stable_does_not_have_make_doubtful_before_they_condemn(self) -> None:
        assert judge_errors(Window(300, 4), STABLE, RULES).doubtful
        assert not judge_errors(Window(300, 0), STABLE, RULES).doubtful

    def test_the_reason_gives_the_numbers(self) -> None:
        judgement = judge_errors(Window(100, 20), STABLE, RULES)
        assert judgement.reason == "20 of 100 requests failed (20 %): surely above 1 %"
        assert judgement.evidence == ("20 of 100 requests failed (20 %)", "10 of 10000 failed on stable (0.1 %)")

    @pytest.mark.parametrize("rate", [0.001, 0.005, 0.01])
    def test_chance_alone_hardly_ever_takes_a_good_release_back_however_often_it_is_looked_at(
        self, rate: float
    ) -> None:
        random, rules, condemned = Random(5), replace(RULES, alpha=0.05, tests=1), 0
        for _ in range(200):
            errors = 0
            for requests in range(20, 2_001, 20):
                errors += sum(random.random() < rate for _ in range(20))
                if judge_errors(Window(requests, errors), None, rules).verdict is UNHEALTHY:
                    condemned += 1
                    break
        assert condemned <= 200 * rules.alpha

    def test_two_errors_are_never_a_rate_however_few_the_tests(self) -> None:
        rules = replace(RULES, tests=1)
        assert judge_errors(Window(2, 2), STABLE, rules).verdict is INCONCLUSIVE
        assert judge_errors(Window(3, 3), STABLE, rules).verdict is UNHEALTHY

    def test_more_tests_need_stronger_evidence(self) -> None:
        few, many = replace(RULES, tests=1), replace(RULES, tests=10_000)
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


class TestRefused:
    """Answers of class 4xx: clients make them, unless only the candidate gives them."""

    @pytest.mark.parametrize(
        ("candidate", "stable", "verdict"),
        [
            pytest.param(Window(10, 0, 10), Window(1_000, 0, 30), UNHEALTHY, id="404-to-everybody"),
            pytest.param(Window(1_000, 0, 300), Window(1_000, 0, 30), UNHEALTHY, id="401-to-some"),
            pytest.param(Window(1_000, 0, 90), Window(1_000, 0, 30), HEALTHY, id="what-clients-vary-by"),
            pytest.param(Window(1_000, 0, 950), Window(1_000, 0, 950), HEALTHY, id="an-api-that-refuses-everybody"),
            pytest.param(Window(2, 0, 2), Window(1_000, 0, 30), HEALTHY, id="two-are-no-rate"),
            pytest.param(Window(0, 0), Window(1_000, 0, 30), HEALTHY, id="no-requests"),
        ],
    )
    def test_the_verdict_on_4xx(self, candidate: Window, stable: Window, verdict: Verdict) -> None:
        assert judge_refused(candidate, stable, RULES).verdict is verdict

    def test_other_minutes_may_have_other_clients(self) -> None:
        candidate, stable = Window(1_000, 0, 300), Window(1_000, 0, 30)
        assert judge_refused(candidate, stable, RULES, same_minutes=False).verdict is HEALTHY
        assert judge_refused(Window(1_000, 0, 1_000), stable, RULES, same_minutes=False).verdict is UNHEALTHY


class TestCeiling:
    """What a service of few users can prove: that it is no outage."""

    @pytest.mark.parametrize(
        ("window", "verdict"),
        [
            (Window(60, 0), INCONCLUSIVE),
            (Window(90, 0), HEALTHY),
            (Window(90, 2), INCONCLUSIVE),
            (Window(200, 4), HEALTHY),
        ],
    )
    def test_an_outage_is_excluded_by_few_requests(self, window: Window, verdict: Verdict) -> None:
        assert judge_ceiling(window, RULES).verdict is verdict

    def test_one_error_in_ten_is_doubtful(self) -> None:
        assert judge_ceiling(Window(60, 6), RULES).doubtful
        assert not judge_ceiling(Window(60, 1), RULES).doubtful


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
