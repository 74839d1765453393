"""What Cloud Build notes of the images that it has pushed to Artifact Registry: what they were made of, and how.

https://cloud.google.com/build/docs/securing-builds/generate-validate-build-provenance
"""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from infra.emulator.artifacts.occurrences import Occurrences
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.projects.projects import Projects

ANALYSIS = "containeranalysis.googleapis.com"
BUILDER = "https://cloudbuild.googleapis.com/GoogleHostedWorker"
BUILD = "type.googleapis.com/google.devtools.cloudbuild.v1.Build"
BUILD_TYPE = "https://cloud.google.com/build/gcb-buildtypes/google-worker/v1"
NOTES = "projects/verified-builder/notes"
Json = dict[str, Any]


def note(cloud: Cloud, build: Any) -> None:
    """An occurrence for each image of a build that has succeeded, where the project keeps such."""
    projects = cloud.get(Projects)
    if projects.enabled_since(build.project_id, ANALYSIS) is None:
        return
    found = cloud.get(Occurrences)
    for digest in dict.fromkeys((image.name.rpartition(":")[0], image.digest) for image in build.results.images):
        uri, sha = digest
        if "-docker.pkg.dev/" not in uri:
            continue
        about = {"resourceUri": f"https://{uri}@{sha}", "kind": "BUILD"}
        for name, body in notes(build, projects.find(build.project_id).number).items():
            found.add(build.project_id, {**about, "noteName": f"{NOTES}/{name}", "build": body})


def notes(build: Any, number: int) -> dict[str, Json]:
    """By the note's name. SLSA 1.0 is only of what a trigger has built:
    https://cloud.google.com/build/docs/securing-builds/generate-validate-build-provenance#limitations
    """
    told = {f"intoto_{build.id}": {"intotoStatement": earlier_statement(build, number)}}
    if build.build_trigger_id:
        told[f"intoto_slsa_v1_{build.id}"] = {"inTotoSlsaProvenanceV1": statement(build, number)}
    return told


def earlier_statement(build: Any, number: int) -> Json:
    """https://slsa.dev/spec/v0.1/provenance: Cloud Build says `slsaProvenance` for `predicate`."""
    name = f"projects/{number}/{build.name.split('/', 2)[2]}"
    said = json_format.MessageToDict(build)
    arguments = {key: value for key, value in said.items() if key in {"id", "steps", "options", "substitutions"}}
    return {
        "_type": "https://in-toto.io/Statement/v0.1",
        "subject": subjects(build),
        "predicateType": "https://slsa.dev/provenance/v0.1",
        "slsaProvenance": {
            "builder": {"id": f"{BUILDER}@v0.3"},
            "recipe": {
                "type": "https://cloudbuild.googleapis.com/CloudBuildSteps@v0.1",
                "arguments": {"@type": BUILD, **arguments, "name": name},
            },
            "metadata": {
                "buildInvocationId": build.id,
                "buildStartedOn": build.start_time.ToJsonString(),
                "buildFinishedOn": build.finish_time.ToJsonString(),
            },
            "materials": _materials(build),
        },
    }


def subjects(build: Any) -> list[Json]:
    return [
        {"name": f"https://{image.name}", "digest": {"sha256": image.digest.removeprefix("sha256:")}}
        for image in build.results.images
    ]


def statement(build: Any, number: int) -> Json:
    """One for all images of the build: https://slsa.dev/spec/v1.0/provenance"""
    _, project, _, region, _, build_id = build.name.split("/")
    system = {"BUILD_ID": build_id, "LOCATION": region, "PROJECT_ID": project, "PROJECT_NUMBER": str(number)}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects(build),
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"substitutions": dict(build.substitutions)},
                "internalParameters": {"systemSubstitutions": system},
                "resolvedDependencies": _source(build),
            },
            "runDetails": {
                "builder": {"id": BUILDER},
                "metadata": {
                    "invocationId": f"https://cloudbuild.googleapis.com/v1/{build.name}",
                    "startedOn": build.start_time.ToJsonString(),
                    "finishedOn": build.finish_time.ToJsonString(),
                },
            },
        },
    }


def _materials(build: Any) -> list[Json]:
    if build.source.HasField("git_source"):
        source = build.source.git_source
        return [{"uri": source.url, "digest": {"sha1": source.revision}}]
    return [{"uri": each["uri"]} for each in _source(build)]


def _source(build: Any) -> list[Json]:
    if build.source.HasField("storage_source"):
        source = build.source.storage_source
        return [{"uri": f"gs://{source.bucket}/{source.object_}#{source.generation}"}]
    if build.source.HasField("git_source"):
        source = build.source.git_source
        return [{"uri": f"git+{source.url}", "digest": {"gitCommit": source.revision}}]
    return []
