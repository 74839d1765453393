"""What a file leaves to whoever runs it: variables that it does not set itself. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]
# $NAME, ${NAME}, $(command), ${{ github.sha }}, {{ .Values.x }}
_OPEN = re.compile(r"\$[A-Za-z_({]|\{\{")
_KEYS = ("name", "mountPath", "path")


def is_open(value: object) -> bool:
    """Whether it is a text that only its run completes."""
    return isinstance(value, str) and bool(_OPEN.search(value))


def settled(body: Mapping[str, Any]) -> tuple[Json, list[str]]:
    """The body without what is open, and a sentence for each such thing."""
    told: list[str] = []
    found = _settled(body, "", told)
    template = found.get("template", {})
    template = template.get("template", template)  # a job's is one deeper
    volumes = {volume.get("name") for volume in template.get("volumes", ())}
    for container in template.get("containers", ()):
        mounts = container.get("volumeMounts", ())
        if kept := [mount for mount in mounts if mount.get("name") in volumes]:
            container["volumeMounts"] = kept
        else:
            container.pop("volumeMounts", None)
    return found, told


def _settled(value: Mapping[str, Any], path: str, told: list[str]) -> Json:
    found: Json = {}
    for key, inner in value.items():
        place = f"{path}.{key}" if path else key
        if is_open(inner):
            told.append(f"{_shown(place)}: {inner}, which only its run knows.")
        elif isinstance(inner, Mapping):
            found[key] = _settled(inner, place, told)
        elif isinstance(inner, list) and (words := [text for text in inner if is_open(text)]):
            told.append(f"{_shown(place)}: {', '.join(map(str, inner))}; only its run knows {', '.join(words)}.")
        elif isinstance(inner, list):
            found[key] = list(_entries(inner, place, told))
        else:
            found[key] = inner
    return {key: inner for key, inner in found.items() if inner not in ({}, []) or value[key] in ({}, [])}


def _entries(entries: list[Any], path: str, told: list[str]) -> Iterator[Any]:
    """Entries of which a part is open are open as a whole, but for containers; and so are lists of words."""
    for index, entry in enumerate(entries):
        label = next((entry[key] for key in _KEYS if entry.get(key)), index) if isinstance(entry, dict) else index
        place = f"{path}[{label}]"
        if path.endswith("containers") and isinstance(entry, dict):
            yield _settled(entry, place, told)
        elif texts := [text for text in _texts(entry) if is_open(text)]:
            told.append(f"{_shown(place)}: {texts[0]}, which only its run knows.")
        else:
            yield entry


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


def _shown(path: str) -> str:
    return re.sub(r"^(?:template\.)+(containers\[(0|[^\]]*)\]\.)?", "", path)
