"""When a step is proven: by its users, or where they are too few by our own probes and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from infra.gcp.monitoring import Served
from tasks.analysis.decision import Hold, Seen, decide, stable_is_down, while_it_bakes
from tasks.analysis.metrics import Users, judge_users
from tasks.analysis.verdict import Course, Judgement, Probe, Window
from tasks.model import Verdict
from tests.tasks.analysis.verdicts import HEALTHY, INCONCLUSIVE, RULES, UNHEALTHY

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


@pytest.mark.parametrize(
    ("failed", "usual", "down"),
    [
        (6, None, False),
        (6, Window(28_512, 31), True),
        (6, Window(0, 0), False),
        (6, Window(28_512, 855), False),
        (2, Window(28_512, 31), False),
        (40, Window(28_512, 855), True),
    ],
    ids=[
        "with users of its own",
        "far beyond the usual",
        "usual unknown",
        "not far beyond",
        "a blip",
        "whatever is usual",
    ],
)
def test_where_stable_has_no_users_any_more_its_probes_are_held_against_what_was_usual(
    failed: int, usual: Window | None, *, down: bool
) -> None:
    """Metrics come minutes late: an outage that was over by then was seen by a few probes only."""
    assert stable_is_down([OK] * (60 - failed) + [BAD] * failed, None, RULES, usual) is down


# ---- each turn of the decision, with verdicts that are given -------------------------------------------------------

NEVER = 10**9  # requests: so many do not come
GOOD = Judgement(HEALTHY, "well")
SOON = Judgement(INCONCLUSIVE, "soon", needed=10, missing=5)
QUIET = Judgement(INCONCLUSIVE, "quiet", needed=NEVER)
DOUBTFUL_SOON, DOUBTFUL_QUIET = replace(SOON, doubtful=True), replace(QUIET, doubtful=True)
TO_25, TO_100 = EARLY, Hold(Course.PROBE, last=False, next_percent=100)


def given(
    errors: Judgement = GOOD, latency: Judgement = GOOD, ceiling: Judgement = GOOD, *, over: bool = False
) -> Seen:
    probes = (OK,) * 900
    users = Users(errors, GOOD, latency, ceiling, requests=1_000)
    return Seen(users, ANSWERS, probes, probes, RULES, seen_s=600, waited_s=60.0 * over, limit_s=60)


@pytest.mark.parametrize(
    ("found", "hold", "verdict"),
    [
        pytest.param(given(SOON), TO_25, INCONCLUSIVE, id="users-who-will-soon-prove-it-are-waited-for"),
        pytest.param(given(SOON, over=True), TO_25, HEALTHY, id="and-pass-at-the-limit-if-it-is-no-outage"),
        pytest.param(given(DOUBTFUL_SOON, over=True), TO_25, INCONCLUSIVE, id="unless-they-look-bad"),
        pytest.param(given(SOON, ceiling=SOON, over=True), TO_25, INCONCLUSIVE, id="unless-it-may-be-an-outage"),
        pytest.param(given(QUIET), TO_25, HEALTHY, id="quiet-without-an-outage-is-proven-by-probes"),
        pytest.param(given(QUIET, ceiling=QUIET), TO_25, HEALTHY, id="quiet-on-the-way-is-proven-by-probes"),
        pytest.param(given(QUIET, ceiling=DOUBTFUL_QUIET), TO_25, INCONCLUSIVE, id="quiet-that-looks-bad-is-not"),
        pytest.param(given(QUIET, ceiling=DOUBTFUL_QUIET, over=True), END, INCONCLUSIVE, id="nor-at-the-end"),
        pytest.param(given(QUIET, ceiling=SOON), END, INCONCLUSIVE, id="the-end-waits-to-exclude-an-outage"),
        pytest.param(given(QUIET, ceiling=QUIET), END, HEALTHY, id="if-that-can-be-had"),
        pytest.param(given(QUIET, ceiling=SOON, over=True), END, HEALTHY, id="until-the-limit"),
        pytest.param(given(latency=SOON), TO_25, HEALTHY, id="latency-need-not-be-proven-on-the-way"),
        pytest.param(given(latency=DOUBTFUL_SOON), TO_25, INCONCLUSIVE, id="unless-it-looks-bad"),
        pytest.param(given(latency=SOON), TO_100, INCONCLUSIVE, id="but-before-all-traffic"),
        pytest.param(given(latency=SOON), END, INCONCLUSIVE, id="and-at-the-end"),
        pytest.param(given(latency=SOON, over=True), END, HEALTHY, id="it-passes-at-the-limit"),
        pytest.param(given(latency=DOUBTFUL_SOON, over=True), END, INCONCLUSIVE, id="unless-it-looks-bad-then"),
        pytest.param(given(latency=QUIET), END, HEALTHY, id="quiet-latency-is-proven-by-probes"),
        pytest.param(given(QUIET, latency=SOON), END, HEALTHY, id="and-that-of-a-quiet-service"),
        pytest.param(given(latency=QUIET), Hold(Course.WAIT, last=True), INCONCLUSIVE, id="not-where-users-have-to"),
        pytest.param(given(replace(GOOD, verdict=UNHEALTHY)), END, UNHEALTHY, id="errors-condemn"),
    ],
)
def test_each_turn_of_the_decision(found: Seen, hold: Hold, verdict: Verdict) -> None:
    assert decide(found, hold).verdict is verdict
    if verdict is not INCONCLUSIVE:
        return
    assert decide(replace(found, alive=replace(ANSWERS, verdict=UNHEALTHY)), hold).verdict is UNHEALTHY


@pytest.mark.parametrize(
    ("needed", "seen_s", "quiet"),
    [(121, 900, False), (122, 900, True), (NEVER, 119, False), (NEVER, 120, True), (243, 450, True), (242, 450, False)],
)
def test_a_service_is_quiet_if_even_more_users_than_usual_would_take_a_quarter_of_an_hour(
    needed: int, seen_s: float, quiet: bool
) -> None:
    found = replace(given(), users=replace(given().users, requests=100), seen_s=seen_s)
    assert found.quiet(replace(QUIET, needed=needed)) is quiet
    assert not found.quiet(replace(GOOD, needed=needed))


def test_probes_that_fail_condemn_while_it_bakes_and_after() -> None:
    failing = replace(given(), ours=[OK, BAD] * 50)
    assert while_it_bakes(failing).verdict is UNHEALTHY
    assert decide(failing, END).verdict is UNHEALTHY
    assert while_it_bakes(given(latency=replace(GOOD, verdict=UNHEALTHY))).verdict is HEALTHY  # it is not warm yet


def test_only_the_later_half_of_the_probes_tells_of_latency_and_only_what_was_accepted() -> None:
    cold = [SLOW] * 450 + [OK] * 450
    assert decide(replace(given(latency=QUIET), ours=cold), END).verdict is HEALTHY
    hung = [Probe(False, 30_000.0, None)] * 15
    assert decide(replace(given(latency=QUIET), ours=[*[OK] * 885, *hung]), TO_100).verdict is HEALTHY
    warm = [OK] * 450 + [SLOW] * 450
    assert decide(replace(given(latency=QUIET), ours=warm), END).verdict is UNHEALTHY


def test_without_a_stable_that_could_be_asked_probes_tell_of_errors_alone() -> None:
    found = decide(replace(given(QUIET, latency=QUIET), theirs=[]), END)
    assert found.verdict is HEALTHY
    assert found.reason.startswith("well; too few users to tell; by our own probes, 0 of 900 requests failed (0 %)")
    assert "probes: 0 of 900 requests failed (0 %)" in found.evidence


def test_probes_that_do_not_suffice_pass_at_the_limit_unless_they_look_bad() -> None:
    for over, verdict in ((False, INCONCLUSIVE), (True, HEALTHY)):
        assert decide(replace(given(QUIET, over=over), ours=[OK] * 30), TO_25).verdict is verdict
    doubtful = replace(given(QUIET, over=True), ours=[OK] * 60 + [BAD] * 5)
    assert decide(doubtful, TO_25).verdict is INCONCLUSIVE


def test_minutes_are_told_only_of_what_more_users_would_prove() -> None:
    found = replace(given(replace(SOON, missing=500)), seen_s=600)
    assert decide(found, TO_25).reason == "soon (500 requests are missing: 5 min at the present rate)"
    assert decide(given(replace(SOON, missing=0)), TO_25).reason == "soon"
    assert decide(given(Judgement(UNHEALTHY, "bad", missing=5)), TO_25).reason == "bad"
