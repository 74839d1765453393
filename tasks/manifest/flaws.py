"""What pydantic refuses in a manifest, in the words of the file instead of pydantic's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tasks.failures.spelling import hint
from tasks.manifest.document import Flaw, Path

Schema = dict[str, Any]

_NO_MAPPING = {"model_type", "dict_type", "model_attributes_type"}


def refused(error: ValidationError, model: type[BaseModel]) -> list[Flaw]:
    """All that the types of `model` refuse; rules that concern several values are only asked once this is empty."""
    return [Flaw(_path(detail), _text(detail, model)) for detail in _told(error.errors())]


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
            schema = model.model_json_schema()
            if "worker_pools" in parents[:-1] and key in _known_keys(schema, ("services", "any")):
                return "is for services: nobody sends a worker pool requests"
            return f"unknown key{hint(str(key), _known_keys(schema, parents))}"
        case "missing":
            return "is missing"
        case "string_type":
            return "must be text; put it in quotes"
        case "tuple_type":
            return "must be a list, like [a, b]"
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
