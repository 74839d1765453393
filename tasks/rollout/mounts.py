"""The volumes that a container sees, heard: secrets as files, databases, memory, buckets and shares. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tasks.manifest.values import SecretKey
from tasks.rollout.said import SEEN_AT, Body, Where
from tasks.rollout.words import memory

READ_BY_EVERYBODY = 0o444


@dataclass(slots=True)
class Rest:
    """What of the body nobody has understood yet."""

    where: Where
    left: dict[str, object] = field(default_factory=dict)
    floating: dict[str, None] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)  # volumes that a container sees

    def over(self, path: str, rest: object) -> None:
        """Notes what is left of a part of the body."""
        if rest not in (None, {}, [], "", False, 0):
            self.left[path] = rest


def mounted(mount: Body, volumes: dict[str, Any], path: str, rest: Rest) -> Body:
    name, at = str(mount.pop("name", "")), str(mount.pop("mountPath", ""))
    volume = volumes.get(name, {})
    kind = next((each for each in _KINDS if each in volume), None)
    where = f"{path}.volumeMounts[{at or name}]"
    try:
        if mount or kind is None:
            raise ValueError("there is no word for it")
        found = _KINDS[kind](name, at.rstrip("/"), volume[kind], rest)
    except ValueError:
        rest.left[where] = {**mount, "name": name}
        return {}
    finally:
        rest.seen.add(name)
    return found


def _secret_files(_: str, at: str, volume: Body, rest: Rest) -> Body:
    if volume.get("defaultMode") not in (None, 0, READ_BY_EVERYBODY):
        raise ValueError("files of secrets are read by everybody")
    short = _short(volume["secret"], rest)
    files = {}
    for item in volume.get("items") or ({"path": short.rpartition("/")[2]},):
        said, file = said_secret({"secret": volume["secret"], **item}, rest), posixpath.join(at, item["path"])
        if said is None or item.get("mode") not in (None, 0, READ_BY_EVERYBODY) or not fits(SecretKey, file):
            raise ValueError("it has no word in slipway.yaml")
        files[file] = said
    return {"secrets": files}


def _cloud_sql(_: str, at: str, volume: Body, rest: Rest) -> Body:
    if at not in ("", SEEN_AT):
        raise ValueError("it is seen at /cloudsql")
    return {"cloudsql_instances": list(volume.get("instances", ()))}


def _in_memory(name: str, at: str, volume: Body, rest: Rest) -> Body:
    if volume.get("medium", "MEMORY") not in ("MEMORY", "MEDIUM_UNSPECIFIED"):
        raise ValueError("volumes are in memory")
    size = volume.get("sizeLimit")
    return {"volumes": {name: {"mount": at, "memory": memory(size) if size else True}}}


def _bucket(name: str, at: str, volume: Body, rest: Rest) -> Body:
    found = {"mount": at, "bucket": volume["bucket"]}
    found |= {"read_only": True} if volume.get("readOnly") else {}
    return {"volumes": {name: found | ({"mount_options": options} if (options := volume.get("mountOptions")) else {})}}


def _nfs(name: str, at: str, volume: Body, rest: Rest) -> Body:
    found = {"mount": at, "nfs": {"server": volume["server"], "path": volume["path"].rstrip("/") or "/"}}
    return {"volumes": {name: found | ({"read_only": True} if volume.get("readOnly") else {})}}


_KINDS: Mapping[str, Callable[[str, str, Body, Rest], Body]] = {
    "secret": _secret_files,
    "cloudSqlInstance": _cloud_sql,
    "emptyDir": _in_memory,
    "gcs": _bucket,
    "nfs": _nfs,
}


def said_secret(source: Mapping[str, Any], rest: Rest) -> str | None:
    """`name`, or `name:7`; None for a version that has a name of its own."""
    name, version = _short(source.get("secret", ""), rest), str(source.get("version", ""))
    if version in ("", "latest"):
        rest.floating[name] = None
        return name
    return f"{name}:{version}" if version.isdigit() else None


def _short(secret: object, rest: Rest) -> str:
    """Of the own project. By its number it may be another's, so that it stays in full then."""
    return str(secret).removeprefix(f"projects/{rest.where.project}/secrets/")


def fits(kind: Any, value: object) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True
