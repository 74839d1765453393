"""The stand-in against the published schema of the provider that it stands in for."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra.emulator.terraform.mirror import VERSION
from infra.emulator.terraform.schema import Attribute, Block, Nested, optional, required
from infra.emulator.terraform.table import CONFIGURATION, PROVIDERS
from tests.infra.emulator.terraform.bindings import Shape, configuration, published

PUBLISHED: dict[str, Shape] = json.loads((Path(__file__).parents[3] / "data/terraform/published.json").read_text())
KINDS = sorted(PROVIDERS["google-beta"])


def differences(block: Block, shape: Shape, read_only: list[str], at: str = "") -> Iterator[str]:
    """What a configuration may say here and not there, or must say there and need not here."""
    for name, field in block.fields.items():
        there = shape.get(name)
        if there is None:
            if name not in read_only:
                yield f"{at}{name}: there is none"
            elif isinstance(field, Nested) or field.required or field.optional:
                yield f"{at}{name}: only read"
        elif isinstance(field, Nested):
            yield from _differences_of_blocks(field, there, f"{at}{name}")
        elif "block" in there:
            yield f"{at}{name}: a block"
        else:
            yield from _differences_of_attributes(field, there, f"{at}{name}")
    yield from (f"{at}{n}: required" for n, there in shape.items() if there["required"] and n not in block.fields)


def _differences_of_blocks(field: Nested, there: Shape, at: str) -> Iterator[str]:
    if "block" not in there:
        yield f"{at}: no block"
        return
    if field.required != there["required"]:
        yield f"{at}: required is {there['required']}"
    if field.single == there["many"]:
        yield f"{at}: many is {there['many']}"
    yield from differences(field.block, there["block"], [], f"{at}.")


def _differences_of_attributes(field: Attribute, there: Shape, at: str) -> Iterator[str]:
    if field.required != there["required"]:
        yield f"{at}: required is {there['required']}"
    if not field.required and not field.optional:
        yield f"{at}: is an argument"
    if {"set": "list"}.get(field.type, field.type) != there["type"]:
        yield f"{at}: a {there['type']}"


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_the_stand_in_takes_the_published_schema_takes(kind: str) -> None:
    shape, resource = PUBLISHED[kind], PROVIDERS["google-beta"][kind]
    assert shape["version"] == VERSION
    assert not list(differences(resource.block, shape["arguments"], shape["read_only"]))
    assert sorted(resource.block.timeouts) == shape["timeouts"]


def test_the_providers_own_configuration_is_a_part_of_the_published_one() -> None:
    assert not list(differences(CONFIGURATION, PUBLISHED["provider"], []))


def test_each_stand_in_has_what_its_provider_has() -> None:
    assert set(PROVIDERS["google"]) == {kind for kind in KINDS if PUBLISHED[kind]["stable"]}
    assert set(PROVIDERS["google-beta"]) - set(PROVIDERS["google"]) == {
        "google_api_gateway_api",
        "google_api_gateway_api_config",
        "google_api_gateway_gateway",
    }


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("display_name", required()),
        ("display_name", optional("bool")),
        ("dsiplay_name", optional()),
        ("restrictions", optional()),
        ("key_string", optional()),
        ("display_name", Nested(Block({}))),
    ],
    ids=["required", "type", "name", "attribute for block", "argument", "block for attribute"],
)
def test_a_table_that_differs_is_found_out(name: str, field: Attribute | Nested) -> None:
    key, shape = PROVIDERS["google-beta"]["google_apikeys_key"].block, PUBLISHED["google_apikeys_key"]
    wrong = replace(key, fields={**key.fields, name: field})
    assert list(differences(wrong, shape["arguments"], shape["read_only"]))


def test_the_table_of_published_facts_is_what_the_bindings_say() -> None:
    found = importlib.util.find_spec("cdktn_provider_google_beta")
    if found is None or found.origin is None:
        pytest.skip(
            "the published bindings are not installed (70 MB): pip install --no-deps cdktn-provider-google-beta==21.1.0"
        )
    package = Path(found.origin).parent
    assert configuration(package) == PUBLISHED["provider"]
    for kind in KINDS:
        assert {**(published(package, kind) or {}), "stable": PUBLISHED[kind]["stable"]} == PUBLISHED[kind]
