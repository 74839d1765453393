"""Reads a service, job or worker pool in YAML: of v1 as `gcloud run … replace` takes it, or the body of v2. Pure.

https://cloud.google.com/run/docs/reference/rest/v1/ObjectMeta lists the annotations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from tasks.describe.adopt.files.containers import (
    RUN,
    aliases_of,
    container_of,
    dependencies_of,
    started_before,
    tell_unknown,
    volume_of,
)
from tasks.describe.adopt.files.flags import egress, generation
from tasks.describe.adopt.files.settled import is_open, settled
from tasks.describe.adopt.seen import Built, Kind, Seen
from tasks.manifest.container import CLOUD_SQL
from tasks.manifest.values import Name, Region
from tasks.names import resources
from tasks.rollout.mounts import fits
from tasks.rollout.said import SEEN_AT, given
from tasks.rollout.words import SERVICE

Json = dict[str, Any]
# Of v1: https://cloud.google.com/run/docs/reference/rest/v1/RevisionSpec, .../Container. What else is there is told.
_OF_SPEC = frozenset({
    "containers", "initContainers", "volumes", "containerConcurrency", "timeoutSeconds", "serviceAccountName",
    "nodeSelector", "maxRetries", "enableServiceLinks", "runtimeClassName", "restartPolicy",
})  # fmt: skip
_BLANK = re.compile(r"%([A-Z][A-Z0-9_]*)%|\{\{-?\s*([\w.$]+)[^{}]*\}\}")
INGRESS = next(word for word in SERVICE if word.key == "ingress").say


def _flag(text: str) -> bool:
    return text.lower() == "true"


def _number(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def _as_text(text: str) -> str:
    return text


def _policy(text: str) -> Json:
    return {"useDefault": True} if text == "default" else {"policy": text}


Field = tuple[str, Callable[[str], Any]]
OF_SERVICE: Mapping[str, Field] = {
    f"{RUN}/ingress": ("ingress", lambda text: text if is_open(text) else INGRESS(text)),
    f"{RUN}/description": ("description", _as_text),
    f"{RUN}/custom-audiences": ("customAudiences", json.loads),
    f"{RUN}/invoker-iam-disabled": ("invokerIamDisabled", _flag),
    f"{RUN}/default-url-disabled": ("defaultUriDisabled", _flag),
    f"{RUN}/iap-enabled": ("iapEnabled", _flag),
    f"{RUN}/minScale": ("scaling.minInstanceCount", _number),
    f"{RUN}/maxScale": ("scaling.maxInstanceCount", _number),
    f"{RUN}/scalingMode": ("scaling.scalingMode", str.upper),
    f"{RUN}/manualInstanceCount": ("scaling.manualInstanceCount", _number),
    f"{RUN}/binary-authorization": ("binaryAuthorization", _policy),
}  # fmt: skip
OF_TEMPLATE: Mapping[str, Field] = {
    "autoscaling.knative.dev/minScale": ("scaling.minInstanceCount", _number),
    "autoscaling.knative.dev/maxScale": ("scaling.maxInstanceCount", _number),
    f"{RUN}/sessionAffinity": ("sessionAffinity", _flag),
    f"{RUN}/gpu-zonal-redundancy-disabled": ("gpuZonalRedundancyDisabled", _flag),
    f"{RUN}/health-check-disabled": ("healthCheckDisabled", _flag),
    f"{RUN}/execution-environment": ("executionEnvironment", generation),
    f"{RUN}/vpc-access-connector": ("vpcAccess.connector", _as_text),
    f"{RUN}/vpc-access-egress": ("vpcAccess.egress", egress),
    f"{RUN}/network-interfaces": ("vpcAccess.networkInterfaces", json.loads),
    f"{RUN}/encryption-key": ("encryptionKey", _as_text),
}
OF_POOL: Mapping[str, Field] = {
    f"{RUN}/description": ("description", _as_text),
    f"{RUN}/scalingMode": ("scaling.scalingMode", str.upper),
    f"{RUN}/manualInstanceCount": ("scaling.manualInstanceCount", _number),
}
V1_KINDS = {("serving.knative.dev", "Service"): Kind.SERVICE, (RUN, "Job"): Kind.JOB, (RUN, "WorkerPool"): Kind.POOL}
V2_KINDS = {"services": Kind.SERVICE, "jobs": Kind.JOB, "workerPools": Kind.POOL}
# About the deployment, or said in other words below.
_PASSED_OVER = (
    *(
        f"{RUN}/{name}"
        for name in (
            "launch-stage",
            "client-",
            "operation-id",
            "urls",
            "build-",
            "ingress-status",
            "cpu-throttling",
            "startup-cpu-boost",
        )
    ),
    *(f"{RUN}/{name}" for name in ("container-dependencies", "cloudsql-instances", "secrets")),
    "client.knative.dev/",
    "serving.knative.dev/",
)


def documents(text: str) -> list[Any] | None:
    """Of a file of YAML, in which somebody's own tool may fill in more; None for what is none."""
    for each in (text, _BLANK.sub(r"${\1\2}", text)):
        try:
            return list(yaml.safe_load_all(each))
        except (yaml.YAMLError, ValueError, RecursionError):
            continue
    return None


def services(text: str) -> list[Mapping[str, Any]]:
    """The services, jobs and worker pools in a file of YAML."""
    return [each for each in documents(text) or () if kind_of(each)]


def kind_of(document: object) -> Kind | None:
    """What it describes, in v1 or in v2; None for anything else."""
    if not isinstance(document, Mapping):
        return None
    if v1 := V1_KINDS.get((str(document.get("apiVersion", "")).partition("/")[0], str(document.get("kind", "")))):
        return v1
    template = document.get("template")
    if not isinstance(template, Mapping):
        return None
    if isinstance(template.get("template"), Mapping) and isinstance(template["template"].get("containers"), list):
        return Kind.JOB
    if not isinstance(template.get("containers"), list):
        return None
    named = next((kind for part, kind in V2_KINDS.items() if f"/{part}/" in str(document.get("name", ""))), None)
    return named or (Kind.POOL if "instanceSplits" in document else Kind.SERVICE)


def of_document(document: Mapping[str, Any]) -> Seen:
    """What a document of YAML describes; a service where it does not say what."""
    kind = kind_of(document) or Kind.SERVICE
    if "template" in document:
        return _of_v2(document, kind)
    metadata, spec = document.get("metadata") or {}, document.get("spec") or {}
    template = spec.get("template") or {}
    notes = _texts(metadata.get("annotations"))
    told: list[str] = []
    body: Json = {"template": (_of_execution if kind is Kind.JOB else of_template)(template, told)}
    own = _into(body, notes, {Kind.SERVICE: OF_SERVICE, Kind.JOB: {}, Kind.POOL: OF_POOL}[kind], told)
    labels = _texts(metadata.get("labels"))
    region = labels.pop("cloud.googleapis.com/location", "")
    body |= given(labels=labels, annotations=own)
    name = str(metadata.get("name", ""))
    if kind is not Kind.SERVICE:
        return seen_of(name, region, body, told, kind=kind)
    if spec.get("traffic") and [each.get("percent") for each in spec["traffic"]] != [100]:
        told.append("traffic: how it is split; a release moves it to the new revision.")
    return seen_of(name, region, body, told)


def _of_execution(said: Mapping[str, Any], told: list[str]) -> Json:
    """An execution's template of v1 as v2 has it: https://cloud.google.com/run/docs/reference/rest/v1/ExecutionSpec."""
    spec, metadata = said.get("spec") or {}, said.get("metadata") or {}
    inner = (spec.get("template") or {}).get("spec") or {}
    notes = {"annotations": metadata.get("annotations")}
    task = of_template({"metadata": notes, "spec": inner}, told)
    task |= given(maxRetries=inner.get("maxRetries"))
    return given(
        annotations=task.pop("annotations", {}),
        labels=_texts(metadata.get("labels")),
        taskCount=spec.get("taskCount"),
        parallelism=spec.get("parallelism"),
        template=task,
    )


def _of_v2(document: Mapping[str, Any], kind: Kind) -> Seen:
    try:
        parts = resources.parts(str(document.get("name", "")))
    except ValueError:
        parts = {}
    given_ids = (parts.get(part) for part in V2_KINDS)
    name = next(filter(None, given_ids), "") or str(document.get("name") or document.get("serviceId") or "")
    return seen_of(name, parts.get("locations", ""), dict(document), [], parts.get("projects", ""), kind)


def seen_of(name: str, region: str, body: Json, told: list[str], project: str = "", kind: Kind = Kind.SERVICE) -> Seen:
    said, opened = settled(body)
    opened = [each for each in opened if not each.startswith("image:")]
    built = None if image_of(said) else Built(image_of(body))
    if not fits(Name, name):
        told.append(f"name: what it is called in Cloud Run; it is {name or 'not said'}.")
    name = name if fits(Name, name) else ""
    region = region if fits(Region, region) else ""
    return Seen(name, region, said, project, None, built, decide=(*told, *opened), kind=kind)


def image_of(body: Mapping[str, Any]) -> str:
    """Of the container that serves."""
    template = body.get("template", {})
    containers = template.get("template", template).get("containers", [])
    main = next((each for each in containers if each.get("ports")), containers[0] if containers else {})
    return str(main.get("image", ""))


def of_template(template: Mapping[str, Any], told: list[str]) -> Json:
    """A template of v1 as v2 has it."""
    notes = _texts((template.get("metadata") or {}).get("annotations"))
    spec = template.get("spec") or {}
    tell_unknown(spec, _OF_SPEC, told)
    aliases = aliases_of(notes, told)
    containers = [container_of(each, told, aliases) for each in spec.get("containers") or ()]
    main = next((each for each in containers if each.get("ports")), containers[0] if containers else {})
    containers += started_before(spec.get("initContainers") or (), main, told, aliases)
    throttled = notes.get(f"{RUN}/cpu-throttling", "true").lower() != "false"
    for container in containers:
        container.setdefault("resources", {})["cpuIdle"] = throttled
    if _flag(notes.get(f"{RUN}/startup-cpu-boost", "")):
        main["resources"]["startupCpuBoost"] = True
    for name, needed in dependencies_of(notes.get(f"{RUN}/container-dependencies", "{}"), told).items():
        for container in containers:
            if container.get("name") == name:
                container["dependsOn"] = needed
    volumes = [volume_of(each, aliases) for each in spec.get("volumes") or ()]
    if instances := notes.get(f"{RUN}/cloudsql-instances"):
        volumes.append({"name": CLOUD_SQL, "cloudSqlInstance": {"instances": instances.split(",")}})
        main.setdefault("volumeMounts", []).append({"name": CLOUD_SQL, "mountPath": SEEN_AT})
    timeout, kind = spec.get("timeoutSeconds"), (spec.get("nodeSelector") or {}).get(f"{RUN}/accelerator")
    body = given(
        containers=containers,
        volumes=volumes,
        maxInstanceRequestConcurrency=spec.get("containerConcurrency"),
        timeout=f"{timeout}s" if timeout else None,
        serviceAccount=spec.get("serviceAccountName"),
        nodeSelector=kind and {"accelerator": kind},
        labels=_texts((template.get("metadata") or {}).get("labels")),
    )
    own = _into(body, notes, OF_TEMPLATE, told)
    return body | given(annotations=own)


def _into(body: Json, notes: Mapping[str, str], table: Mapping[str, Field], told: list[str]) -> dict[str, str]:
    """Sets the fields that annotations stand for; answers the annotations that are the user's own."""
    own = {}
    for key, text in notes.items():
        if key in table:
            path, read = table[key]
            *way, last = path.split(".")
            place = body
            for step in way:
                place = place.setdefault(step, {})
            try:
                place[last] = read(text)
            except (KeyError, ValueError):
                told.append(f"{key}: {text}, which is none of its values.")
        elif key.startswith((RUN, "autoscaling.knative.dev/")) and not key.startswith(_PASSED_OVER):
            told.append(f"{key}: {text}, which was not understood.")
        elif not key.startswith(_PASSED_OVER):
            own[key] = text
    return own


def _texts(found: Mapping[str, Any] | None) -> dict[str, str]:
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in (found or {}).items()}
