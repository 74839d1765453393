"""The verdict of the health proof."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.analysis.proof import judge
from tasks.analysis.verdict import Probe
from tasks.manifest.settings import Health
from tasks.model import Place, Verdict

API = Place("api", "europe-west1")
HEALTH = Health(samples=5)
GOOD, BAD = Probe(True, 20, 200), Probe(False, 10, 500, "status 500")


def test_no_request_is_no_proof() -> None:
    assert judge(API, [], [], HEALTH).verdict is Verdict.INCONCLUSIVE


def test_a_slow_start_that_recovers_is_healthy() -> None:
    assert judge(API, [BAD, BAD, *[GOOD] * 5], [], HEALTH).verdict is Verdict.HEALTHY


def test_a_candidate_that_never_answers_right_is_unhealthy() -> None:
    proof = judge(API, [BAD] * 5, [], HEALTH)
    assert proof.verdict is Verdict.UNHEALTHY
    assert "status 500" in proof.reason


def test_one_bad_answer_among_the_last_ones_is_no_proof_of_health() -> None:
    assert judge(API, [GOOD, GOOD, BAD, GOOD, GOOD], [], HEALTH).verdict is not Verdict.HEALTHY


def test_a_candidate_three_times_slower_than_stable_is_unhealthy() -> None:
    slow = [Probe(True, 90 + n % 7, 200) for n in range(21)]
    stable = [30.0 + n % 7 for n in range(20)]
    proof = judge(API, slow, stable, Health(samples=20))
    assert proof.verdict is Verdict.UNHEALTHY
    assert "slower" in proof.reason


@given(times=st.lists(st.floats(1, 30_000), min_size=2, max_size=50))
def test_percentiles_leave_the_cold_start_out(times: list[float]) -> None:
    proof = judge(API, [Probe(True, 60_000, 200), *(Probe(True, ms, 200) for ms in times)], [], HEALTH)
    assert proof.p50_ms is not None
    assert proof.p95_ms is not None
    assert proof.p50_ms <= proof.p95_ms <= max(times) + 0.1
