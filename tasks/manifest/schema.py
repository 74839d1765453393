"""The JSON Schema of slipway.yaml: `python -m tasks.manifest.schema > slipway.schema.json`."""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from tasks.manifest.manifest import MANIFEST_NAME, Manifest
from tasks.manifest.values import DURATION_SCHEMA, format_duration


class _EditorSchema(GenerateJsonSchema):
    """A JSON Schema as editors need it: no titles that repeat keys, no unknown keys, durations as they are written."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        made = super().dict_schema(schema)
        return made | {"additionalProperties": False} if "patternProperties" in made else made

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if made.get("pattern") == DURATION_SCHEMA["pattern"] and "default" in made:
            made["default"] = format_duration(made["default"])
        return made


def json_schema() -> dict[str, Any]:
    """The JSON Schema of slipway.yaml, for editors and for the reference of its keys."""
    schema = Manifest.model_json_schema(schema_generator=_EditorSchema)
    return {"$schema": _EditorSchema.schema_dialect, **schema, "title": MANIFEST_NAME}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
