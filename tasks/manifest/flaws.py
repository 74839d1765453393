"""Everything that is wrong with a manifest's values at once, in the words of the file instead of pydantic's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from copy import deepcopy
from itertools import takewhile
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tasks.failures.hints import hint
from tasks.manifest.document import Flaw, Path

M = TypeVar("M", bound=BaseModel)
Schema = dict[str, Any]

_ROUNDS = 10  # a refused value deep inside takes its parents with it, one per round; no key lies deeper
_NO_MAPPING = {"model_type", "dict_type", "model_attributes_type"}
# Valid values in the place of required ones that are refused, so that what is around them can be checked.
_STAND_INS: dict[Path, object] = {
    ("app",): "app",
    ("services",): {"app": {}},
    ("environments",): {"app": {"project": "stand-in", "regions": ["europe-west1"]}},
}
_NOTHING = object()
_STAND_INS_BELOW = {"project": "stand-in", "regions": ["europe-west1"]}


def validated(model: type[M], data: object) -> tuple[M | None, list[Flaw]]:
    """The model and all that its types refuse in `data`; no model when nothing usable is left.

    pydantic reports them all, but then there is no model to check further rules on. So refused values are taken out or
    replaced until the rest passes; what is refused only after a repair is not reported.
    """
    if not isinstance(data, dict):
        return None, [Flaw((), "must be a mapping of keys to values")]
    data, flaws = deepcopy(data), list[Flaw]()
    for _ in range(_ROUNDS):
        try:
            return model.model_validate(data), flaws
        except ValidationError as error:
            details = _told(error.errors())
        flaws = flaws or [Flaw(_path(detail), _text(detail, model)) for detail in details]
        repairs = dict(_repair(_path(detail), detail["type"]) for detail in details)
        for path in sorted(repairs, key=len, reverse=True):
            _replace(data, path, repairs[path])
    return None, flaws


def _told(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without what only follows from another one: a default not made, a list that lacks its refused items."""
    places = [detail["loc"] for detail in details]
    return [
        detail
        for detail in details
        if detail["type"] != "default_factory_not_called"
        and not (
            detail["type"] == "too_short"
            and any(detail["loc"] == place[: len(detail["loc"])] != place for place in places)
        )
    ]


def _path(detail: ErrorDetails) -> Path:
    """The place in the file: without pydantic's own steps, `<tag>` of a union's branch and `[key]` of a mapping."""
    loc = detail["loc"]
    written = len(loc) - 1 if detail["type"] == "extra_forbidden" else None  # an unknown key may look like one of them
    return tuple(step for at, step in enumerate(loc) if at == written or not str(step).startswith(("<", "[key]")))


def _text(detail: ErrorDetails, model: type[BaseModel]) -> str:
    match detail["type"]:
        case "extra_forbidden":
            *parents, key = _path(detail)
            return f"unknown key{hint(str(key), _known_keys(model.model_json_schema(), parents))}"
        case "missing":
            return "is missing"
        case "string_type":
            return "must be text; put it in quotes"
        case kind if kind in _NO_MAPPING:
            return "must be a mapping of keys to values"
    text = detail["msg"].removeprefix("Value error, ")
    return re.sub(r"^\w+ should ", "must ", text).replace(" after validation, not 0", "")


def _known_keys(schema: Schema, path: Iterable[str | int]) -> list[str]:
    """The keys that a JSON Schema allows in the mapping at `path`."""
    nodes = list(_variants(schema, schema))
    for step in path:
        nodes = [variant for node in nodes for below in _below(node, step) for variant in _variants(below, schema)]
    return [key for node in nodes for key in node.get("properties", {})]


def _below(node: Schema, step: str | int) -> Iterator[Schema]:
    """The schemas of what may be at `step`: of the named key, of any key, or of any item."""
    if step in node.get("properties", {}):
        yield node["properties"][step]
    yield from node.get("patternProperties", {}).values()
    yield from (node[kind] for kind in ("items", "additionalProperties") if isinstance(node.get(kind), dict))


def _variants(node: Schema, schema: Schema) -> Iterator[Schema]:
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    yield node
    for variant in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from _variants(variant, schema)


def _repair(path: Path, kind: str) -> tuple[Path, object]:
    """What to put where, so that the file passes; `_NOTHING` takes out what is there.

    A list with a refused item goes as a whole: the places of the items left would no longer be those in the file.
    """
    path, inside_list = _up_to_list(path)
    if path in _STAND_INS:
        return path, _STAND_INS[path]
    if path[-1] in _STAND_INS_BELOW:
        return path, _STAND_INS_BELOW[str(path[-1])]
    if kind in _NO_MAPPING and not inside_list:
        return path, {}
    return (path[:-1] if kind == "missing" and not inside_list else path), _NOTHING


def _up_to_list(path: Path) -> tuple[Path, bool]:
    keys = tuple(takewhile(lambda step: isinstance(step, str), path))
    return keys, keys != path


def _replace(data: Any, path: Path, value: object) -> None:
    """Does nothing where an earlier repair has taken away what is around the place."""
    *parents, last = path
    try:
        for step in parents:
            if data[step] is None:  # a service or environment that was left empty
                data[step] = {}
            data = data[step]
        if value is _NOTHING:
            del data[last]
        else:
            data[last] = deepcopy(value)
    except (KeyError, IndexError, TypeError):
        return
