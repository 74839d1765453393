"""From the Service objects of API v1 to the messages of API v2."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format

from infra.emulator.kernel.errors import invalid
from infra.emulator.run.knative import fieldmap
from infra.emulator.run.names import short
from infra.emulator.run.state import ServicePb
from infra.emulator.run.wiring import check_container_name

Json = Mapping[str, Any]
CLOUD_SQL = "cloudsql"  # the volume that stands for the annotation of the same meaning


def service(body: Json) -> Any:
    """The v2 service that a v1 Service asks for. Raises INVALID_ARGUMENT for what v2 has no place for."""
    metadata, spec = body.get("metadata") or {}, body.get("spec") or {}
    notes = metadata.get("annotations") or {}
    fields: dict[str, Any] = {
        **marks(metadata),
        "template": _template(spec.get("template") or {}),
        "traffic": [_target(target) for target in spec.get("traffic") or []],
    }
    fieldmap.into_fields(notes, fieldmap.SERVICE, fields)
    if wanted := binary_authorization(notes):
        fields.setdefault("binaryAuthorization", {}).update(wanted)
    return parsed(fields, ServicePb())


def marks(metadata: Json) -> dict[str, Any]:
    """Labels and annotations that users have put there."""
    return {key: fieldmap.users_own(metadata.get(key) or {}) for key in ("labels", "annotations")}


def binary_authorization(notes: Mapping[str, str]) -> dict[str, Any]:
    """What an annotation says of it; empty where there is none."""
    policy = notes.get(f"{fieldmap.RUN}/binary-authorization")
    return {"useDefault": True} if policy == "default" else {"policy": policy} if policy else {}


def parsed(fields: dict[str, Any], message: Any) -> Any:
    """The message with these. Raises INVALID_ARGUMENT for what it has no place for."""
    try:
        return json_format.ParseDict(fields, message)
    except json_format.ParseError as error:
        raise invalid(f"The request has errors: {error}") from error


def _template(template: Json) -> dict[str, Any]:
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    notes = metadata.get("annotations") or {}
    fields: dict[str, Any] = {
        "revision": metadata.get("name") or "",
        **marks(metadata),
        "containers": [container_from(container) for container in spec.get("containers") or []],
        "volumes": [volume_from(volume) for volume in spec.get("volumes") or []],
        "serviceAccount": spec.get("serviceAccountName") or "",
        "maxInstanceRequestConcurrency": spec.get("containerConcurrency") or 0,
    }
    if seconds := spec.get("timeoutSeconds"):
        fields["timeout"] = f"{seconds}s"
    if accelerator := (spec.get("nodeSelector") or {}).get(f"{fieldmap.RUN}/accelerator"):
        fields["nodeSelector"] = {"accelerator": accelerator}
    annotate(fields, notes)
    fieldmap.into_fields(notes, fieldmap.CONTAINER, _ingress(fields))
    if fieldmap.RUN + "/cloudsql-instances" in notes:
        _ingress(fields).setdefault("volumeMounts", []).append({"name": CLOUD_SQL, "mountPath": f"/{CLOUD_SQL}"})
    return fields


def unrequested(spec: Json) -> dict[str, Any]:
    """What jobs and worker pools say of their containers, which take no requests: nobody throttles them."""
    fields: dict[str, Any] = {
        "containers": [container_from(container) for container in spec.get("containers") or []],
        "volumes": [volume_from(volume) for volume in spec.get("volumes") or []],
        "serviceAccount": spec.get("serviceAccountName") or "",
    }
    for container in fields["containers"]:
        limits = container.pop("resources")["limits"]
        if limits:
            container["resources"] = {"limits": limits}
    if accelerator := (spec.get("nodeSelector") or {}).get(f"{fieldmap.RUN}/accelerator"):
        fields["nodeSelector"] = {"accelerator": accelerator}
    return fields


def _ingress(fields: dict[str, Any]) -> dict[str, Any]:
    containers = fields["containers"]
    found: dict[str, Any] = next((c for c in containers if c.get("ports")), containers[0] if containers else {})
    return found


def annotate(fields: dict[str, Any], notes: Mapping[str, str], table: Mapping[str, Any] = fieldmap.TEMPLATE) -> None:
    """Adds to the template's fields what v1 says of them in annotations: those of the table, and what jobs have too."""
    containers = fields["containers"]
    fieldmap.into_fields(notes, table, fields)
    if instances := notes.get(f"{fieldmap.RUN}/cloudsql-instances"):
        fields["volumes"].append({"name": CLOUD_SQL, "cloudSqlInstance": {"instances": instances.split(",")}})
    _depend(containers, notes)
    aliases = dict(
        entry.split(":", 1) for entry in (notes.get(f"{fieldmap.RUN}/secrets") or "").split(",") if ":" in entry
    )
    for container in containers:
        for variable in container["env"]:
            if reference := variable.get("valueSource", {}).get("secretKeyRef"):
                reference["secret"] = aliases.get(reference["secret"], reference["secret"])


def _depend(containers: list[dict[str, Any]], notes: Mapping[str, str]) -> None:
    """Raises INVALID_ARGUMENT where a container is not named; API v2 looks at those that are waited for."""
    note = f"{fieldmap.RUN}/container-dependencies"
    field, by_name = f"spec.template.metadata.annotations[{note}]", {each["name"]: each for each in containers}
    try:
        said = dict(json.loads(notes.get(note) or "{}"))
    except (TypeError, ValueError) as error:
        raise invalid(f'{field}: must be JSON, like {{"app":["proxy"]}}.', field) from error
    for name, needed in said.items():
        check_container_name(name, field)
        if name not in by_name:
            raise invalid(f"{field}: there is no container '{name}'.", field)
        by_name[name]["dependsOn"] = needed


def container_from(container: Json) -> dict[str, Any]:
    fields = {
        "name": container.get("name") or "",
        "image": container.get("image") or "",
        "command": container.get("command") or [],
        "args": container.get("args") or [],
        "env": [_variable(variable) for variable in container.get("env") or []],
        "ports": [
            {"name": port.get("name") or "", "containerPort": port.get("containerPort") or 0}
            for port in container.get("ports") or []
        ],
        "volumeMounts": [
            {key: mount[key] for key in ("name", "mountPath", "subPath") if mount.get(key)}
            for mount in container.get("volumeMounts") or []
        ],
        "workingDir": container.get("workingDir") or "",
        # Cloud Run throttles the CPU between requests unless told otherwise; v2 leaves that to its client.
        "resources": {"limits": (container.get("resources") or {}).get("limits") or {}, "cpuIdle": True},
    }
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        if probe := container.get(name):
            fields[name] = {key: value for key, value in probe.items() if key != "successThreshold"}
    return fields


def _variable(variable: Json) -> dict[str, Any]:
    source = (variable.get("valueFrom") or {}).get("secretKeyRef")
    if source is None:
        return {"name": variable["name"], "value": variable.get("value") or ""}
    reference = {"secret": source.get("name"), "version": source.get("key") or "latest"}
    return {"name": variable["name"], "valueSource": {"secretKeyRef": reference}}


def volume_from(volume: Json) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": volume["name"]}
    if secret := volume.get("secret"):
        items = [
            {"path": item["path"], "version": item.get("key") or "latest"} | _mode(item, "mode")
            for item in secret.get("items") or []
        ]
        fields["secret"] = {"secret": secret["secretName"], "items": items} | _mode(secret, "defaultMode")
    elif "emptyDir" in volume:
        medium = {"Memory": "MEMORY"}.get((volume["emptyDir"] or {}).get("medium", ""), "MEDIUM_UNSPECIFIED")
        fields["emptyDir"] = {"medium": medium, "sizeLimit": (volume["emptyDir"] or {}).get("sizeLimit") or ""}
    elif csi := volume.get("csi"):
        attributes = csi.get("volumeAttributes") or {}
        options = [option for option in (attributes.get("mountOptions") or "").split(",") if option]
        bucket = {"bucket": attributes.get("bucketName") or "", "readOnly": bool(csi.get("readOnly"))}
        fields["gcs"] = bucket | ({"mountOptions": options} if options else {})
    elif nfs := volume.get("nfs"):
        fields["nfs"] = nfs
    return fields


def _mode(source: Json, name: str) -> dict[str, Any]:
    return {name: source[name]} if source.get(name) is not None else {}


def _target(target: Json) -> dict[str, Any]:
    fields: dict[str, Any] = {"percent": target.get("percent") or 0, "tag": target.get("tag") or ""}
    if target.get("latestRevision") or not target.get("revisionName"):
        return fields | {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"}
    return fields | {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": short(target["revisionName"])}
