"""Verdicts on error rates at their boundaries, and how often chance alone may take a good release back."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.analysis.sequential import wilson
from tasks.analysis.verdict import Window, judge_ceiling, judge_errors
from tasks.model import Verdict
from tests.tasks.analysis.verdicts import HEALTHY, INCONCLUSIVE, RULES, UNHEALTHY

STABLE = Window(10_000, 10)  # 0.1 %


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

    def test_fewer_requests_than_asked_for_prove_nothing_however_sure_they_are(self) -> None:
        short, enough = (judge_errors(Window(requests, 0), STABLE, RULES, next_percent=5) for requests in (99, 100))
        assert (short.verdict, short.missing, short.needed) == (INCONCLUSIVE, 1, 100)
        assert (enough.verdict, enough.missing, enough.needed) == (HEALTHY, 0, 0)

    @pytest.mark.parametrize(
        ("stable", "below", "needed"),
        [(None, "1 %", 560), (Window(1_000, 10), "1.73 %", 622), (Window(1_000, 300), "10 %", 210)],
    )
    def test_what_is_needed_is_what_it_takes_beside_stable(
        self, stable: Window | None, below: str, needed: int
    ) -> None:
        found = judge_errors(Window(10, 0), stable, RULES)
        assert found.reason.endswith(f"below {below}")
        assert found.needed == needed
        assert judge_errors(Window(found.needed, 0), stable, RULES).verdict is HEALTHY
        assert judge_errors(Window(found.needed // 3, 0), stable, RULES).verdict is INCONCLUSIVE
        assert judge_errors(Window(0, 0), stable, RULES).needed == found.needed

    def test_no_errors_at_all_are_proven_as_one_in_a_thousand(self) -> None:
        none, few = (judge_errors(Window(10, 0), None, replace(RULES, error_limit=limit)) for limit in (0.0, 0.001))
        assert none.needed == few.needed
        assert none.reason.endswith("below 0.1 %")

    def test_what_is_missing_is_told_in_requests_and_is_what_is_missing(self) -> None:
        judgement = judge_errors(Window(200, 0), STABLE, RULES)
        assert f"{judgement.missing} more without an error" in judgement.reason
        assert judge_errors(Window(200 + judgement.missing, 0), STABLE, RULES).verdict is HEALTHY
        assert judge_errors(Window(0, 0), STABLE, RULES).missing == judgement.needed

    def test_errors_that_stable_does_not_have_make_doubtful_before_they_condemn(self) -> None:
        assert judge_errors(Window(300, 4), STABLE, RULES).doubtful
        assert not judge_errors(Window(300, 0), STABLE, RULES).doubtful
        assert not judge_errors(Window(300, 2), STABLE, RULES).doubtful
        assert not judge_errors(Window(100, 2), Window(1_000, 300), RULES).doubtful  # stable is much worse

    def test_one_error_is_not_doubtful_however_little_is_asked_for(self) -> None:
        assert not judge_errors(Window(2, 1), STABLE, replace(RULES, certain=10)).doubtful
        assert judge_errors(Window(4, 2), STABLE, replace(RULES, certain=10)).doubtful

    def test_the_reason_gives_the_numbers(self) -> None:
        judgement = judge_errors(Window(100, 20), STABLE, RULES)
        assert judgement.reason == "20 of 100 requests failed (20 %): surely above 1 %"
        assert judgement.evidence == ("20 of 100 requests failed (20 %)", "10 of 10000 failed on stable (0.1 %)")

    @pytest.mark.parametrize(
        ("stable", "said"),
        [
            (None, "0 of 0 failed on stable (0 %)"),
            (Window(0, 0), "0 of 0 failed on stable (0 %)"),
            (Window(1, 1), "1 of 1 failed on stable (100 %)"),
        ],
    )
    def test_the_evidence_tells_of_a_stable_that_served_next_to_nothing(self, stable: Window | None, said: str) -> None:
        assert judge_errors(Window(10, 0), stable, RULES).evidence[1] == said

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


class TestCeiling:
    """What a service of few users can prove: that it is no outage."""

    @pytest.mark.parametrize(
        ("window", "verdict"),
        [
            (Window(80, 0), INCONCLUSIVE),
            (Window(81, 0), HEALTHY),
            (Window(90, 2), INCONCLUSIVE),
            (Window(200, 4), HEALTHY),
        ],
    )
    def test_an_outage_is_excluded_by_few_requests(self, window: Window, verdict: Verdict) -> None:
        assert judge_ceiling(window, RULES).verdict is verdict

    @pytest.mark.parametrize("errors", [0, 2, 5, 40])
    def test_what_is_missing_is_not_less_than_it_takes(self, errors: int) -> None:
        found = judge_ceiling(Window(60 + errors, errors), RULES)
        assert f"{found.missing} more without an error would prove" in found.reason
        assert judge_ceiling(Window(60 + errors + found.missing, errors), RULES).verdict is HEALTHY
        assert judge_ceiling(Window(60 + errors + found.missing * 8 // 10, errors), RULES).verdict is INCONCLUSIVE

    def test_the_reason_gives_the_numbers(self) -> None:
        found = judge_ceiling(Window(80, 0), RULES)
        assert (
            found.reason == "0 of 80 requests failed (0 %): 1 more without an error would prove that it is below 10 %"
        )
        assert (found.needed, found.missing) == (81, 1)
        nothing = judge_ceiling(Window(0, 0), RULES)
        assert nothing.reason.startswith("0 of 0 requests failed (0 %): 81 more ")
        assert judge_ceiling(Window(50, 5), RULES).reason.startswith("5 of 50 requests failed (10 %): ")

    def test_one_error_in_ten_is_doubtful(self) -> None:
        for window in (Window(60, 6), Window(45, 2), Window(10, 2)):
            assert judge_ceiling(window, RULES).doubtful
        for window in (Window(60, 1), Window(55, 2), Window(5, 1)):
            assert not judge_ceiling(window, RULES).doubtful

    def test_nothing_is_doubtful_where_more_errors_are_allowed_than_an_outage_has(self) -> None:
        assert not judge_ceiling(Window(60, 2), replace(RULES, error_limit=0.2)).doubtful
