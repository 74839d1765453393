"""What API v1 keeps in annotations and API v2 in fields: one table, read in both directions.

https://cloud.google.com/run/docs/reference/rest/v1/ObjectMeta lists the annotations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from infra.emulator.run.validation import is_reserved

Fields = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class Codec:
    """Between an annotation's text and a field's JSON value; `encode` answers '' for a value that goes unsaid."""

    decode: Callable[[str], Any]
    encode: Callable[[Any], str]


def _words(pairs: Mapping[str, str], unsaid: str = "") -> Codec:
    """One word for another: what v1 writes -> v2's enum value."""
    back = {value: word for word, value in pairs.items() if value != unsaid}
    return Codec(lambda text: pairs.get(text.lower(), text), lambda value: back.get(value, ""))


TEXT = Codec(str, str)
NUMBER = Codec(int, str)
FLAG = Codec(lambda text: text.lower() == "true", lambda value: "true" if value else "")
DEFAULT_ON = Codec(FLAG.decode, lambda value: "" if value else "false")
LIST = Codec(json.loads, lambda value: json.dumps(value) if value else "")
HOURS = Codec(lambda text: f"{int(text) * 3600}s", lambda value: str(int(value.removesuffix("s")) // 3600))
INGRESS = _words(
    {
        "all": "INGRESS_TRAFFIC_ALL",
        "internal": "INGRESS_TRAFFIC_INTERNAL_ONLY",
        "internal-and-cloud-load-balancing": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
        "none": "INGRESS_TRAFFIC_NONE",
    }
)
STAGE = _words({"alpha": "ALPHA", "beta": "BETA", "ga": "GA"}, unsaid="GA")
LAUNCH_STAGE = Codec(STAGE.decode, lambda value: STAGE.encode(value).upper())
SCALING = _words({"automatic": "AUTOMATIC", "manual": "MANUAL"})
SANDBOX = _words({"gen1": "EXECUTION_ENVIRONMENT_GEN1", "gen2": "EXECUTION_ENVIRONMENT_GEN2"})
EGRESS = _words({"all-traffic": "ALL_TRAFFIC", "all": "ALL_TRAFFIC", "private-ranges-only": "PRIVATE_RANGES_ONLY"})
REVOCATION = _words({"prevent-new": "PREVENT_NEW", "shut-down": "SHUTDOWN"})

RUN = "run.googleapis.com"
# annotation -> (path of the v2 field, codec)
SERVICE: dict[str, tuple[str, Codec]] = {
    f"{RUN}/ingress": ("ingress", INGRESS),
    f"{RUN}/launch-stage": ("launchStage", LAUNCH_STAGE),
    f"{RUN}/description": ("description", TEXT),
    f"{RUN}/client-name": ("client", TEXT),
    f"{RUN}/client-version": ("clientVersion", TEXT),
    f"{RUN}/custom-audiences": ("customAudiences", LIST),
    f"{RUN}/invoker-iam-disabled": ("invokerIamDisabled", FLAG),
    f"{RUN}/default-url-disabled": ("defaultUriDisabled", FLAG),
    f"{RUN}/iap-enabled": ("iapEnabled", FLAG),
    f"{RUN}/minScale": ("scaling.minInstanceCount", NUMBER),
    f"{RUN}/maxScale": ("scaling.maxInstanceCount", NUMBER),
    f"{RUN}/scalingMode": ("scaling.scalingMode", SCALING),
    f"{RUN}/manualInstanceCount": ("scaling.manualInstanceCount", NUMBER),
    f"{RUN}/binary-authorization-breakglass": ("binaryAuthorization.breakglassJustification", TEXT),
    f"{RUN}/build-function-target": ("buildConfig.functionTarget", TEXT),
    f"{RUN}/build-image-uri": ("buildConfig.imageUri", TEXT),
    f"{RUN}/build-base-image": ("buildConfig.baseImage", TEXT),
    f"{RUN}/build-service-account": ("buildConfig.serviceAccount", TEXT),
    f"{RUN}/build-worker-pool": ("buildConfig.workerPool", TEXT),
    f"{RUN}/build-name": ("buildConfig.name", TEXT),
    f"{RUN}/build-source-location": ("buildConfig.sourceLocation", TEXT),
}
TEMPLATE: dict[str, tuple[str, Codec]] = {
    "autoscaling.knative.dev/minScale": ("scaling.minInstanceCount", NUMBER),
    "autoscaling.knative.dev/maxScale": ("scaling.maxInstanceCount", NUMBER),
    f"{RUN}/sessionAffinity": ("sessionAffinity", FLAG),
    f"{RUN}/health-check-disabled": ("healthCheckDisabled", FLAG),
    f"{RUN}/gpu-zonal-redundancy-disabled": ("gpuZonalRedundancyDisabled", FLAG),
    f"{RUN}/execution-environment": ("executionEnvironment", SANDBOX),
    f"{RUN}/vpc-access-connector": ("vpcAccess.connector", TEXT),
    f"{RUN}/vpc-access-egress": ("vpcAccess.egress", EGRESS),
    f"{RUN}/network-interfaces": ("vpcAccess.networkInterfaces", LIST),
    f"{RUN}/encryption-key": ("encryptionKey", TEXT),
    f"{RUN}/post-key-revocation-action-type": ("encryptionKeyRevocationAction", REVOCATION),
    f"{RUN}/encryption-key-shutdown-hours": ("encryptionKeyShutdownDuration", HOURS),
}
# Of a job as a whole, and of its executions' tasks.
JOB: dict[str, tuple[str, Codec]] = {
    key: SERVICE[key] for key in (f"{RUN}/launch-stage", f"{RUN}/client-name", f"{RUN}/client-version")
}
TASK: dict[str, tuple[str, Codec]] = {
    key: rule
    for key, rule in TEMPLATE.items()
    if rule[0].partition(".")[0] in ("gpuZonalRedundancyDisabled", "executionEnvironment", "vpcAccess", "encryptionKey")
}
# Of a worker pool as a whole, and of its revisions.
POOL: dict[str, tuple[str, Codec]] = JOB | {
    key: SERVICE[key] for key in (f"{RUN}/description", f"{RUN}/custom-audiences", f"{RUN}/manualInstanceCount")
}
POOL_TEMPLATE: dict[str, tuple[str, Codec]] = {
    key: rule
    for key, rule in TEMPLATE.items()
    if rule[0].partition(".")[0].startswith(("gpuZonalRedundancyDisabled", "vpcAccess", "encryptionKey"))
}
# Of the container that takes the requests.
CONTAINER: dict[str, tuple[str, Codec]] = {
    f"{RUN}/cpu-throttling": ("resources.cpuIdle", DEFAULT_ON),
    f"{RUN}/startup-cpu-boost": ("resources.startupCpuBoost", FLAG),
}


def into_fields(annotations: Mapping[str, str], table: Mapping[str, tuple[str, Codec]], fields: Fields) -> None:
    """Sets the v2 fields that the annotations stand for."""
    for key, (path, codec) in table.items():
        if key in annotations:
            *parents, last = path.split(".")
            holder = fields
            for parent in parents:
                holder = holder.setdefault(parent, {})
            holder[last] = codec.decode(annotations[key])


def from_fields(fields: Mapping[str, Any], table: Mapping[str, tuple[str, Codec]]) -> dict[str, str]:
    """The annotations that stand for the v2 fields which are set."""
    found = {}
    for key, (path, codec) in table.items():
        value: Any = fields
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if (value is not None or codec is DEFAULT_ON) and (text := codec.encode(value)):
            found[key] = text
    return found


def users_own(entries: Mapping[str, str]) -> dict[str, str]:
    """The labels or annotations that are not the system's."""
    return {key: value for key, value in entries.items() if not is_reserved(key)}
