"""The verdict on real requests: whose they were, when they were, and how many tests a release is put to."""

from __future__ import annotations

import pytest

from infra.gcp.monitoring import Served
from tasks.analysis.metrics import judge_serving, judge_users, rules_for, users_of
from tasks.analysis.verdict import Probe, Rules
from tasks.manifest.shipping import Canary, Slo
from tasks.model import Verdict
from tests.tasks.builders import a_request

RULES = Rules()
BOUNDS_MS = (10.0, 20.0, 40.0, 80.0)
FAST, SLOW = (0, 1000, 0, 0, 0), (0, 0, 1000, 0, 0)  # 10 to 20 ms, and 20 to 40 ms
OK, FAILED, LOST = Probe(True, 5.0, 200), Probe(False, 5.0, 503), Probe(False, 5.0, None)


def served(requests: int, errors: int = 0, buckets: tuple[int, ...] = FAST, refused: int = 0) -> Served:
    return Served(requests, errors, refused, BOUNDS_MS, buckets)


def test_our_own_requests_are_no_proof_of_health() -> None:
    assert judge_users(served(1000), served(1000), RULES, 25).together.verdict is Verdict.HEALTHY
    ours = judge_users(served(1000), served(1000), RULES, 25, asked=[OK] * 950)
    assert ours.together.verdict is Verdict.INCONCLUSIVE
    assert ours.requests == 50


def test_our_own_failed_requests_are_not_held_against_it_twice_and_lost_ones_were_perhaps_not_counted() -> None:
    found = users_of(served(1000, errors=20, refused=10), [FAILED] * 15 + [Probe(False, 5.0, 404)] * 10 + [LOST] * 5)
    assert (found.requests, found.errors, found.refused) == (975, 5, 0)


def test_errors_stay_errors_however_often_we_have_asked() -> None:
    found = judge_users(served(1000, errors=500), served(1000), RULES, 25, asked=[OK] * 1000)
    assert found.errors.verdict is Verdict.UNHEALTHY


def test_latencies_say_nothing_of_users_when_many_are_our_own() -> None:
    slow = judge_users(served(1000, buckets=SLOW), served(1000), RULES, 25, asked=[OK] * 200)
    assert slow.latency.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("same_minutes", "verdict"), [(True, Verdict.UNHEALTHY), (False, Verdict.HEALTHY)])
def test_a_little_slower_counts_only_against_requests_of_the_same_minutes(same_minutes: bool, verdict: Verdict) -> None:
    ours, theirs = served(1000, buckets=SLOW), served(1000)
    assert judge_users(ours, theirs, RULES, 25, same_minutes=same_minutes).latency.verdict is verdict


def test_a_candidate_that_answers_404_to_everybody_is_unhealthy_though_nothing_failed() -> None:
    found = judge_users(served(100, refused=100), served(1000, refused=20), RULES, 25)
    assert found.together.verdict is Verdict.UNHEALTHY
    assert "100 of 100 requests were answered with 4xx" in found.together.reason


def test_a_revision_is_bad_by_itself_only_beyond_the_ceiling() -> None:
    assert judge_serving(served(1000, errors=300), RULES).verdict is Verdict.UNHEALTHY
    assert judge_serving(served(1000, errors=50), RULES).verdict is not Verdict.UNHEALTHY


def test_a_revision_that_served_nothing_has_no_latencies() -> None:
    assert users_of(Served()).latencies.total == 0


def test_what_slipway_yaml_asks_for_is_what_users_are_judged_by() -> None:
    slo = Slo(max_error_rate=0.02, min_requests=500)
    strategy = Canary.model_validate({"canary": [5, 25]})
    rules = rules_for(a_request().settings.model_copy(update={"slo": slo, "strategy": strategy}), 3)
    assert (rules.error_limit, rules.min_requests) == (0.02, 500)
    assert rules.tests == 3 * 2 * 3 * 4  # services, regions, holds, tests in each


def test_the_more_tests_a_release_is_put_to_the_more_each_must_be_sure_of() -> None:
    settings = a_request().settings
    few, many = rules_for(settings, 1), rules_for(settings, 50)
    assert few.tests == 2 * 4  # regions, tests in the one hold
    assert many.tests == 50 * few.tests
    assert many.conviction > few.conviction
