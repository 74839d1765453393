"""What slipway.yaml would have to say for a service to be as it is: the way back of `said`. Pure.

Whatever is understood is taken out of the body; what is left then has no word in slipway.yaml, and is told.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from tasks.manifest.container import CLOUD_SQL
from tasks.manifest.settings import ServiceSettings
from tasks.manifest.values import AnnotationKey, LabelKey, LabelValue, SidecarVariable, Variable
from tasks.rollout.mounts import Rest, fits, mounted, said_secret
from tasks.rollout.said import SEEN_AT, Body, Where
from tasks.rollout.service import SAYS
from tasks.rollout.words import CONTAINER, GPU, MAIN, PROBE, PROBES, SERVICE, SIDECAR, TEMPLATE, Word
from tasks.spec.bare import bare
from tasks.spec.merge import ingress_of, named_by_place
from tasks.spec.settings import SERVER_FIELDS, settings

# Written by Cloud Run, its clients and its consoles, and by releases of Slipway, about themselves.
_SYSTEM = ("run.googleapis.com/", "serving.knative.dev/", "autoscaling.knative.dev/", "client.knative.dev/", "goog-",
           "cloud.googleapis.com/", "gcb-", "slipway-")  # fmt: skip
_OURS = ("managed-by", "commit-sha")


@dataclass(frozen=True, slots=True)
class Heard:
    """A service in the words of slipway.yaml: what stands under its name there."""

    settings: Body
    image: str  # of the container that gets the requests
    left: Mapping[str, object] = field(default_factory=dict)  # what slipway.yaml cannot say, by its path in the API
    floating: tuple[str, ...] = ()  # secrets whose newest version it has, whichever that is when an instance starts


def heard(service: Mapping[str, Any], where: Where) -> Heard:
    """Of a Service of v2 as JSON, its template that of the revision that serves."""
    rest = Rest(where)
    body = {key: copy.deepcopy(value) for key, value in service.items() if key not in SERVER_FIELDS}
    body.pop("traffic", None)
    if body.get("launchStage") in ("GA", "BETA"):  # follows from the settings
        del body["launchStage"]
    template = copy.deepcopy(bare(body.pop("template", {})))
    containers = _containers(template)
    main: Body = next(each for each in containers if each is ingress_of(containers))
    others = (each for each in containers if each is not main)
    beside = dict(zip(named_by_place(containers), others, strict=True))
    volumes = {volume["name"]: volume for volume in template.pop("volumes", ())}
    found: Body = words_of(SERVICE, body, "", rest)
    found |= _scaling(body) | _authorization(body) | _labels(body, template, rest)
    found |= words_of(TEMPLATE, template, "template", rest) | vpc_of(template, rest)
    found |= gpu_of(template, main, beside)
    image = str(main.pop("image", ""))
    owner = found.get("gpu", {}).get("container", "")
    found |= _main(main, volumes, rest, gpu="gpu" in found and not owner)
    sidecars = {name: _sidecar(name, each, volumes, found, rest, gpu=name == owner) for name, each in beside.items()}
    for name, volume in volumes.items():
        if "cloudSqlInstance" in volume and name not in rest.seen:  # which an annotation of v1 stands for as well
            found.setdefault("cloudsql_instances", list(volume["cloudSqlInstance"].get("instances", ())))
        elif name not in rest.seen:
            rest.over(f"template.volumes[{name}]", volume)
    rest.left |= _spread({**body, "template": template})
    order = (key.alias or name for name, key in ServiceSettings.model_fields.items())
    found |= {"sidecars": sidecars} if sidecars else {}
    ordered = {key: found[key] for key in order if found.get(key) not in (None, {}, [])}
    return Heard(ordered, image, rest.left, tuple(rest.floating))


def _containers(template: Body) -> list[Body]:
    found = [dict(each) for each in template.pop("containers", ())] or [{}]
    if len(found) == 1 and str(found[0].get("name", "")).endswith("-1"):
        del found[0]["name"]  # Cloud Run's own, of one that nobody has named
    return found


def words_of(words: Iterable[Word], body: MutableMapping[str, Any], path: str, rest: Rest, keys: Any = None) -> Body:
    """Those that are not as they usually are, taken out of the body."""
    found: Body = {}
    for word in words:
        value = take(body, word.path)
        if value in (None, "", []):
            continue
        try:
            said = word.hear(value)
        except ValueError:
            rest.over(f"{path}.{word.path}".lstrip("."), value)
            continue
        if said != word.usual:
            found[(keys or _written)(word.key)] = said
    return found


def _written(key: str) -> str:
    """The key as one writes it."""
    known = ServiceSettings.model_fields.get(key)
    return (known and known.alias) or key


def take(body: MutableMapping[str, Any], path: str) -> Any:
    """What stands there, no longer in the body; nor maps that are empty without it."""
    first, _, more = path.partition(".")
    if not more:
        return body.pop(first, None)
    inner = body.get(first)
    if not isinstance(inner, MutableMapping):
        return None
    value = take(inner, more)
    if not inner:
        del body[first]
    return value


def _spread(body: Mapping[str, Any]) -> dict[str, object]:
    """Its settings by path, without what is as it is by default."""
    found = settings({**body, "template": {**body["template"], "containers": []}})
    gone = ("traffic", "template.maxInstanceRequestConcurrency")
    return {path: each.shown for path, each in found.items() if not path.startswith(gone)}


def _main(container: Body, volumes: dict[str, Any], rest: Rest, *, gpu: bool) -> Body:
    path = "template.containers[0]"
    resources = container.setdefault("resources", {})
    resources.setdefault("cpuIdle", not resources and not gpu)  # "true" by default only where no resources are given
    resources.setdefault("startupCpuBoost", False)
    _without_usual(resources, gpu=gpu)
    if ports := container.pop("ports", None):
        container["ports"] = dict(ports[0])
    found = words_of((*CONTAINER, *MAIN), container, path, rest)
    found |= variables_of(container, path, rest) | probes_of(container, path, rest)
    for seen in mounts_of(container, volumes, path, rest):
        found = joined(found, seen)
    over(container, path, rest)
    return found


def _without_usual(resources: Body, *, gpu: bool) -> None:
    """With a GPU it has CPU always, as it has to be."""
    if gpu and not resources["cpuIdle"]:
        del resources["cpuIdle"]


def mounts_of(container: Body, volumes: dict[str, Any], path: str, rest: Rest) -> Iterator[Body]:
    """What the container sees, in words; of a volume that it sees at two places, the first."""
    at: set[str] = set()
    for mount in container.pop("volumeMounts", ()):
        place, name = f"{path}.volumeMounts[{mount.get('mountPath', '')}]", mount.get("name", "")
        seen = mounted(mount, volumes, path, rest)
        if at & seen.get("volumes", {}).keys():
            rest.left[place] = {"name": name}
        else:
            at |= seen.get("volumes", {}).keys()
            yield seen


def _sidecar(name: str, container: Body, volumes: dict[str, Any], service: Body, rest: Rest, *, gpu: bool) -> Body:
    """Adds to the service the volumes that only sidecars see."""
    path = f"template.containers[{name}]"
    resources = container.setdefault("resources", {})
    resources.setdefault("cpuIdle", not resources)
    _without_usual(resources, gpu=gpu)
    for key in ("name", "ports"):
        container.pop(key, None)
    found = words_of((*SIDECAR, *CONTAINER), container, path, rest, str)
    found |= variables_of(container, path, rest, SidecarVariable) | probes_of(container, path, rest)
    found = {key: value for key, value in found.items() if value != {}}
    for seen in mounts_of(container, volumes, path, rest):
        for volume, said in seen.pop("volumes", {}).items():
            at = said.pop("mount")
            service.setdefault("volumes", {}).setdefault(volume, said)
            found.setdefault("volumes", {})[volume] = at
        if instances := seen.pop("cloudsql_instances", None):
            service.setdefault("cloudsql_instances", instances)
            found.setdefault("volumes", {})[CLOUD_SQL] = SEEN_AT
        found = joined(found, seen)
    over(container, path, rest)
    return found


def over(container: Body, path: str, rest: Rest) -> None:
    for key, value in container.items():
        rest.over(f"{path}.{key}", value)


def joined(one: Body, other: Body) -> Body:
    return one | {key: one.get(key, {}) | value if isinstance(value, dict) else value for key, value in other.items()}


def variables_of(container: Body, path: str, rest: Rest, kind: object = Variable) -> Body:
    env, secrets = {}, {}
    for entry in container.pop("env", ()):
        name, source = entry.get("name", ""), entry.get("valueSource", {}).get("secretKeyRef")
        said = said_secret(source, rest) if source else None
        if not fits(kind, name) or (source and said is None):
            rest.left[f"{path}.env[{name}]"] = entry.get("value", source)
        elif source:
            secrets[name] = said
        else:
            env[name] = str(entry.get("value", ""))
    return {"env": env, "secrets": secrets}


def probes_of(container: Body, path: str, rest: Rest) -> Body:
    return {
        key: _probe(container.pop(field), f"{path}.{field}", rest)
        for key, field in PROBES.items()
        if container.get(field)
    }


def _probe(probe: Body, path: str, rest: Rest) -> Body:
    found: Body = {}
    if (http := probe.pop("httpGet", None)) is not None:
        found["http"] = http.pop("path", "") or "/"
        headers = {each["name"]: each.get("value", "") for each in http.pop("httpHeaders", ())}
        found |= {"headers": headers} if headers else {}
        action = http
    elif (grpc := probe.pop("grpc", None)) is not None:
        found["grpc"] = grpc.pop("service", "")
        action = grpc
    else:
        found["tcp"], action = True, probe.pop("tcpSocket", {})
    if port := action.pop("port", None):
        found["port"] = int(port)
    found |= words_of(PROBE, probe, path, rest, str)
    for key, value in {**probe, **action}.items():
        rest.over(f"{path}.{key}", value)
    return found


def _scaling(body: Body) -> Body:
    scaling = body.pop("scaling", {})
    if scaling.get("scalingMode") == "MANUAL":
        return {"scaling": {"manual": int(scaling.get("manualInstanceCount", 0))}}
    names = {"min": "minInstanceCount", "max": "maxInstanceCount"}
    return {"scaling": {key: int(scaling[name]) for key, name in names.items() if scaling.get(name)}}


def _authorization(body: Body) -> Body:
    policy = body.get("binaryAuthorization", {})
    said = "default" if policy.pop("useDefault", None) else policy.pop("policy", None)
    return {"binary_authorization": said}


def _labels(body: Body, template: Body, rest: Rest) -> Body:
    """Labels that the service and its revisions have in common, and those of one of them."""
    ours = texts_of(body.pop("labels", {}), "labels", LabelKey, LabelValue, rest)
    theirs = texts_of(template.pop("labels", {}), "template.labels", LabelKey, LabelValue, rest)
    both = {key: value for key, value in ours.items() if theirs.get(key) == value}
    annotations = {key: text for key, text in template.pop("annotations", {}).items() if key != SAYS}
    return {
        "labels": both,
        "service_labels": {key: value for key, value in ours.items() if key not in both},
        "revision_labels": {key: value for key, value in theirs.items() if key not in both},
        "annotations": texts_of(annotations, "template.annotations", AnnotationKey, str, rest),
        "service_annotations": texts_of(body.pop("annotations", {}), "annotations", AnnotationKey, str, rest),
    }


def texts_of(found: Mapping[str, str], path: str, key_type: Any, value_type: Any, rest: Rest) -> dict[str, str]:
    said = {}
    for key, text in found.items():
        if key.startswith(_SYSTEM) or key in _OURS:
            continue
        if fits(key_type, key) and fits(value_type, text):
            said[key] = text
        else:
            rest.left[f"{path}[{key}]"] = text
    return said


def gpu_of(template: Body, main: Body, beside: Mapping[str, Body] | None = None) -> Body:
    """beside: sidecars by their names, one of which may have it."""
    kind, once = take(template, "nodeSelector.accelerator"), template.pop("gpuZonalRedundancyDisabled", None)
    if not kind:
        return {}
    having = (name for name, each in (beside or {}).items() if GPU in each.get("resources", {}).get("limits", {}))
    owner = next(having, "")
    holder = beside[owner] if beside and owner else main
    holder.get("resources", {}).get("limits", {}).pop(GPU, None)  # there is one, always
    named = {"container": owner} if owner else {}
    return {"gpu": {"type": kind} | named | ({"zonal_redundancy": False} if once else {})}


def vpc_of(template: Body, rest: Rest) -> Body:
    vpc = template.pop("vpcAccess", {})
    egress = {"ALL_TRAFFIC": "all-traffic"}.get(vpc.get("egress", ""))
    said: Body = {}
    if connector := vpc.get("connector"):
        said["connector"] = _short(
            connector, f"projects/{rest.where.project}/locations/{rest.where.region}/connectors/"
        )
    for interface in vpc.get("networkInterfaces", ())[:1]:
        network, subnet = interface.get("network"), interface.get("subnetwork")
        home = f"projects/{rest.where.project}"
        said |= {"network": _short(network, f"{home}/global/networks/")} if network else {}
        said |= {"subnet": _short(subnet, f"{home}/regions/{rest.where.region}/subnetworks/")} if subnet else {}
        said |= {"tags": tags} if (tags := interface.get("tags")) and said else {}
    if not said:
        rest.over("template.vpcAccess", vpc)
        return {}
    return {"vpc": said | ({"egress": egress} if egress else {})}


def _short(name: str, home: str) -> str:
    return name.removeprefix(home)
