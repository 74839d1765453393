"""The verdict on real requests: whose they were, when they were, and how often it is asked."""

from __future__ import annotations

import pytest

from infra.gcp.monitoring import Served
from tasks.analysis.metrics import judge_served, judge_serving, rules_for, window
from tasks.analysis.verdict import Rules
from tasks.model import Verdict
from tests.tasks.builders import a_request

RULES = Rules()
BOUNDS_MS = (10.0, 20.0, 40.0, 80.0)
FAST, SLOW = (0, 1000, 0, 0, 0), (0, 0, 1000, 0, 0)  # 10 to 20 ms, and 20 to 40 ms


def served(requests: int, errors: int = 0, buckets: tuple[int, ...] = FAST) -> Served:
    return Served(requests, errors, BOUNDS_MS, buckets)


def test_our_own_requests_are_no_proof_of_health() -> None:
    assert judge_served(served(1000), served(1000), RULES, 25).verdict is Verdict.HEALTHY
    assert judge_served(served(1000), served(1000), RULES, 25, asked=950).verdict is Verdict.INCONCLUSIVE


def test_errors_stay_errors_however_often_we_have_asked() -> None:
    found = judge_served(served(1000, errors=500), served(1000), RULES, 25, asked=1000)
    assert found.verdict is Verdict.UNHEALTHY


@pytest.mark.parametrize(("same_minutes", "verdict"), [(True, Verdict.UNHEALTHY), (False, Verdict.HEALTHY)])
def test_a_little_slower_counts_only_against_requests_of_the_same_minutes(same_minutes: bool, verdict: Verdict) -> None:
    ours, theirs = served(1000, buckets=SLOW), served(1000)
    assert judge_served(ours, theirs, RULES, 25, same_minutes=same_minutes).verdict is verdict


def test_a_revision_is_bad_by_itself_only_beyond_the_ceiling() -> None:
    assert judge_serving(served(1000, errors=300), RULES).verdict is Verdict.UNHEALTHY
    assert judge_serving(served(1000, errors=50), RULES).verdict is not Verdict.UNHEALTHY


def test_a_revision_that_served_nothing_has_no_latencies() -> None:
    assert window(Served()).latencies_ms == ()


def test_the_more_looks_a_release_takes_the_more_each_must_be_sure_of() -> None:
    settings = a_request().settings
    few, many = rules_for(settings, 1), rules_for(settings, 50)
    assert few.looks == Rules().looks
    assert many.looks == 50 * 2 * 6 * 3  # services, regions, looks in the one hold, tests
    assert many.alpha_per_look < few.alpha_per_look
