"""Is what Google's scanner has found in an image a reason not to ship it? Pure.

No findings are clean only where a scan has finished with success, and is kept up to date: a scan that has not begun,
goes on, has failed or is too old says nothing. That is UNKNOWN, and has a setting of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from infra.gcp.artifacts.findings import Findings, Issue
from tasks.manifest.scan import SEVERITIES, Ignored, Scan

FINISHED = "FINISHED_SUCCESS"
UNDER_WAY = ("", "PENDING", "SCANNING", "ANALYSIS_STATUS_UNSPECIFIED")  # '': a push may be seconds ago
FRESH = timedelta(days=30)  # https://cloud.google.com/artifact-analysis/docs/container-scanning-overview
FURTHEST = timedelta(days=366)


class Found(StrEnum):
    CLEAN = "clean"  # nothing that counts
    BLOCKED = "blocked"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One vulnerability in one package."""

    id: str
    issue: Issue
    counts: bool
    why: str = ""  # it does not, or does although an exception names it
    excepted: bool = False  # by slipway.yaml


@dataclass(frozen=True, slots=True)
class Judged:
    """What is held against an image, and what is not."""

    verdict: Found
    reason: str
    findings: tuple[Finding, ...] = ()  # those that count first, the worst first
    under_way: bool = False  # asked again a little later, the answer may be another
    unused: tuple[str, ...] = ()  # exceptions that nothing needs


def judge(found: Findings, rules: Scan, now: datetime) -> Judged:
    """now: aware. What has been found counts, also where the scan is not known to be whole."""
    findings = tuple(sorted(_findings(found, rules, now), key=_order))
    blocking = [each for each in findings if each.counts]
    known = {each.id for each in findings}
    unused = tuple(each.id for each in rules.ignore if each.id not in known)
    if blocking:
        return Judged(Found.BLOCKED, said(blocking), findings, unused=unused)
    if why := _unknown(found, now):
        return Judged(Found.UNKNOWN, why, findings, found.status in UNDER_WAY)
    rest = f", {len(findings)} that do not count" if findings else ""
    return Judged(Found.CLEAN, f"nothing of severity {rules.severity} or above{rest}", findings, unused=unused)


def _unknown(found: Findings, now: datetime) -> str:
    """Why nobody can tell; '' where a scan tells."""
    if found.status in UNDER_WAY:
        return f"its scan is {found.status.lower()}" if found.status else "it was not scanned"
    if found.status != FINISHED:
        return f"its scan ended as {found.status}{f': {found.why}' if found.why else ''}"
    if not found.kept or (found.scanned and now - found.scanned > FRESH):
        when = f" of {found.scanned:%Y-%m-%d}" if found.scanned else ""
        return f"its scan{when} is not kept up to date any more"
    return ""


def _findings(found: Findings, rules: Scan, now: datetime) -> Iterator[Finding]:
    for vulnerability in found.vulnerabilities:
        for issue in vulnerability.issues:
            exceptions = [each for each in rules.ignore if _names(each, vulnerability.id, issue)]
            holding = [each for each in exceptions if not _lapsed(each, now)]
            if _rank(issue.severity) < _rank(rules.severity.upper()):
                yield Finding(vulnerability.id, issue, counts=False, why="of lower severity")
            elif rules.fixable_only and not issue.fixed_in:
                yield Finding(vulnerability.id, issue, counts=False, why="there is no fix yet")
            elif holding:
                last = max(holding, key=lambda each: each.until)
                yield Finding(
                    vulnerability.id, issue, counts=False, why=f"until {last.until}: {last.why}", excepted=True
                )
            else:
                yield Finding(vulnerability.id, issue, counts=True, why="; ".join(_lapsed(e, now) for e in exceptions))


def _names(exception: Ignored, vulnerability: str, issue: Issue) -> bool:
    return exception.id == vulnerability and exception.package in (None, issue.package)


def _lapsed(exception: Ignored, now: datetime) -> str:
    """Why it does not hold; '' while it does, which is until its last day, in UTC, is over."""
    today = now.astimezone(UTC).date()
    if exception.until < today:
        return f"its exception ended on {exception.until}"
    if exception.until - today > FURTHEST:
        return f"its exception until {exception.until} is for more than a year"
    return ""


def _rank(severity: str) -> int:
    """What nobody has rated yet may be anything: it counts as high."""
    return SEVERITIES.index(severity.lower()) if severity.lower() in SEVERITIES else SEVERITIES.index("high")


def _order(finding: Finding) -> tuple[bool, int, str, str]:
    return not finding.counts, -_rank(finding.issue.severity), finding.id, finding.issue.package


def said(blocking: Sequence[Finding]) -> str:
    """The first few, in words."""
    shown = ", ".join(_told(each) for each in blocking[:5])
    return f"{shown} and {len(blocking) - 5} more" if len(blocking) > 5 else shown


def _told(finding: Finding) -> str:
    issue = finding.issue
    severity = issue.severity.lower() or "not rated"
    fix = f"fixed in {issue.fixed_in}" if issue.fixed_in else "no fix yet"
    return f"{finding.id} ({severity}) in {issue.package} {issue.version}, {fix}{finding.why and f' ({finding.why})'}"
