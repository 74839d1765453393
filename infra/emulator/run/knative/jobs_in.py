"""From the Job objects of API v1 to the messages of API v2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.cloud import run_v2

from infra.emulator.run.jobs.state import JobPb
from infra.emulator.run.knative import fieldmap, incoming

Json = Mapping[str, Any]
OverridesPb: Any = run_v2.RunJobRequest.Overrides.pb()


def job(body: Json) -> Any:
    """The v2 job that a v1 Job asks for. Raises INVALID_ARGUMENT for what v2 has no place for."""
    metadata, spec = body.get("metadata") or {}, body.get("spec") or {}
    notes = metadata.get("annotations") or {}
    fields: dict[str, Any] = {
        **incoming.marks(metadata),
        "template": _execution_template(spec.get("template") or {}),
    }
    for token in ("startExecutionToken", "runExecutionToken"):
        if spec.get(token):
            fields[token] = spec[token]
    fieldmap.into_fields(notes, fieldmap.JOB, fields)
    if wanted := incoming.binary_authorization(notes):
        fields["binaryAuthorization"] = wanted
    return incoming.parsed(fields, JobPb())


def overrides(body: Json) -> Any:
    given = dict(body.get("overrides") or {})
    if seconds := given.pop("timeoutSeconds", None):
        given["timeout"] = f"{seconds}s"
    return incoming.parsed(given, OverridesPb())


def _execution_template(template: Json) -> dict[str, Any]:
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    notes = metadata.get("annotations") or {}
    return {
        **incoming.marks(metadata),
        "parallelism": spec.get("parallelism") or 0,
        "taskCount": spec.get("taskCount") or 0,
        "template": _task((spec.get("template") or {}).get("spec") or {}, notes),
    }


def _task(spec: Json, notes: Mapping[str, str]) -> dict[str, Any]:
    fields = incoming.unrequested(spec)
    if spec.get("maxRetries") is not None:
        fields["maxRetries"] = spec["maxRetries"]
    if seconds := spec.get("timeoutSeconds"):
        fields["timeout"] = f"{seconds}s"
    incoming.annotate(fields, notes, fieldmap.TASK)
    return fields
