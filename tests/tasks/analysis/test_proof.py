"""The verdict of the health proof."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.gcp.run.traffic import TrafficTarget
from tasks.analysis.probes import Ask
from tasks.analysis.proof import judge, prove_candidate, refuse_unproven, unproven_regions
from tasks.analysis.senses import Senses
from tasks.analysis.verdict import Probe
from tasks.failures.errors import ProofFailed
from tasks.manifest.settings import Health
from tasks.model import Candidate, Place, Proof, Snapshot, Verdict
from tests.tasks.builders import a_request

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


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (400, "ALLOWED_HOSTS"),
        (421, "ALLOWED_HOSTS"),
        (404, "health.path"),
        (405, "health.status"),
        (302, "health.status"),
        (500, "the service's log"),
        (None, "the service's log"),
    ],
)
def test_what_is_not_proven_says_what_the_container_said_and_what_to_do_by_how_it_was_answered(
    status: int | None, advice: str
) -> None:
    proof = judge(API, [Probe(False, 10, status, "status")] * 5, [], HEALTH)
    said = "\nIts last lines:\n  Invalid HTTP_HOST header\n  password=hunter2222"
    with pytest.raises(ProofFailed) as failed:
        refuse_unproven([replace(proof, said=said)])
    assert "Invalid HTTP_HOST header" in failed.value.problem
    assert "hunter2222" not in str(failed.value)
    assert advice in failed.value.remedy


def test_one_bad_answer_among_the_last_ones_is_no_proof_of_health() -> None:
    assert judge(API, [GOOD, GOOD, BAD, GOOD, GOOD], [], HEALTH).verdict is not Verdict.HEALTHY


def test_a_candidate_three_times_slower_than_stable_is_unhealthy() -> None:
    slow = [Probe(True, 90 + n % 7, 200) for n in range(20)]  # as many as the prober makes
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


async def proven(candidate_ms: Callable[[int], float], stable_ms: float, seed: int, *, compared: bool = True) -> Proof:
    """By typical latencies, the candidate's by how often it was asked before; both scatter alike."""
    random = Random(seed)

    @asynccontextmanager
    async def asking(_service: str, _service_url: str, url: str, _health: Health) -> AsyncIterator[Ask]:
        asked = 0

        async def ask() -> Probe:
            nonlocal asked
            asked += 1
            typical_ms = candidate_ms(asked) if url == "new" else stable_ms
            return Probe(True, typical_ms * random.lognormvariate(0, 0.6), 200)

        yield ask

    before = Snapshot(API, (TrafficTarget("old", 100),), "old", "old", "old")
    candidate = Candidate("new", "v2", "new", "service", before, before.traffic, Health())
    return await prove_candidate(a_request(), candidate, Senses(asking=asking), compared=compared)


@pytest.mark.parametrize(
    "candidate_ms",
    [
        pytest.param(lambda _: 100.0, id="equal"),
        pytest.param(lambda asked: 100.0 * (1 + 2 * 0.97**asked), id="three-times-slower-until-it-is-warm"),
        pytest.param(lambda asked: 100.0 + (3_000.0 if asked == 1 else 0.0), id="a-cold-start"),
    ],
)
async def test_what_is_as_fast_as_stable_once_it_is_warm_is_never_refused(
    candidate_ms: Callable[[int], float],
) -> None:
    proofs = [await proven(candidate_ms, 100.0, seed) for seed in range(100)]
    assert {proof.verdict for proof in proofs} == {Verdict.HEALTHY}


@pytest.mark.parametrize(("candidate_ms", "stable_ms"), [(200.0, 2.0), (300.0, 75.0)])
async def test_a_gross_slowdown_is_refused(candidate_ms: float, stable_ms: float) -> None:
    proofs = [await proven(lambda _: candidate_ms, stable_ms, seed) for seed in range(20)]
    assert {proof.verdict for proof in proofs} == {Verdict.UNHEALTHY}
    assert "slower than stable" in proofs[0].reason


async def test_what_is_gone_back_to_may_be_slower_than_what_is_turned_away_from() -> None:
    """Who answers wrongly may do so quickly."""
    proof = await proven(lambda _: 300.0, 2.0, 1, compared=False)
    assert proof.verdict is Verdict.HEALTHY


def in_regions(**verdicts: Verdict) -> list[Proof]:
    return [Proof(Place(name, region), verdict, "it is slow") for region, verdict in verdicts.items() for name in "ab"]


def test_a_region_is_told_from_one_in_which_all_is_healthy() -> None:
    proofs = in_regions(asia=Verdict.HEALTHY, europe=Verdict.HEALTHY)
    assert unproven_regions(proofs) == {}
    proofs[-1] = replace(proofs[-1], verdict=Verdict.INCONCLUSIVE)
    assert unproven_regions(proofs) == {"europe": "b in europe is INCONCLUSIVE: it is slow"}
    assert unproven_regions([]) == {}


def test_where_no_region_is_healthy_there_is_nowhere_to_go() -> None:
    with pytest.raises(ProofFailed, match="a in europe is UNHEALTHY"):
        unproven_regions(in_regions(asia=Verdict.INCONCLUSIVE, europe=Verdict.UNHEALTHY))
