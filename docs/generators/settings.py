"""The keys of slipway.yaml, from the JSON Schema that the manifest's types make."""

from __future__ import annotations

import json
import re
from typing import Any

from docs.generators.tables import table
from tasks.manifest.schema import json_schema

Schema = dict[str, Any]

TOP = "Manifest"
SCHEMA: Schema = json_schema()
_SUFFIX = "Settings"  # of classes whose plain name means something else in the code
SECTIONS: dict[str, Schema] = {
    TOP: SCHEMA,
    **{name.removesuffix(_SUFFIX): found for name, found in SCHEMA["$defs"].items()},
}
_DURATION = "[smhd])$"
_DEFAULT = re.compile(r" ?Default: (?P<said>.*)\.$")


def settings(section: str) -> str:
    """A table of one section's keys. KeyError for a section that slipway.yaml does not have."""
    schema = SECTIONS[section]
    required = schema.get("required", ())
    rows = [_row(key, found, required=key in required) for key, found in schema["properties"].items()]
    return table(["key", "value", "default", "meaning"], rows)


def _row(key: str, found: Schema, *, required: bool) -> list[str]:
    said = found.get("description") or _referred(found).get("description", "")
    told = _DEFAULT.search(said)
    default = "**required**" if required else told["said"] if told else _written(found)
    return [f"`{key}`", _value(found), default, _DEFAULT.sub("", said)]


def _written(found: Schema) -> str:
    """The default as one would write it in the file; nothing where there is none."""
    default = found.get("default")
    if default in (None, "", [], {}):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _value(found: Schema) -> str:
    """What may stand there, in words."""
    if "$ref" in found:
        return f"[{_name(found)}](#{_name(found).lower()})"
    if variants := found.get("anyOf") or found.get("oneOf"):
        return " or ".join(dict.fromkeys(_value(each) for each in variants if each.get("type") != "null"))
    if "enum" in found:
        return ", ".join(f"`{each}`" for each in found["enum"])
    if str(found.get("pattern", "")).endswith(_DURATION):
        return "duration"
    return _plain(found)


def _plain(found: Schema) -> str:
    match found.get("type"):
        case "array":
            return f"list of {_value(found['items'])}"
        case "object":
            inside = [*found.get("patternProperties", {}).values(), found.get("additionalProperties")]
            return f"name: {_value(next(each for each in inside if each))}"
        case "boolean":
            return "true or false"
        case "integer" | "number":
            return _number(found)
        case _:
            return "time" if found.get("format") == "date-time" else "text"


def _number(found: Schema) -> str:
    least, most = found.get("minimum"), found.get("maximum")
    if least is None and most is None:
        return "number"
    return f"{least} to {most}" if most is not None else f"{least} or more"


def _referred(found: Schema) -> Schema:
    return SECTIONS.get(_name(found), {})


def _name(found: Schema) -> str:
    return str(found.get("$ref", "")).rpartition("/")[2].removesuffix(_SUFFIX)
