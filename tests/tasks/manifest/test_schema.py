"""The JSON Schema of slipway.yaml: published as it is, and as strict as the manifest."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from tasks.manifest.document import read_yaml
from tasks.manifest.schema import json_schema
from tests.tasks.manifests import FULL, SMALL

SCHEMA_FILE = Path(__file__).parents[3] / "slipway.schema.json"


def test_the_published_schema_is_current() -> None:
    assert json.loads(SCHEMA_FILE.read_text()) == json_schema(), (
        "run `python -m tasks.manifest.schema > slipway.schema.json` and commit the result"
    )


def test_the_schema_accepts_what_the_manifest_accepts() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    for text in (FULL, SMALL.replace("web:", "web: {}")):
        document = read_yaml(text, "slipway.yaml")
        assert document is not None
        jsonschema.validate(document.data, json_schema())


@pytest.mark.parametrize(
    "text",
    ["{prot: 1}", "{timeout: 5 minutes}", "{env: {9LIVES: x}}", "{secrets: {A: 'a:latest'}}", "{health: {status: []}}"],
)
def test_the_schema_refuses_what_the_manifest_refuses(text: str) -> None:
    document = yaml.safe_load(SMALL.replace("web:", f"web: {text}"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, json_schema())


def test_every_key_is_described_and_durations_read_as_they_are_written() -> None:
    schema = json_schema()
    for model in (schema, *schema["$defs"].values()):
        assert all("description" in key or "$ref" in key for key in model["properties"].values())
    assert schema["$defs"]["ServiceSettings"]["properties"]["timeout"]["default"] == "5m"
    assert "<" not in "".join(key for model in schema["$defs"].values() for key in model["properties"])
