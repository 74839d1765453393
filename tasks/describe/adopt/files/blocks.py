"""Terraform's blocks as Google's API has them, also those that stand for one of each entry of a map. Pure.

https://developer.hashicorp.com/terraform/language/expressions/dynamic-blocks, .../meta-arguments/for_each
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = dict[str, Any]
_LISTS = {"containers", "env", "ports", "volumeMounts", "volumes", "items", "networkInterfaces", "tags", "args",
          "command", "dependsOn", "httpHeaders", "instances", "mountOptions", "customAudiences"}  # fmt: skip
_MAPS = {"labels", "annotations", "limits", "nodeSelector"}


def each_of(said: Json) -> Iterator[Json]:
    """The block for each entry of what it goes over; once as it is, where nobody has written that out."""
    entries = _entries(said.get("for_each"))
    yield from (_filled(said, "each", key, value) for key, value in entries)
    if not entries:
        yield said


def _entries(over: Any) -> Sequence[tuple[Any, Any]]:
    if isinstance(over, Mapping):
        return list(over.items())
    if isinstance(over, list):
        return list(enumerate(over))
    found = re.fullmatch(r"\$\{toset\(\[([\w\s,\"-]+)\]\)\}", str(over))  # the parser may leave out quotes
    names = [each.strip().strip('"') for each in found[1].split(",")] if found else []
    return [(each, each) for each in names]


def _in_camel(key: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda letter: letter[1].upper(), key)


def in_camel(value: Any, told: list[str], path: str = "") -> Any:
    """Blocks, which are lists, as the API has them: single ones where it has no list; names in its letters."""
    if not isinstance(value, Mapping):
        return value
    found: Json = {}
    for key, inner in value.items():
        name = _in_camel(key)
        if key == "dynamic":
            for each in inner:
                _dynamic(found, each, told)
        elif inner is None:
            continue
        elif name in _MAPS:
            found[name] = inner[0] if isinstance(inner, list) and inner else inner
        elif isinstance(inner, list) and any(isinstance(each, Mapping) for each in inner):
            blocks = [in_camel(each, told, name) for each in inner]
            found[name] = [*found.get(name, ()), *blocks] if name in _LISTS else blocks[0]
        else:
            found[name] = inner
    return found


def _dynamic(found: Json, said: Mapping[str, Any], told: list[str]) -> None:
    """Blocks over a map or a list that is written out there; of others only Terraform knows."""
    for block, each in said.items():
        over, content = each.get("for_each"), (each.get("content") or [{}])[0]
        name = str(each.get("iterator", block)).removeprefix("${").removesuffix("}")
        made = [in_camel(_filled(content, name, key, value), told) for key, value in _entries(over)]
        if not made:
            told.append(f"{block}: a dynamic block, which only Terraform knows.")
        elif (there := _in_camel(block)) in _LISTS:
            found.setdefault(there, []).extend(made)
        else:
            found[there] = made[0]


def _filled(content: Any, name: str, key: Any, value: Any) -> Any:
    """What a dynamic block holds, for one entry of what it goes over."""
    if isinstance(content, Mapping):
        return {inner: _filled(each, name, key, value) for inner, each in content.items()}
    if isinstance(content, list):
        return [_filled(each, name, key, value) for each in content]
    if not isinstance(content, str):
        return content
    expression = rf"\$\{{{re.escape(name)}\.(key|value)((?:\.\w+|\[\"[\w-]+\"\])*)\}}"

    def found(match: re.Match[str]) -> Any:
        entry = key if match[1] == "key" else value
        for part in re.findall(r"[\w-]+", match[2]):
            if not isinstance(entry, Mapping) or part not in entry:
                return match[0]
            entry = entry[part]
        return entry

    whole = re.fullmatch(expression, content)
    return found(whole) if whole else re.sub(expression, lambda match: text_of(found(match)), content)


def text_of(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
