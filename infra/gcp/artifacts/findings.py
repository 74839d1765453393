"""Artifact Analysis: what Google's scanner has found in an image, and how far it is.

https://cloud.google.com/artifact-analysis/docs/reference/rest/v1/projects.occurrences. In plain REST: Google's client
package for it has no default host, and an async client that answers a sync one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from infra.gcp.calls.rest import listed

URL = "https://containeranalysis.googleapis.com/v1"
PAGE_SIZE = 1000
# Of the several discoveries of an image the one that is about packages with vulnerabilities.
COUNTS = "/notes/PACKAGE_VULNERABILITY"
NO_FIX = "MAXIMUM"


@dataclass(frozen=True, slots=True)
class Issue:
    """A package of the image that a vulnerability concerns."""

    package: str
    version: str
    fixed_in: str  # '' where there is no fix
    severity: str  # effective: the distribution's, else the note's; MINIMAL … CRITICAL, '' where nobody says
    kind: str  # OS, PYPI, NPM …


@dataclass(frozen=True, slots=True)
class Vulnerability:
    id: str  # CVE-2026-1234
    issues: tuple[Issue, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """What is known of one digest."""

    status: str  # of the scan: PENDING, SCANNING, FINISHED_SUCCESS …; '' where there is none
    why: str = ""  # it failed
    scanned: datetime | None = None  # last
    kept: bool = True  # whether Google still keeps the findings up to date
    vulnerabilities: tuple[Vulnerability, ...] = ()


async def findings(reference: str) -> Findings:
    """reference: LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE@sha256:… Raises GoogleError."""
    project = reference.split("/")[1]
    query = f'(kind = "DISCOVERY" OR kind = "VULNERABILITY") AND resourceUrl = "https://{reference}"'
    name, url = "containeranalysis.occurrences.list", f"{URL}/projects/{project}/occurrences"
    return findings_of(await listed(name, url, "occurrences", PAGE_SIZE, {"filter": query}))


def findings_of(occurrences: Iterable[Mapping[str, Any]]) -> Findings:
    found = list(occurrences)
    about = [each for each in found if each.get("kind") == "DISCOVERY" and each.get("noteName", "").endswith(COUNTS)]
    newest = max(about, key=lambda each: str(each.get("updateTime", "")), default={})
    scan: Mapping[str, Any] = newest.get("discovery") or {}
    when = scan.get("lastScanTime")
    return Findings(
        {"COMPLETE": "FINISHED_SUCCESS"}.get(str(scan.get("analysisStatus")), str(scan.get("analysisStatus", ""))),
        str((scan.get("analysisStatusError") or {}).get("message", "")),
        datetime.fromisoformat(when) if when else None,
        scan.get("continuousAnalysis") != "INACTIVE",
        tuple(_vulnerability(each) for each in found if each.get("kind") == "VULNERABILITY"),
    )


def _vulnerability(occurrence: Mapping[str, Any]) -> Vulnerability:
    said: Mapping[str, Any] = occurrence.get("vulnerability") or {}
    name = said.get("shortDescription") or occurrence.get("noteName", "").rpartition("/")[2]
    worst = _known(said.get("effectiveSeverity")) or _known(said.get("severity"))
    return Vulnerability(str(name), tuple(_issue(each, worst) for each in said.get("packageIssue", ())))


def _issue(said: Mapping[str, Any], worst: str) -> Issue:
    fixed = said.get("fixedVersion") or {}
    return Issue(
        str(said.get("affectedPackage", "")),
        _text(said.get("affectedVersion") or {}),
        "" if fixed.get("kind", NO_FIX) == NO_FIX else _text(fixed),
        _known(said.get("effectiveSeverity")) or worst,
        str(said.get("packageType", "")),
    )


def _known(severity: object) -> str:
    return "" if severity in (None, "", "SEVERITY_UNSPECIFIED") else str(severity)


def _text(version: Mapping[str, Any]) -> str:
    if full := version.get("fullName"):
        return str(full)
    revision = version.get("revision")
    return f"{version.get('name', '')}-{revision}" if revision else str(version.get("name", ""))
