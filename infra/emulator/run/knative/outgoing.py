"""From the messages of API v2 to the objects of API v1."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf import json_format

from infra.emulator.run.conditions import State
from infra.emulator.run.defaults import LATEST, is_default_probe
from infra.emulator.run.knative import fieldmap
from infra.emulator.run.knative.template import template
from infra.emulator.run.names import PoolName, owner_of, short, version_of

API = "serving.knative.dev/v1"
STATUS = {State.CONDITION_SUCCEEDED: "True", State.CONDITION_FAILED: "False"}
SEVERITY = {2: "Warning", 3: "Info"}
Json = dict[str, Any]


def service(message: Any, project_number: int) -> Json:
    """The v1 Service of a v2 one."""
    fields = json_format.MessageToDict(message)
    return {
        "apiVersion": API,
        "kind": "Service",
        "metadata": metadata_of(message, project_number, "services", _service_annotations(message, fields)),
        "spec": {
            "template": template(message.template, fields["template"], short(message.name)),
            "traffic": _spec_traffic(message),
        },
        "status": _service_status(message),
    }


def configuration(message: Any, project_number: int) -> Json:
    made = service(message, project_number)
    status = {key: value for key, value in made["status"].items() if key.startswith("latest") or "Gen" in key}
    return {
        **_part(made, "Configuration", "configurations"),
        "spec": {"template": made["spec"]["template"]},
        "status": status | {"conditions": _as_ready(made, "ConfigurationsReady")},
    }


def route(message: Any, project_number: int) -> Json:
    made = service(message, project_number)
    status = {key: made["status"][key] for key in ("address", "observedGeneration", "url") if key in made["status"]}
    return {
        **_part(made, "Route", "routes"),
        "spec": {"traffic": made["spec"]["traffic"]},
        "status": status | {"traffic": made["status"]["traffic"], "conditions": _as_ready(made, "RoutesReady")},
    }


def revision(message: Any, image: str, project_number: int) -> Json:
    """The v1 Revision of a v2 one; `image` is its image by digest."""
    fields = json_format.MessageToDict(message)
    name = owner_of(message.name)
    made = template(message, fields, name.id)
    notes = {"serving.knative.dev/creator": message.creator} | made["metadata"]["annotations"]
    metadata = metadata_of(message, project_number, "revisions", notes)
    probes = [container.startup_probe for container in message.containers if container.HasField("startup_probe")]
    own, kind, api = {f"{fieldmap.RUN}/workerPool": name.id}, "WorkerPool", "run.googleapis.com/v1"
    if name.kind != PoolName.kind:
        own = {f"serving.knative.dev/{each}": name.id for each in ("service", "configuration", "route")}
        own[f"{fieldmap.RUN}/startupProbeType"] = "Default" if all(map(is_default_probe, probes)) else "Custom"
        kind, api = "Configuration", API
    metadata["labels"] |= own
    metadata["ownerReferences"] = [
        {"apiVersion": api, "kind": kind, "name": name.id, "controller": True, "blockOwnerDeletion": True}
    ]
    status: Json = {
        "conditions": [condition_of(c) for c in message.conditions],
        "logUrl": message.log_uri,
        "observedGeneration": message.observed_generation,
    }
    if image:
        status["imageDigest"] = image
        status["containerStatuses"] = [{"name": message.containers[0].name, "imageDigest": image}]
    if message.scaling.min_instance_count:
        status["desiredReplicas"] = message.scaling.min_instance_count
    return {"apiVersion": API, "kind": "Revision", "metadata": metadata, "spec": made["spec"], "status": status}


def listing(kind: str, items: Iterable[Json], token: str = "", api: str = API) -> Json:
    metadata = {"continue": token} if token else {}
    return {"apiVersion": api, "kind": f"{kind}List", "metadata": metadata, "items": list(items)}


def resource_version(message: Any) -> str:
    return base64.urlsafe_b64encode(version_of(message).to_bytes(8, "big")).decode().rstrip("=")


def metadata_of(message: Any, project_number: int, collection: str, notes: Mapping[str, str], api: str = API) -> Json:
    name = short(message.name)
    created = message.create_time.ToJsonString()
    metadata = {
        "name": name,
        "namespace": str(project_number),
        "selfLink": f"/apis/{api}/namespaces/{project_number}/{collection}/{name}",
        "uid": message.uid,
        "resourceVersion": resource_version(message),
        "generation": message.generation,
        "creationTimestamp": created,
        "labels": {**message.labels, "cloud.googleapis.com/location": message.name.split("/")[3]},
        "annotations": {**message.annotations, **notes},
    }
    if message.HasField("delete_time"):
        metadata["deletionTimestamp"] = message.delete_time.ToJsonString()
    return metadata


def _service_annotations(message: Any, fields: Json) -> dict[str, str]:
    notes = {"serving.knative.dev/creator": message.creator, "serving.knative.dev/lastModifier": message.last_modifier}
    notes |= fieldmap.from_fields(fields, fieldmap.SERVICE)
    if ingress := notes.get(f"{fieldmap.RUN}/ingress"):
        notes[f"{fieldmap.RUN}/ingress-status"] = ingress
    if message.urls:
        notes[f"{fieldmap.RUN}/urls"] = json.dumps(list(message.urls))
    if message.HasField("binary_authorization"):
        binary = message.binary_authorization
        notes[f"{fieldmap.RUN}/binary-authorization"] = "default" if binary.use_default else binary.policy
    return notes


def _spec_traffic(message: Any) -> list[Json]:
    return [_target(target, "") for target in message.traffic]


def _target(target: Any, latest: str) -> Json:
    """A traffic target or status; `latest`, where known, is what LATEST stands for now."""
    made: Json = {"latestRevision": True} if target.type_ == LATEST else {}
    if revision_name := (latest if target.type_ == LATEST else short(target.revision)):
        made["revisionName"] = revision_name
    if target.percent:
        made["percent"] = target.percent
    if target.tag:
        made["tag"] = target.tag
    return made


def _service_status(message: Any) -> Json:
    latest = short(message.latest_ready_revision)
    status: Json = {"conditions": _service_conditions(message), "traffic": []}
    for target in message.traffic_statuses if latest else ():
        status["traffic"].append(_target(target, latest) | ({"url": target.uri} if target.uri else {}))
    optional = {
        "observedGeneration": message.observed_generation,
        "latestCreatedRevisionName": short(message.latest_created_revision),
        "latestReadyRevisionName": latest,
        "url": message.uri,
        "address": {"url": message.uri} if message.uri else None,
    }
    return status | {key: value for key, value in optional.items() if value}


def _service_conditions(message: Any) -> list[Json]:
    """Ready first. While a change is under way nothing is known to be ready."""
    if message.reconciling:
        since = {"lastTransitionTime": message.update_time.ToJsonString()}
        kinds = ("Ready", "ConfigurationsReady", "RoutesReady")
        return [{"type": kind, "status": "Unknown", **since} for kind in kinds]
    return [condition_of(c) for c in (message.terminal_condition, *message.conditions)]


def condition_of(message: Any) -> Json:
    made = {
        "type": message.type_,
        "status": STATUS.get(message.state, "Unknown"),
        "lastTransitionTime": message.last_transition_time.ToJsonString(),
    }
    fields = json_format.MessageToDict(message)
    if reason := fields.get("reason") or fields.get("revisionReason") or fields.get("executionReason"):
        made["reason"] = "".join(word.capitalize() for word in reason.split("_"))
    if message.message:
        made["message"] = message.message
    if message.severity in SEVERITY:
        made["severity"] = SEVERITY[message.severity]
    return made


def _part(made: Json, kind: str, collection: str) -> Json:
    """The head of a Service's Route or Configuration."""
    metadata = made["metadata"] | {"selfLink": made["metadata"]["selfLink"].replace("/services/", f"/{collection}/")}
    return {"apiVersion": API, "kind": kind, "metadata": metadata}


def _as_ready(made: Json, kind: str) -> list[Json]:
    return [c | {"type": "Ready"} for c in made["status"]["conditions"] if c["type"] == kind]
