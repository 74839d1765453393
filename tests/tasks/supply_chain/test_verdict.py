"""When what was found in an image keeps it from being deployed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.gcp.artifacts.findings import Findings, Issue, Vulnerability
from tasks.manifest.scan import SEVERITIES, Ignored, Scan
from tasks.supply_chain.verdict import Found, judge

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
TODAY = NOW.date()
CVE = "CVE-2026-1234"
DONE = "FINISHED_SUCCESS"


def found(severity: str = "CRITICAL", fixed_in: str = "3.1.3", status: str = DONE) -> Findings:
    issue = Issue("jinja2", "3.1.2", fixed_in, severity, "PYPI")
    return Findings(status, scanned=NOW, vulnerabilities=(Vulnerability(CVE, (issue,)),))


def excepting(until: date, package: str | None = None) -> Scan:
    return Scan(ignore=(Ignored(id=CVE, until=until, why="not reachable", package=package),))


def test_a_critical_vulnerability_with_a_fix_does_not_ship() -> None:
    judged = judge(found(), Scan(), NOW)
    assert judged.verdict is Found.BLOCKED
    assert judged.reason == f"{CVE} (critical) in jinja2 3.1.2, fixed in 3.1.3"


@pytest.mark.parametrize(
    ("day", "verdict"),
    [(0, Found.CLEAN), (1, Found.CLEAN), (2, Found.BLOCKED)],
    ids=["the day before", "the last day", "the day after"],
)
def test_an_exception_holds_to_the_end_of_its_last_day_and_then_says_that_it_has_ended(
    day: int, verdict: Found
) -> None:
    judged = judge(found(), excepting(TODAY + timedelta(days=1)), NOW + timedelta(days=day))
    assert judged.verdict is verdict
    [finding] = judged.findings
    assert finding.excepted is (verdict is Found.CLEAN)
    assert ("its exception ended on 2026-11-29" in judged.reason) is (verdict is Found.BLOCKED)


def test_an_exception_for_more_than_a_year_does_not_hold() -> None:
    judged = judge(found(), excepting(TODAY + timedelta(days=400)), NOW)
    assert judged.verdict is Found.BLOCKED
    assert "is for more than a year" in judged.reason


def test_an_exception_of_another_package_does_not_hold_and_what_nothing_needs_is_told() -> None:
    assert judge(found(), excepting(TODAY, "flask"), NOW).verdict is Found.BLOCKED
    assert judge(found(), excepting(TODAY, "jinja2"), NOW).verdict is Found.CLEAN
    assert judge(Findings(DONE, scanned=NOW), excepting(TODAY), NOW).unused == (CVE,)


@pytest.mark.parametrize(
    ("status", "under_way", "reason"),
    [
        ("", True, "it was not scanned"),
        ("PENDING", True, "its scan is pending"),
        ("SCANNING", True, "its scan is scanning"),
        ("FINISHED_FAILED", False, "its scan ended as FINISHED_FAILED: too large"),
        ("FINISHED_UNSUPPORTED", False, "its scan ended as FINISHED_UNSUPPORTED: too large"),
        ("SOMETHING_NEW", False, "its scan ended as SOMETHING_NEW: too large"),
    ],
)
def test_no_findings_without_a_finished_scan_are_unknown(status: str, under_way: bool, reason: str) -> None:
    judged = judge(Findings(status, why="too large"), Scan(), NOW)
    assert (judged.verdict, judged.under_way, judged.reason) == (Found.UNKNOWN, under_way, reason)


@pytest.mark.parametrize(
    "old",
    [Findings(DONE, scanned=NOW - timedelta(days=31)), Findings(DONE, scanned=NOW, kept=False)],
    ids=["31 days", "not kept up to date"],
)
def test_an_old_scan_is_unknown(old: Findings) -> None:
    judged = judge(old, Scan(), NOW)
    assert judged.verdict is Found.UNKNOWN
    assert "is not kept up to date any more" in judged.reason


def test_what_has_been_found_counts_while_the_scan_goes_on() -> None:
    assert judge(found(status="SCANNING"), Scan(), NOW).verdict is Found.BLOCKED


def test_what_nobody_has_rated_is_high() -> None:
    assert judge(found(severity=""), Scan(severity="high"), NOW).verdict is Found.BLOCKED
    assert judge(found(severity=""), Scan(severity="critical"), NOW).verdict is Found.CLEAN


@given(
    st.sampled_from(SEVERITIES),
    st.sampled_from(SEVERITIES),
    st.booleans(),
    st.booleans(),
    st.sampled_from([DONE, "", "PENDING", "FINISHED_FAILED"]),
)
def test_only_a_finished_scan_is_clean_and_only_what_the_rules_let_through(
    severity: str,
    threshold: str,
    fixable_only: bool,
    has_fix: bool,
    status: str,
) -> None:
    rules = Scan.model_validate({"severity": threshold, "fixable_only": fixable_only})
    judged = judge(found(severity.upper(), "3.1.3" if has_fix else "", status), rules, NOW)
    counts = SEVERITIES.index(severity) >= SEVERITIES.index(threshold) and (has_fix or not fixable_only)
    expected = Found.BLOCKED if counts else Found.CLEAN if status == DONE else Found.UNKNOWN
    assert judged.verdict is expected
    assert judged.reason
