"""Artifact Analysis: each image is scanned once, when it is pushed, and held against the advisories that are known.

What is not scanned has no occurrence at all: images of a project without the Container Scanning API, and those that
were pushed before it was on. https://cloud.google.com/artifact-analysis/docs/container-scanning-overview
"""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from infra.emulator.artifacts.images import Images
from infra.emulator.artifacts.occurrences import Occurrences
from infra.emulator.artifacts.packages import Package, packages
from infra.emulator.artifacts.references import parse_docker_image
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError
from infra.emulator.projects.projects import Projects

SCANNING = "containerscanning.googleapis.com"
STAGE = "artifacts.scan"  # how long a scan takes; half of that it waits
ACTIVE_S = 30 * 24 * 3600  # for so long after a push or pull findings are kept up to date
Severity = Literal["MINIMAL", "LOW", "MEDIUM", "HIGH", "CRITICAL"]
JsonObject = dict[str, Any]


class _Osv(BaseModel):
    """What is read of OSV's form; the rest may be there. https://ossf.github.io/osv-schema/"""

    model_config = ConfigDict(extra="ignore")


class Event(_Osv):
    introduced: str = ""
    fixed: str = ""


class Range(_Osv):
    events: list[Event] = []


class Affected(_Osv):
    package: dict[str, str]  # ecosystem and name
    ranges: list[Range] = []
    versions: list[str] = []


class Rated(_Osv):
    severity: Severity


class Advisory(_Osv):
    id: str = Field(min_length=1)
    summary: str = ""
    affected: list[Affected] = Field(min_length=1)
    database_specific: Rated  # where GitHub's advisories have it, too


class Knowledge(BaseModel):
    """What the scanner knows, and how it is."""

    model_config = ConfigDict(extra="forbid")

    advisories: list[Advisory] = []
    scanner: Literal["up", "failing", "unsupported", "silent"] = "up"  # silent: it finds nothing to say of new images


class Scanner:
    def __init__(self, cloud: Cloud) -> None:
        self._projects, self._images, self._behaviour = cloud.get(Projects), cloud.get(Images), cloud.behaviour
        self._table, self._bills = cloud.store.values("advisories"), cloud.store.values("bills")
        cloud.told["/advisories"] = self
        cloud.put(Occurrences(cloud.store))  # what it writes itself is of the moment, and in no table

    def show(self) -> object:
        return self._knowledge().model_dump()

    def take(self, body: bytes) -> None:
        self._table.put("known", Knowledge.model_validate_json(body).model_dump())

    def sbom_state(self, uri: str) -> str:
        """How far the bill of materials of an image is that somebody has asked for; '' where nobody has."""
        return str(self._bills.get(uri) or "")

    def tell_sbom(self, uri: str, state: str) -> None:
        self._bills.put(uri, state)

    @property
    def advisories(self) -> list[Advisory]:
        """All that it knows."""
        return self._knowledge().advisories

    def _knowledge(self) -> Knowledge:
        return Knowledge.model_validate(self._table.get("known") or {})

    def occurrences(self, project: str) -> Iterator[JsonObject]:
        """Of every image of a project, as of now; what has no scan has none."""
        since = self._projects.enabled_since(project, SCANNING)
        knowledge = self._knowledge()
        if since is None or knowledge.scanner == "silent":
            return
        for image in self._images.catalogue.manifests.list(f"projects/{project}/"):
            pushed = image.upload_time.ToDatetime(UTC).timestamp()
            if pushed >= since and not image.image_manifests and not image.artifact_type:
                yield from self._of_image(project, image, pushed, knowledge)

    def _of_image(self, project: str, image: Any, pushed: float, knowledge: Knowledge) -> Iterator[JsonObject]:
        uri, status = f"https://{image.uri}", self._status(pushed, knowledge)
        yield self._discovery(project, uri, pushed, status)
        if status != "FINISHED_SUCCESS":
            return
        try:
            layers = self._images.layers(parse_docker_image(image.name).uri)
        except RpcError:
            return
        found = packages(layers)
        for advisory in knowledge.advisories:
            if issues := [each for package in found if (each := issue_of(advisory, package))]:
                yield _vulnerability(project, uri, pushed, advisory, issues)

    def _status(self, pushed: float, knowledge: Knowledge) -> str:
        takes, age = self._behaviour.latency_s.get(STAGE, 0.0), time.time() - pushed
        if age < takes:
            return "PENDING" if age < takes / 2 else "SCANNING"
        return {"failing": "FINISHED_FAILED", "unsupported": "FINISHED_UNSUPPORTED"}.get(
            knowledge.scanner, "FINISHED_SUCCESS"
        )

    def _discovery(self, project: str, uri: str, pushed: float, status: str) -> JsonObject:
        active = time.time() - pushed < ACTIVE_S
        discovery: JsonObject = {
            "analysisStatus": status,
            "continuousAnalysis": "ACTIVE" if active else "INACTIVE",
        }
        if status == "FINISHED_FAILED":
            discovery["analysisStatusError"] = {"code": 13, "message": "The image could not be analysed."}
        if status.startswith("FINISHED_"):
            discovery["lastScanTime"] = _stamp(time.time() if active else pushed + ACTIVE_S)
        if status == "FINISHED_SUCCESS":
            discovery["analysisCompleted"] = {"analysisType": ["OS", "PYPI", "NPM"]}
        if state := self.sbom_state(uri):
            discovery["sbomStatus"] = {"sbomState": state}
        note = "projects/goog-analysis/notes/PACKAGE_VULNERABILITY"
        return _occurrence(project, uri, pushed, "DISCOVERY", note, {"discovery": discovery})


def _vulnerability(
    project: str, uri: str, pushed: float, advisory: Advisory, issues: Sequence[JsonObject]
) -> JsonObject:
    severity, fix = advisory.database_specific.severity, any(issue["fixAvailable"] for issue in issues)
    said = {
        "type": issues[0]["packageType"],
        "severity": severity,
        "effectiveSeverity": severity,
        "packageIssue": list(issues),
        "shortDescription": advisory.id,
        "longDescription": advisory.summary,
        "fixAvailable": fix,
    }
    note = f"projects/goog-vulnz/notes/{advisory.id}"
    return _occurrence(project, uri, pushed, "VULNERABILITY", note, {"vulnerability": said})


def issue_of(advisory: Advisory, package: Package) -> JsonObject | None:
    """How an advisory concerns a package that is there; None if it does not."""
    for affected in advisory.affected:
        ecosystem = affected.package.get("ecosystem", "").partition(":")[0]  # Debian:12 is of Debian
        if (ecosystem, affected.package.get("name")) != (package.ecosystem, package.name):
            continue
        fixed = next((e.fixed for r in affected.ranges for e in r.events if e.fixed), "")
        listed = package.version in affected.versions
        if not listed and (affected.versions or (fixed and not before(package.version, fixed))):
            continue
        severity = advisory.database_specific.severity
        kinds = {"Debian": "OS", "Alpine": "OS", "PyPI": "PYPI", "npm": "NPM", "Go": "GO", "crates.io": "RUST"}
        return {
            "affectedPackage": package.name,
            "affectedVersion": _version(package.version),
            "fixedPackage": package.name,
            "fixedVersion": _version(fixed) if fixed else {"kind": "MAXIMUM"},
            "fixAvailable": bool(fixed),
            "packageType": kinds.get(package.ecosystem, "PACKAGE_TYPE_UNSPECIFIED"),
            "effectiveSeverity": severity,
        }
    return None


def before(one: str, other: str) -> bool:
    """Whether a version is older: numbers by value, the rest by letters; enough for advisories that people write."""
    return _key(one) < _key(other)


def _key(version: str) -> list[tuple[int, int, str]]:
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.findall(r"\d+|[a-z]+", version)]


def _version(text: str) -> JsonObject:
    return {"name": text, "kind": "NORMAL", "fullName": text}


def _occurrence(project: str, uri: str, at: float, kind: str, note: str, body: JsonObject) -> JsonObject:
    number = zlib.crc32(f"{uri} {note}".encode())
    return {
        "name": f"projects/{project}/occurrences/{number:08x}-0000-4000-8000-{number:012x}",
        "resourceUri": uri,
        "noteName": note,
        "kind": kind,
        "createTime": _stamp(at),
        "updateTime": _stamp(at),
        **body,
    }


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
