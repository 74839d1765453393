"""The parameters of a flow, from the schema that Prefect makes its form from."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from typing import Any

from prefect.utilities.callables import parameter_schema

from docs.generators.tables import table

Schema = dict[str, Any]


def parameters(flow: str) -> str:
    """A table with a row for each parameter, and for each field of those that have some."""
    module = importlib.import_module(f"flows.{flow}")
    schema = parameter_schema(getattr(module, flow)).model_dump_for_openapi()
    return table(["parameter", "default", "meaning"], _rows("", schema, schema.get("definitions", {})))


def _rows(prefix: str, schema: Schema, definitions: dict[str, Schema]) -> Iterator[list[str]]:
    for name, found in schema.get("properties", {}).items():
        yield [f"`{prefix}{name}`", _default(name, found, schema), found.get("description", "")]
        for model in _models(found):
            yield from _rows(f"{prefix}{name}.", definitions[model], definitions)


def _default(name: str, found: Schema, schema: Schema) -> str:
    if name in schema.get("required", ()):
        return "**required**"
    return "" if found.get("default") is None else f"`{json.dumps(found['default'])}`"


def _models(found: Schema) -> Iterator[str]:
    for each in (found, *found.get("anyOf", ()), *found.get("allOf", ())):
        if "$ref" in each:
            yield each["$ref"].rpartition("/")[2]
