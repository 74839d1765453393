"""From the jobs, executions and tasks of API v2 to the objects of API v1."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from infra.emulator.run.conditions import State
from infra.emulator.run.jobs.conditions import condition_of
from infra.emulator.run.knative import fieldmap, outgoing
from infra.emulator.run.knative.incoming import CLOUD_SQL
from infra.emulator.run.knative.template import annotations_of, container_of, volume_of

API = "run.googleapis.com/v1"
RUN = fieldmap.RUN
Json = dict[str, Any]


def job(message: Any, project_number: int) -> Json:
    """The v1 Job of a v2 one."""
    fields = json_format.MessageToDict(message)
    notes = {f"{RUN}/creator": message.creator, f"{RUN}/lastModifier": message.last_modifier}
    notes |= fieldmap.from_fields(fields, fieldmap.JOB)
    if message.HasField("binary_authorization"):
        binary = message.binary_authorization
        notes[f"{RUN}/binary-authorization"] = "default" if binary.use_default else binary.policy
    metadata = outgoing.metadata_of(message, project_number, "jobs", notes, API)
    metadata["labels"][f"{RUN}/lastUpdatedTime"] = message.update_time.ToJsonString()
    spec: Json = {"template": _execution_template(message.template, fields["template"])}
    for token in ("startExecutionToken", "runExecutionToken"):
        if token in fields:
            spec[token] = fields[token]
    return {"apiVersion": API, "kind": "Job", "metadata": metadata, "spec": spec, "status": _job_status(message)}


def execution(message: Any, project_number: int) -> Json:
    fields = json_format.MessageToDict(message)
    metadata = outgoing.metadata_of(message, project_number, "executions", _task_notes(message.template), API)
    metadata["annotations"][f"{RUN}/creator"] = message.creator
    metadata["labels"] |= {f"{RUN}/job": message.job}
    metadata["ownerReferences"] = [
        {"apiVersion": API, "kind": "Job", "name": message.job, "controller": True, "blockOwnerDeletion": True}
    ]
    spec = {
        "parallelism": message.parallelism,
        "taskCount": message.task_count,
        "template": {"spec": _task_spec(message.template, fields["template"])},
    }
    status: Json = {
        "conditions": [outgoing.condition_of(found) for found in message.conditions],
        "logUri": message.log_uri,
        "observedGeneration": message.generation,
    }
    for name in ("startTime", "completionTime"):
        if name in fields:
            status[name] = fields[name]
    for kind in ("running", "succeeded", "failed", "cancelled", "retried"):
        if count := fields.get(f"{kind}Count"):
            status[f"{kind}Count"] = count
    return {"apiVersion": API, "kind": "Execution", "metadata": metadata, "spec": spec, "status": status}


def task(message: Any, project_number: int) -> Json:
    fields = json_format.MessageToDict(message)
    metadata = outgoing.metadata_of(message, project_number, "tasks", _task_notes(message), API)
    metadata["labels"] |= {
        f"{RUN}/job": message.job,
        f"{RUN}/execution": message.execution,
        f"{RUN}/taskIndex": str(message.index),
        f"{RUN}/runningState": _running_state(message),
    }
    status: Json = {
        "conditions": [outgoing.condition_of(found) for found in message.conditions],
        "index": message.index,
        "logUri": message.log_uri,
        "observedGeneration": message.generation,
        "retried": message.retried,
    }
    for name in ("startTime", "completionTime", "lastAttemptResult"):
        if name in fields:
            status[name] = fields[name]
    return {
        "apiVersion": API, "kind": "Task", "metadata": metadata, "spec": _task_spec(message, fields), "status": status,
    }  # fmt: skip


def _running_state(task: Any) -> str:
    """As gcloud's task filters have it."""
    completed = condition_of(task, "Completed")
    if completed.state == State.CONDITION_SUCCEEDED:
        return "Succeeded"
    if completed.state == State.CONDITION_FAILED:
        return "Cancelled" if "CANCELLED" in json_format.MessageToJson(completed) else "Failed"
    return "Running" if task.HasField("start_time") else "Pending"


def _job_status(message: Any) -> Json:
    status: Json = {"conditions": [outgoing.condition_of(message.terminal_condition)]}
    if message.observed_generation:
        status["observedGeneration"] = message.observed_generation
    if message.execution_count:
        reference = json_format.MessageToDict(message.latest_created_execution)
        renamed = {"createTime": "creationTimestamp", "completionTime": "completionTimestamp"}
        status["executionCount"] = message.execution_count
        status["latestCreatedExecution"] = {renamed.get(key, key): value for key, value in reference.items()}
    return status


def _execution_template(message: Any, fields: Json) -> Json:
    task = fields["template"]
    spec: Json = {"taskCount": message.task_count, "template": {"spec": _task_spec(message.template, task)}}
    if message.parallelism:
        spec["parallelism"] = message.parallelism
    notes = {**message.annotations, **_task_notes(message.template)}
    return {"metadata": {"labels": dict(message.labels), "annotations": notes}, "spec": spec}


def _task_notes(message: Any) -> dict[str, str]:
    fields = json_format.MessageToDict(message)
    return fieldmap.from_fields(fields, fieldmap.TASK) | annotations_of(message, fields.get("containers", []))


def _task_spec(message: Any, fields: Json) -> Json:
    spec: Json = {
        "containers": [container_of(container) for container in fields.get("containers", [])],
        "maxRetries": message.max_retries,
        "timeoutSeconds": str(message.timeout.seconds),
        "serviceAccountName": message.service_account,
    }
    if volumes := [volume_of(volume) for volume in fields.get("volumes", []) if volume["name"] != CLOUD_SQL]:
        spec["volumes"] = volumes
    if message.node_selector.accelerator:
        spec["nodeSelector"] = {f"{RUN}/accelerator": message.node_selector.accelerator}
    return spec
