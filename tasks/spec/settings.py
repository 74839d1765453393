"""A Cloud Run service's specification as a flat set of settings that can be compared. Pure.

Two bodies that mean the same to Cloud Run have equal settings, whoever wrote them: units, number or string, order of
keys and of environment variables, an entry for a share and one for its tag, defaults that were written out or left to
the server. What only the server writes is not a setting.

https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from tasks.history.masking import DIGEST
from tasks.names import resources
from tasks.spec.values import is_list, quantity, same, secret_name, text_of

LATEST = "LATEST"
DEFAULT_PORT = 8080

# Output only, or written by clients about themselves.
SERVER_FIELDS = frozenset({
    "client", "clientVersion", "conditions", "createTime", "creator", "deleteTime", "etag", "expireTime",
    "generation", "lastModifier", "latestCreatedRevision", "latestReadyRevision", "name", "observedGeneration",
    "reconciling", "satisfiesPzs", "terminalCondition", "threatDetectionEnabled", "trafficStatuses", "uid",
    "updateTime", "uri", "urls",
})  # fmt: skip
TEMPLATE_SERVER_FIELDS = frozenset({"revision", "client", "clientVersion"})
CONTAINER_SERVER_FIELDS = frozenset({"buildInfo"})
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
ACTIONS = ("httpGet", "tcpSocket", "grpc")

# What a setting that nobody wrote is; `_container` and `_template` write out those that depend on other settings.
DEFAULTS: Mapping[str, object] = {
    "ingress": "INGRESS_TRAFFIC_ALL",
    "scaling.scalingMode": "AUTOMATIC",
    "template.scaling.maxInstanceCount": 100,
    "template.timeout": "300s",
    "template.vpcAccess.egress": "PRIVATE_RANGES_ONLY",
    "template.volumes[].secret.defaultMode": 0o444,
    "template.volumes[].emptyDir.medium": "MEMORY",
    "template.containers[].ports[].name": "http1",
    "template.containers[].ports[].containerPort": DEFAULT_PORT,
    "template.containers[].resources.limits.memory": "512Mi",
    "template.containers[].resources.limits.cpu": "1",
    **{
        f"template.containers[].{probe}.{setting}": value
        for probe in PROBES
        for setting, value in (
            ("failureThreshold", 3),
            ("periodSeconds", 10),
            ("timeoutSeconds", 1),
            ("httpGet.path", "/"),
        )
    },
}

# What Cloud Run gives a container that has no startup probe; it comes with the container's port.
DEFAULT_STARTUP_PROBE = {"timeoutSeconds": "240", "periodSeconds": "240", "failureThreshold": "1"}

_LIST_KEYS = {"volumes": "name", "volumeMounts": "mountPath", "items": "path"}  # others are matched by position
_TEXT_MAPS = frozenset({"labels", "annotations"})  # keys and values are the user's: an empty one is not an absent one
_UNSET = frozenset({"", "0", "false"})

Found: TypeAlias = Iterator[tuple[str, "Setting"]]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: as it was written, and what decides whether two are the same."""

    shown: object
    same: object


def settings(service: Mapping[str, Any], project: str = "") -> dict[str, Setting]:
    """The service's settings by path: `template.containers[0].env[LOG_LEVEL]`.

    `[0]` is the container that gets the requests, sidecars go by their names. `project` is the id of the service's own
    project, in which short names of secrets are looked up.
    """
    body = {key: value for key, value in service.items() if key not in SERVER_FIELDS | {"traffic", "template"}}
    found = dict(_traffic(service.get("traffic") or ()))
    found |= _walk(body, "", project)
    found |= _walk(_template(service.get("template") or {}), "template", project)
    return found


def default(path: str) -> Setting | None:
    """What a setting that is not there stands for; None where that is nothing."""
    shape = _shape(path)
    return Setting(DEFAULTS[shape], same(DEFAULTS[shape], shape, "")) if shape in DEFAULTS else None


def meaning(template: Mapping[str, Any], project: str = "") -> dict[str, str]:
    """What a template stands for: equal for two of which Cloud Run makes the same, whoever wrote the defaults out."""
    return _meaning({"template": template}, project)


def alike(field: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two services say the same in this field, be defaults written out, and what is empty there, or not."""
    said, also = ({field: each[field]} if each.get(field) is not None else {} for each in (one, other))
    return said == also or _meaning(said) == _meaning(also)


def _meaning(service: Mapping[str, Any], project: str = "") -> dict[str, str]:
    found = settings(service, project)
    return {path: _text(each.same) for path, each in found.items() if each.same != getattr(default(path), "same", None)}


def _text(same: object) -> str:
    return f"{same.normalize():f}" if isinstance(same, Decimal) else repr(same)


def _walk(value: Any, path: str, project: str) -> Found:
    name = path.rpartition(".")[2]
    if isinstance(value, Mapping) and name in _TEXT_MAPS:
        yield from ((f"{path}[{key}]", Setting(text, text_of(text))) for key, text in value.items())
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _walk(inner, f"{path}.{key}" if path else key, project)
    elif is_list(value) and name == "env":
        yield from (_variable(entry, path, project) for entry in value)
    elif is_list(value) and any(isinstance(entry, Mapping) for entry in value):
        for index, entry in enumerate(value):
            yield from _walk(entry, f"{path}[{_label(entry, name, index)}]", project)
    else:
        meaning = same(value, _shape(path), project)
        if meaning not in _UNSET and meaning != ():
            yield path, Setting(value, meaning)


def _label(entry: Mapping[str, Any], name: str, index: int) -> object:
    if name == "containers":
        return index and entry.get("name", index)
    return str(entry.get(_LIST_KEYS.get(name, ""), index)).rstrip("/")


def _variable(entry: Mapping[str, Any], path: str, project: str) -> tuple[str, Setting]:
    where = f"{path}[{entry.get('name', '')}]"
    source = entry.get("valueSource")
    if DIGEST in entry:
        return where, Setting(f"sha256:{entry[DIGEST][:12]}", entry[DIGEST])
    if not source:
        return where, Setting(entry.get("value", ""), text_of(entry.get("value", "")))
    key = source.get("secretKeyRef") or {}
    text = f"{secret_name(text_of(key.get('secret')), project)}:{text_of(key.get('version')) or 'latest'}"
    return f"{where}.secret", Setting(text, text)


def _template(template: Mapping[str, Any]) -> dict[str, Any]:
    body = {key: value for key, value in template.items() if key not in TEMPLATE_SERVER_FIELDS}
    # The container with a port is the one that gets the requests; of a single one nothing has to be said.
    containers = sorted(template.get("containers") or (), key=lambda container: not container.get("ports"))
    body["containers"] = [_container(each, is_ingress=not index) for index, each in enumerate(containers)]
    if text_of(body.get("maxInstanceRequestConcurrency")) in _UNSET:
        body["maxInstanceRequestConcurrency"] = default_concurrency(containers)
    return body


def default_concurrency(containers: Iterable[Mapping[str, Any]]) -> int:
    """https://cloud.google.com/run/docs/about-concurrency"""
    cpus = [quantity(text_of(_limits(container).get("cpu") or 1)) for container in containers]
    return 80 if sum(cpu for cpu in cpus if isinstance(cpu, Decimal)) >= 1 else 1


def _limits(container: Mapping[str, Any]) -> Mapping[str, Any]:
    limits: Mapping[str, Any] = (container.get("resources") or {}).get("limits") or {}
    return limits


def _container(container: Mapping[str, Any], *, is_ingress: bool) -> dict[str, Any]:
    """With the defaults that depend on other settings written out; a sidecar has no port and no probe of its own."""
    body = {key: value for key, value in container.items() if key not in CONTAINER_SERVER_FIELDS}
    # "if ResourceRequirements is set, the caller must explicitly set this field to true": only without any it is on.
    body["resources"] = body.get("resources") or {"cpuIdle": True}
    port = port_of(body) if is_ingress else None
    for name in PROBES:
        if isinstance(body.get(name), Mapping):
            body[name] = _probe(body[name], port)
    if is_ingress and is_default_probe(body.get("startupProbe") or {}, port):
        del body["startupProbe"]
    return body


def _probe(probe: Mapping[str, Any], port: object) -> dict[str, Any]:
    actions = {name for name in ACTIONS if name in probe}
    return {**probe, **{name: {"port": port, **(probe[name] or {})} for name in actions}}


def port_of(container: Mapping[str, Any]) -> object:
    """Where the container listens."""
    return next((entry.get("containerPort") for entry in container.get("ports") or ()), None) or DEFAULT_PORT


def is_default_probe(probe: Mapping[str, Any], port: object) -> bool:
    """Whether it is the one that Cloud Run gives a container that says none."""
    flat = {path: found.same for path, found in _walk(probe, "", "")}
    return flat == {**DEFAULT_STARTUP_PROBE, "tcpSocket.port": text_of(port)}


def _traffic(targets: Sequence[Mapping[str, Any]]) -> Found:
    """`traffic[<revision>]` is its share in percent, `traffic[tag=<tag>]` the revision that a tag leads to."""
    shares: Counter[str] = Counter()
    for target in targets or ({"percent": 100},):
        revision = resources.last(str(target.get("revision") or LATEST))
        shares[revision] += int(target.get("percent") or 0)
        if target.get("tag"):
            yield f"traffic[tag={target['tag']}]", Setting(revision, revision)
    yield from ((f"traffic[{revision}]", Setting(share, share)) for revision, share in shares.items() if share)


def _shape(path: str) -> str:
    return re.sub(r"\[[^\]]*\]", "[]", path)
