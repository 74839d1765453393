"""Containers and volumes of v1 as v2 has them. Pure.

https://cloud.google.com/run/docs/reference/rest/v1/Container, .../v1/Volume
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from tasks.describe.adopt.files.settled import is_open
from tasks.rollout.said import given
from tasks.rollout.words import PROBES

Json = dict[str, Any]
RUN = "run.googleapis.com"
_SAME = ("name", "image", "command", "args", "ports", "volumeMounts", "workingDir", *PROBES.values())
_OTHER = ("resources", "env", "imagePullPolicy", "restartPolicy")


def tell_unknown(said: Iterable[str], known: Collection[str], told: list[str]) -> None:
    told += [f"{key}: Cloud Run has no such setting, or it was not understood." for key in said if key not in known]


def aliases_of(notes: Mapping[str, str], told: list[str]) -> dict[str, str]:
    """Secrets of other projects, by what the containers call them.

    https://cloud.google.com/run/docs/configuring/services/secrets#cross-project
    """
    entries = (entry.strip().partition(":") for entry in notes.get(f"{RUN}/secrets", "").split(","))
    found = {alias: name for alias, _, name in entries if name.startswith("projects/")}
    told += [f"secrets: whose {alias} is; it is {name}." for alias, name in found.items() if is_open(name)]
    return {alias: name for alias, name in found.items() if not is_open(name)}


def dependencies_of(text: str, told: list[str]) -> Mapping[str, Any]:
    """Containers with those that must have started before: in JSON, or what YAML makes of it."""
    try:
        found = text if is_open(text) else yaml.safe_load(text) or {}
    except yaml.YAMLError:
        found = text
    if isinstance(found, Mapping):
        return found
    told.append(f"{RUN}/container-dependencies: {text}, which was not understood.")
    return {}


def started_before(
    said: Sequence[Mapping[str, Any]], main: Json, told: list[str], aliases: Mapping[str, str]
) -> Iterator[Json]:
    """Containers that Kubernetes starts before the others and keeps running: sidecars that the main one waits for.

    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
    """
    for each in said:
        name = str(each.get("name", ""))
        if each.get("restartPolicy") != "Always":
            told.append(f"{name}: a container that ends before the others start; Cloud Run has none, a job can do it.")
            continue
        told.append(f"sidecars: whether {name} is as it is to be; it was of initContainers, which Cloud Run has not.")
        main.setdefault("dependsOn", []).append(name)
        yield container_of(each, told, aliases)


def container_of(said: Mapping[str, Any], told: list[str], aliases: Mapping[str, str]) -> Json:
    tell_unknown(said, (*_SAME, *_OTHER), told)
    found = {key: said[key] for key in _SAME if said.get(key)}
    if limits := (said.get("resources") or {}).get("limits"):
        found["resources"] = {"limits": {key: str(value) for key, value in limits.items()}}
    if env := [_variable(each, aliases) for each in said.get("env") or () if _has_value(each, told)]:
        found["env"] = env
    if mounts := found.get("volumeMounts"):
        found["volumeMounts"] = [{key: each[key] for key in each if key != "readOnly"} for each in mounts]
    for probe in (found[key] for key in PROBES.values() if key in found):
        probe.pop("successThreshold", None)
    return found


def _has_value(said: Mapping[str, Any], told: list[str]) -> bool:
    source = said.get("valueFrom")
    if not source or "secretKeyRef" in source:
        return True
    told.append(f"env[{said['name']}]: it is from a {', '.join(source)}, which Cloud Run has not.")
    return False


def _variable(said: Mapping[str, Any], aliases: Mapping[str, str]) -> Json:
    if reference := (said.get("valueFrom") or {}).get("secretKeyRef"):
        name = reference.get("name", "")
        source = {"secret": aliases.get(name, name), "version": str(reference.get("key", "latest"))}
        return {"name": said["name"], "valueSource": {"secretKeyRef": source}}
    value = said.get("value")
    text = str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
    return {"name": said["name"], "value": text}


def volume_of(said: Mapping[str, Any], aliases: Mapping[str, str]) -> Json:
    name = {"name": said.get("name", "")}
    if secret := said.get("secret"):
        of = secret.get("secretName")
        items = [
            given(path=each.get("path"), version=str(each.get("key", "latest")), mode=each.get("mode"))
            for each in secret.get("items") or ()
        ]
        return name | {"secret": given(secret=aliases.get(of, of), items=items, defaultMode=secret.get("defaultMode"))}
    if "emptyDir" in said:
        return name | {"emptyDir": given(medium="MEMORY", sizeLimit=(said["emptyDir"] or {}).get("sizeLimit"))}
    if csi := said.get("csi"):
        attributes = csi.get("volumeAttributes") or {}
        options = attributes.get("mountOptions", "")
        bucket = given(
            bucket=attributes.get("bucketName"),
            readOnly=csi.get("readOnly") or None,
            mountOptions=options.split(",") if options else None,
        )
        return name | {"gcs": bucket}
    return {**said}
