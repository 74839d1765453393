"""Artifact Analysis: where an image comes from, and its bill of materials.

https://cloud.google.com/artifact-analysis/docs/reference/rest/v1/projects.occurrences
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.gcp.calls.rest import listed, post_repeatably

URL = "https://containeranalysis.googleapis.com/v1"
PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a builder says of a build. Its signature is not checked: that takes Google's keys."""

    builder: str  # https://cloudbuild.googleapis.com/GoogleHostedWorker
    build: str  # projects/{project}/locations/{region}/builds/{id}, as far as that is told
    subjects: frozenset[str]  # sha256:…: what it has made
    commits: frozenset[str]  # of git, that it says were its source
    sources: frozenset[str]  # gs://bucket/object or git+https://…, without generations
    substitutions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Bill:
    """Where a bill of materials is, and its digest as the reference to it says it."""

    location: str  # gs://bucket/object
    sha256: str
    kind: str  # application/spdx+json …
    subjects: frozenset[str]  # sha256:…: what it is of


async def provenances(reference: str) -> tuple[Provenance, ...]:
    """reference: LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE@sha256:… Raises GoogleError, as all here."""
    found = [each["build"] for each in await _occurrences(reference, "BUILD") if each.get("build")]
    return tuple(made for each in found if (made := provenance_of(each)))


def provenance_of(build: Mapping[str, Any]) -> Provenance | None:
    """None for one in no form of SLSA. In that of 1.0 Cloud Build tells only of what a trigger has built.

    https://cloud.google.com/build/docs/securing-builds/generate-validate-build-provenance#limitations
    """
    if statement := build.get("inTotoSlsaProvenanceV1"):
        return _of_slsa_1(statement)
    statement = build.get("intotoStatement") or {}
    return _of_slsa_0(statement, statement["slsaProvenance"]) if statement.get("slsaProvenance") else None


def _of_slsa_0(statement: Mapping[str, Any], predicate: Mapping[str, Any]) -> Provenance:
    """https://slsa.dev/spec/v0.1/provenance, as Cloud Build fills it in: the recipe's arguments are the build."""
    said = (predicate.get("recipe") or {}).get("arguments") or {}
    sources = predicate.get("materials") or ()
    digests = (each.get("digest") or {} for each in sources)
    return Provenance(
        str((predicate.get("builder") or {}).get("id", "")),
        str(said.get("name") or (predicate.get("metadata") or {}).get("buildInvocationId", "")),
        _digests(statement.get("subject") or ()),
        frozenset(str(digest["sha1"]) for digest in digests if "sha1" in digest),
        frozenset(str(each.get("uri", "")).partition("#")[0] for each in sources),
        {str(key): str(value) for key, value in (said.get("substitutions") or {}).items()},
    )


def _of_slsa_1(statement: Mapping[str, Any]) -> Provenance:
    predicate = statement.get("predicate") or {}
    definition, run = predicate.get("buildDefinition") or {}, predicate.get("runDetails") or {}
    sources = definition.get("resolvedDependencies") or ()
    external = definition.get("externalParameters") or {}
    invocation = str((run.get("metadata") or {}).get("invocationId", ""))
    return Provenance(
        str((run.get("builder") or {}).get("id", "")),
        f"projects/{invocation.partition('/projects/')[2]}" if "/projects/" in invocation else invocation,
        _digests(statement.get("subject") or ()),
        frozenset(str(each["digest"]["gitCommit"]) for each in sources if "gitCommit" in (each.get("digest") or {})),
        frozenset(str(each.get("uri", "")).partition("#")[0] for each in sources),
        {str(key): str(value) for key, value in (external.get("substitutions") or {}).items()},
    )


async def bills(reference: str) -> tuple[Bill, ...]:
    """The newest first."""
    found = await _occurrences(reference, "SBOM_REFERENCE")
    newest = sorted(found, key=lambda each: str(each.get("updateTime", "")), reverse=True)
    return tuple(_bill((each.get("sbomReference") or {}).get("payload") or {}) for each in newest)


def _bill(payload: Mapping[str, Any]) -> Bill:
    said = payload.get("predicate") or {}
    sha256 = str((said.get("digest") or {}).get("sha256", ""))
    subjects = _digests(payload.get("subject") or ())
    return Bill(str(said.get("location", "")), sha256, str(said.get("mimeType", "")), subjects)


async def export_bill(reference: str) -> None:
    """Has Artifact Analysis write it into a bucket of the project, which takes a while. May be asked for again.

    https://cloud.google.com/artifact-analysis/docs/reference/rest/v1/projects.resources/exportSBOM
    """
    project = reference.split("/")[1]
    url = f"{URL}/projects/{project}/resources/https://{reference}:exportSBOM"
    await post_repeatably("containeranalysis.resources.exportSBOM", url, {})


async def _occurrences(reference: str, kind: str) -> list[dict[str, Any]]:
    query = f'kind = "{kind}" AND resourceUrl = "https://{reference}"'
    url = f"{URL}/projects/{reference.split('/')[1]}/occurrences"
    return await listed("containeranalysis.occurrences.list", url, "occurrences", PAGE_SIZE, {"filter": query})


def _digests(subjects: Any) -> frozenset[str]:
    digests = (str((each.get("digest") or {}).get("sha256", "")) for each in subjects)
    return frozenset(f"sha256:{digest}" for digest in digests if digest)
