"""From the worker pools of API v2 to the objects of API v1."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from infra.emulator.run.defaults import LATEST
from infra.emulator.run.knative import fieldmap, outgoing
from infra.emulator.run.knative.template import template
from infra.emulator.run.names import short

API = "run.googleapis.com/v1"
RUN = fieldmap.RUN
Json = dict[str, Any]


def pool(message: Any, project_number: int) -> Json:
    """The v1 WorkerPool of a v2 one: https://cloud.google.com/run/docs/reference/rest/v1/namespaces.workerpools"""
    fields = json_format.MessageToDict(message)
    notes = {f"{RUN}/creator": message.creator, f"{RUN}/lastModifier": message.last_modifier}
    notes |= {f"serving.knative.dev/{key.rpartition('/')[2]}": text for key, text in notes.items()}
    notes |= fieldmap.from_fields(fields, fieldmap.POOL) | {f"{RUN}/scalingMode": "manual"}
    if message.HasField("binary_authorization"):
        binary = message.binary_authorization
        notes[f"{RUN}/binary-authorization"] = "default" if binary.use_default else binary.policy
    spec = {
        "template": template(message.template, fields["template"], short(message.name)),
        "instanceSplits": [_split(split, "") for split in message.instance_splits],
    }
    metadata = outgoing.metadata_of(message, project_number, "workerpools", notes, API)
    return {"apiVersion": API, "kind": "WorkerPool", "metadata": metadata, "spec": spec, "status": _status(message)}


def _status(message: Any) -> Json:
    latest = short(message.latest_ready_revision)
    since = message.update_time.ToJsonString()
    ready = {"type": "Ready", "status": "Unknown", "lastTransitionTime": since}
    status: Json = {
        "conditions": [ready if message.reconciling else outgoing.condition_of(message.terminal_condition)],
        "instanceSplits": [_split(split, latest) for split in message.instance_split_statuses if latest],
    }
    optional = {
        "observedGeneration": message.observed_generation,
        "latestCreatedRevisionName": short(message.latest_created_revision),
        "latestReadyRevisionName": latest,
    }
    return status | {key: value for key, value in optional.items() if value}


def _split(split: Any, latest: str) -> Json:
    made: Json = {"percent": split.percent} | ({"latestRevision": True} if split.type_ == LATEST else {})
    name = latest if split.type_ == LATEST else short(split.revision)
    return made | ({"revisionName": name} if name else {})
