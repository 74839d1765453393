"""What Artifact Analysis answers, as plain values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from infra.gcp.artifacts.findings import Findings, Issue, Vulnerability, findings_of

COUNTS = "projects/goog-analysis/notes/PACKAGE_VULNERABILITY"


def a_discovery(note: str = COUNTS, **discovery: Any) -> dict[str, Any]:
    return {"kind": "DISCOVERY", "noteName": note, "updateTime": "2026-11-01T00:00:00Z", "discovery": discovery}


def test_only_the_discovery_that_is_about_packages_tells_how_the_scan_is() -> None:
    found = findings_of(
        [
            a_discovery("projects/goog-analysis/notes/SECRET", analysisStatus="FINISHED_SUCCESS"),
            a_discovery(analysisStatus="SCANNING", continuousAnalysis="ACTIVE"),
        ]
    )
    assert found == Findings("SCANNING")
    assert findings_of([]) == Findings("")


def test_a_scan_that_is_complete_in_the_old_words_is_finished() -> None:
    found = findings_of([a_discovery(analysisStatus="COMPLETE", lastScanTime="2026-11-02T03:04:05Z")])
    assert (found.status, found.scanned) == ("FINISHED_SUCCESS", datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC))


def test_a_failed_scan_says_why() -> None:
    found = findings_of([a_discovery(analysisStatus="FINISHED_FAILED", analysisStatusError={"message": "too large"})])
    assert (found.status, found.why) == ("FINISHED_FAILED", "too large")


@pytest.mark.parametrize(
    ("said", "severity"),
    [
        ({"effectiveSeverity": "LOW", "severity": "CRITICAL"}, "LOW"),
        ({"effectiveSeverity": "SEVERITY_UNSPECIFIED", "severity": "HIGH"}, "HIGH"),
        ({}, ""),
    ],
)
def test_what_an_issue_does_not_say_of_its_severity_the_vulnerability_does(said: dict[str, str], severity: str) -> None:
    issue = {
        "affectedPackage": "zlib",
        "affectedVersion": {"name": "1.2.13", "revision": "1"},
        "fixedVersion": {"kind": "MAXIMUM"},
        "packageType": "OS",
    }
    occurrence = {
        "kind": "VULNERABILITY",
        "noteName": "projects/goog-vulnz/notes/CVE-2026-1",
        "vulnerability": {**said, "packageIssue": [issue]},
    }
    [found] = findings_of([occurrence]).vulnerabilities
    assert found == Vulnerability("CVE-2026-1", (Issue("zlib", "1.2.13-1", "", severity, "OS"),))
