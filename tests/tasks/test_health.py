"""The verdict of the health proof."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.gcp.run import TrafficTarget
from tasks.health import Probe, judge, wrong_with
from tasks.manifest_types import Health
from tasks.model import Candidate, Snapshot, Verdict

BEFORE = Snapshot("api", "europe-west1", (TrafficTarget("r1", 100),), "r1", "r1")
CANDIDATE = Candidate("api", "europe-west1", "r2", "v1", "https://v1---api", "https://api", BEFORE)
GOOD, BAD = Probe(True, 200, 0.02, ""), Probe(False, 500, 0.01, "status 500")


@pytest.mark.parametrize(
    ("status", "body", "settings", "accepted"),
    [
        (200, "", {}, True),
        (204, "", {}, True),
        (301, "", {}, False),
        (301, "", {"status": (301,)}, True),
        (500, "ok", {"body": "ok"}, False),
        (200, "all ok here", {"body": "ok"}, True),
        (200, "starting", {"body": "ok"}, False),
    ],
)
def test_an_answer_counts_by_its_status_and_body(
    status: int, body: str, settings: dict[str, object], accepted: bool
) -> None:
    assert (wrong_with(status, body, Health(**settings)) == "") is accepted


def test_no_request_is_no_proof() -> None:
    assert judge(CANDIDATE, [], []).verdict is Verdict.INCONCLUSIVE


def test_a_slow_start_that_recovers_is_healthy() -> None:
    assert judge(CANDIDATE, [BAD, BAD, GOOD], [GOOD] * 5).verdict is Verdict.HEALTHY


def test_one_bad_answer_after_the_first_good_one_is_unhealthy() -> None:
    proof = judge(CANDIDATE, [GOOD], [GOOD, BAD, GOOD])
    assert proof.verdict is Verdict.UNHEALTHY
    assert proof.reason == "status 500"


@given(times=st.lists(st.floats(0.001, 30), min_size=1, max_size=50))
def test_percentiles_are_times_that_were_measured(times: list[float]) -> None:
    proof = judge(CANDIDATE, [GOOD], [Probe(True, 200, seconds, "") for seconds in times])
    assert proof.p50_ms is not None
    assert proof.p95_ms is not None
    assert proof.p50_ms <= proof.p95_ms + 0.1
    assert proof.p95_ms == pytest.approx(sorted(times)[-(-len(times) * 95 // 100) - 1] * 1000, abs=0.1)
