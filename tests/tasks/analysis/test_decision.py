"""When a step is proven: by its users, or where they are too few by our own probes and time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from infra.gcp.monitoring import Served
from tasks.analysis.decision import Hold, Seen, decide, stable_is_down
from tasks.analysis.metrics import judge_users
from tasks.analysis.verdict import Course, Judgement, Probe, Rules, Window
from tasks.model import Verdict

HEALTHY, UNHEALTHY, INCONCLUSIVE = Verdict.HEALTHY, Verdict.UNHEALTHY, Verdict.INCONCLUSIVE
RULES = Rules()
OK, BAD, SLOW = Probe(True, 100.0, 200), Probe(False, 5.0, 500), Probe(True, 400.0, 200)
ANSWERS = Judgement(HEALTHY, "it answers")
EARLY, END = Hold(Course.PROBE, last=False, next_percent=25), Hold(Course.PROBE, last=True)


def seen(
    requests: int,
    errors: int = 0,
    minutes: float = 10,
    *,
    ours: Sequence[Probe] = (OK,) * 900,
    last: bool = False,
    waited_s: float = 0.0,
) -> Seen:
    """A candidate beside a stable revision that is well, with as many probes of both."""
    percent = None if last else 25
    users = judge_users(Served(requests, errors), Served(5_000, 5), RULES, percent, same_minutes=not last)
    return Seen(users, ANSWERS, ours, (OK,) * len(ours), RULES, minutes * 60, waited_s, 3600)


@pytest.mark.parametrize(
    ("found", "hold", "verdict"),
    [
        pytest.param(seen(3), EARLY, HEALTHY, id="few-users-and-good-probes"),
        pytest.param(seen(0), EARLY, HEALTHY, id="no-users-and-good-probes"),
        pytest.param(seen(3, ours=[OK] * 30), EARLY, INCONCLUSIVE, id="few-users-and-few-probes"),
        pytest.param(seen(3, ours=[OK, OK, OK, BAD] * 30), EARLY, UNHEALTHY, id="few-users-and-bad-probes"),
        pytest.param(seen(100, minutes=5), EARLY, INCONCLUSIVE, id="users-who-will-soon-be-enough"),
        pytest.param(seen(12, 6), EARLY, UNHEALTHY, id="few-users-with-many-errors"),
        pytest.param(seen(60, last=True), END, INCONCLUSIVE, id="the-end-waits-for-users-to-exclude-an-outage"),
        pytest.param(seen(100, last=True), END, HEALTHY, id="and-passes-when-they-have"),
        pytest.param(seen(100, last=True, ours=[OK] * 100), END, INCONCLUSIVE, id="if-probes-have-too"),
        pytest.param(seen(0, minutes=20, last=True), END, HEALTHY, id="nobody-calls-so-nobody-is-waited-for"),
        pytest.param(seen(8, 2, minutes=62, last=True, waited_s=3600), END, INCONCLUSIVE, id="doubtful-to-the-end"),
        pytest.param(seen(400, minutes=6, last=True), END, INCONCLUSIVE, id="a-busy-service-is-waited-for"),
        pytest.param(seen(700, minutes=10, last=True), END, HEALTHY, id="and-proves-itself"),
    ],
)
def test_the_verdict_on_a_step_that_has_baked(found: Seen, hold: Hold, verdict: Verdict) -> None:
    assert decide(found, hold).verdict is verdict


def test_probes_that_are_slower_beside_stable_prove_nothing() -> None:
    found = decide(seen(100, last=True, ours=[SLOW] * 900), END)
    assert found.verdict is UNHEALTHY
    assert "slower than stable" in found.reason


def test_where_users_have_to_prove_it_probes_do_not() -> None:
    found = decide(seen(3), Hold(Course.WAIT, last=False, next_percent=25))
    assert found.verdict is INCONCLUSIVE
    assert (
        found.reason.endswith("are missing: 470 min at the present rate)") or "min at the present rate" in found.reason
    )


def test_what_is_missing_is_told_in_requests_and_minutes() -> None:
    found = decide(seen(400, minutes=5, last=True), END)
    minutes = round(found.missing / (400 / 5))
    assert f"({found.missing} requests are missing: {minutes} min at the present rate)" in found.reason
    nobody = decide(seen(0), Hold(Course.WAIT, last=False, next_percent=25))
    assert "no user has called it yet" in nobody.reason


def test_stable_is_down_when_its_probes_or_its_users_say_so() -> None:
    assert stable_is_down([BAD] * 5, None, RULES)
    assert stable_is_down([], Window(1_000, 300), RULES)
    assert not stable_is_down([OK] * 88 + [BAD] * 2, Window(1_000, 30), RULES)
