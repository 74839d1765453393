"""Parts that the Services and Revisions of API v1 share: the template, its containers and volumes."""

from __future__ import annotations

import json
from typing import Any

from infra.emulator.run.knative import fieldmap
from infra.emulator.run.knative.incoming import CLOUD_SQL

Json = dict[str, Any]


def template(message: Any, fields: Json, owner_id: str) -> Json:
    """The v1 template of a v2 template or revision, given as message and as JSON."""
    containers: list[Json] = fields.get("containers", [])
    ingress = next((c for c in containers if c.get("ports")), Json())
    notes = {
        **message.annotations,
        **fieldmap.from_fields(fields, fieldmap.TEMPLATE),
        **fieldmap.from_fields(ingress, fieldmap.CONTAINER),
    }
    notes |= annotations_of(message, containers)
    metadata: Json = {"labels": dict(message.labels), "annotations": notes}
    if getattr(message, "revision", ""):
        metadata["name"] = message.revision
    takes_requests = "max_instance_request_concurrency" in message.DESCRIPTOR.fields_by_name
    of_requests = (
        {
            "containerConcurrency": message.max_instance_request_concurrency,
            "timeoutSeconds": message.timeout.seconds,
        }
        if takes_requests and message.max_instance_request_concurrency
        else {}
    )
    spec: Json = {
        **of_requests,
        "serviceAccountName": message.service_account,
        "containers": named([container_of(container) for container in containers], owner_id),
    }
    if volumes := [volume_of(volume) for volume in fields.get("volumes", []) if volume["name"] != CLOUD_SQL]:
        spec["volumes"] = volumes
    if message.node_selector.accelerator:
        spec["nodeSelector"] = {f"{fieldmap.RUN}/accelerator": message.node_selector.accelerator}
    return {"metadata": metadata, "spec": spec}


def annotations_of(message: Any, containers: list[Json]) -> dict[str, str]:
    """What v1 says of dependencies and databases, for services and jobs alike."""
    notes = {}
    if needed := {c.get("name", ""): c["dependsOn"] for c in containers if c.get("dependsOn")}:
        notes[f"{fieldmap.RUN}/container-dependencies"] = json.dumps(needed)
    if databases := [i for v in message.volumes for i in v.cloud_sql_instance.instances]:
        notes[f"{fieldmap.RUN}/cloudsql-instances"] = ",".join(databases)
    return notes


def named(containers: list[Json], owner_id: str) -> list[Json]:
    """One among several that has no name is shown with one, while what is said of those it waits for is said under
    none: https://github.com/hashicorp/terraform-provider-google/issues/21035.
    """
    if len(containers) == 1:
        return containers
    return [{"name": f"{owner_id}-{number}", **each} for number, each in enumerate(containers, 1)]


def container_of(fields: Json) -> Json:
    same = ("name", "image", "command", "args", "ports", "volumeMounts", "workingDir")
    made = {key: fields[key] for key in same if key in fields}
    if mounts := made.pop("volumeMounts", ()):  # an annotation stands for the databases, and for where they are seen
        made |= {"volumeMounts": kept} if (kept := [each for each in mounts if each["name"] != CLOUD_SQL]) else {}
    if env := [_variable(variable) for variable in fields.get("env", [])]:
        made["env"] = env
    if limits := fields.get("resources", {}).get("limits"):
        made["resources"] = {"limits": limits}
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        if name in fields:
            made[name] = fields[name] | ({"successThreshold": 1} if name == "startupProbe" else {})
    return made


def _variable(fields: Json) -> Json:
    if reference := fields.get("valueSource", {}).get("secretKeyRef"):
        source = {"name": reference["secret"], "key": reference.get("version", "latest")}
        return {"name": fields["name"], "valueFrom": {"secretKeyRef": source}}
    return {"name": fields["name"], "value": fields.get("value", "")}


def volume_of(fields: Json) -> Json:
    made: Json = {"name": fields["name"]}
    if secret := fields.get("secret"):
        items = [
            {"path": item["path"], "key": item.get("version", "latest")}
            | ({"mode": item["mode"]} if "mode" in item else {})
            for item in secret.get("items", [])
        ]
        made["secret"] = {"secretName": secret["secret"], "items": items}
        if "defaultMode" in secret:
            made["secret"]["defaultMode"] = secret["defaultMode"]
    elif "emptyDir" in fields:
        sizes = {key: value for key, value in fields["emptyDir"].items() if key == "sizeLimit"}
        medium = {"medium": "Memory"} if fields["emptyDir"].get("medium") == "MEMORY" else {}
        made["emptyDir"] = medium | sizes
    elif bucket := fields.get("gcs"):
        attributes = {"bucketName": bucket.get("bucket", "")}
        if options := bucket.get("mountOptions"):
            attributes["mountOptions"] = ",".join(options)
        made["csi"] = {
            "driver": "gcsfuse.run.googleapis.com",
            "readOnly": bool(bucket.get("readOnly")),
            "volumeAttributes": attributes,
        }
    elif "nfs" in fields:
        made["nfs"] = fields["nfs"]
    return made
