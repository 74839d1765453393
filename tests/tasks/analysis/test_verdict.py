"""Verdicts on probes and refused requests at their boundaries, how verdicts combine, and what follows from one."""

from __future__ import annotations

import math
from itertools import permutations
from typing import get_args

import pytest

from tasks.analysis.verdict import (
    Course,
    Judgement,
    Probe,
    Window,
    combine,
    escalate,
    judge_errors,
    judge_probes,
    judge_refused,
    judge_stable,
    on_inconclusive,
)
from tasks.manifest.environment import Environment
from tasks.model import Verdict
from tests.tasks.analysis.verdicts import HEALTHY, INCONCLUSIVE, RULES, UNHEALTHY

OK = Probe(True, 20.0, 200)
BAD = Probe(False, 20.0, 500)
REFUSED = Probe(False, 1.0, None, "connection refused")


def test_how_sure_the_rules_are_is_what_was_measured() -> None:
    """By benchmarks/false_verdicts.py; who changes one of them measures again."""
    assert RULES.conviction == pytest.approx(math.log(16 / 0.005))
    assert RULES.acquittal == pytest.approx(math.log(100))


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
            pytest.param([OK] * 40 + [BAD] * 12, INCONCLUSIVE, id="barely-unclear"),
            pytest.param([OK] * 40 + [BAD] * 13, UNHEALTHY, id="barely-unhealthy"),
        ],
    )
    def test_the_verdict_on_probes(self, probes: list[Probe], verdict: Verdict) -> None:
        assert judge_probes(probes, RULES).verdict is verdict

    def test_a_candidate_may_fail_as_often_as_stable_does(self) -> None:
        probes = [OK] * 80 + [BAD] * 20
        assert judge_probes(probes, RULES).verdict is UNHEALTHY
        assert judge_probes(probes, RULES, limit=0.3).verdict is INCONCLUSIVE

    def test_the_reason_names_what_the_last_try_met(self) -> None:
        assert judge_probes([BAD, BAD, BAD, BAD, REFUSED], RULES).reason.endswith("the last with connection refused")
        assert judge_probes([BAD] * 5, RULES).reason.endswith("the last with status 500")
        assert judge_probes([Probe(False, 1.0)] * 5, RULES).reason.endswith("the last with no answer")
        assert judge_probes([], RULES).reason == "0 of 5 tries made and none accepted"
        broken_down = judge_probes([OK] * 10 + [BAD] * 9 + [REFUSED], RULES)
        assert broken_down.reason == "10 of 20 probes failed, the last with connection refused"

    def test_failures_after_the_first_answer_are_in_the_evidence(self) -> None:
        judgement = judge_probes([BAD, OK, BAD, *[OK] * 20], RULES)
        assert judgement.evidence == ("accepted at try 2; 1 of 22 probes failed since", "status 500")


class TestRefused:
    """Answers of class 4xx: clients make them, unless only the candidate gives them."""

    @pytest.mark.parametrize(
        ("candidate", "stable", "verdict"),
        [
            pytest.param(Window(10, 0, 10), Window(1_000, 0, 30), UNHEALTHY, id="404-to-everybody"),
            pytest.param(Window(1_000, 0, 300), Window(1_000, 0, 30), UNHEALTHY, id="401-to-some"),
            pytest.param(Window(1_000, 0, 90), Window(1_000, 0, 30), HEALTHY, id="what-clients-vary-by"),
            pytest.param(Window(1_000, 0, 950), Window(1_000, 0, 950), HEALTHY, id="an-api-that-refuses-everybody"),
            pytest.param(Window(1_000, 0, 150), Window(1_000, 0), HEALTHY, id="barely-healthy"),
            pytest.param(Window(1_000, 0, 160), Window(1_000, 0), UNHEALTHY, id="barely-unhealthy"),
            pytest.param(Window(2, 0, 2), Window(1_000, 0, 30), HEALTHY, id="two-are-no-rate"),
            pytest.param(Window(0, 0), Window(1_000, 0, 30), HEALTHY, id="no-requests"),
        ],
    )
    def test_the_verdict_on_4xx(self, candidate: Window, stable: Window, verdict: Verdict) -> None:
        assert judge_refused(candidate, stable, RULES).verdict is verdict

    def test_the_reason_gives_both_numbers(self) -> None:
        found = judge_refused(Window(10, 0, 10), Window(1_000, 0, 30), RULES)
        assert found.reason == ("10 of 10 requests were answered with 4xx, 30 of 1000 on stable: surely above 14.3 %")

    def test_nobody_is_refused_where_nothing_is_said_of_it(self) -> None:
        assert judge_refused(Window(10, 0), Window(10, 0), RULES).reason.startswith("0 of 10 ")

    @pytest.mark.parametrize(("requests", "stable"), [(0, 1_000), (10, 0)], ids=["on-the-candidate", "on-stable"])
    def test_without_requests_there_is_nothing_to_compare(self, requests: int, stable: int) -> None:
        found = judge_refused(Window(requests, 0, requests), Window(stable, 0), RULES)
        assert found == Judgement(HEALTHY, "no 4xx to compare")

    def test_other_minutes_may_have_other_clients(self) -> None:
        candidate, stable = Window(1_000, 0, 300), Window(1_000, 0, 30)
        assert judge_refused(candidate, stable, RULES, same_minutes=False).verdict is HEALTHY
        assert judge_refused(Window(1_000, 0, 1_000), stable, RULES, same_minutes=False).verdict is UNHEALTHY
        for refused, verdict in ((360, HEALTHY), (380, UNHEALTHY)):
            found = judge_refused(Window(1_000, 0, refused), Window(1_000, 0), RULES, same_minutes=False)
            assert found.verdict is verdict


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

    def test_what_is_missing_is_the_most_that_one_of_the_deciding_misses(self) -> None:
        doubtful = Judgement(INCONCLUSIVE, "few", needed=100, missing=40, doubtful=True)
        judgement = combine([doubtful, Judgement(INCONCLUSIVE, "fewer", needed=300, missing=30)])
        assert (judgement.needed, judgement.missing, judgement.doubtful) == (300, 40, True)
        judgement = combine([doubtful, Judgement(UNHEALTHY, "too many errors")])
        assert (judgement.needed, judgement.missing, judgement.doubtful) == (0, 0, False)

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


def test_every_course_is_one_that_slipway_yaml_may_say() -> None:
    allowed = get_args(Environment.model_fields["on_inconclusive"].annotation)
    assert tuple(Course) == allowed


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
