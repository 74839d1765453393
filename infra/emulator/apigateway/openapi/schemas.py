"""Whether a document is OpenAPI 2.0 at all, by the schema that Google's converter holds it against.

swagger.schema.json is that of https://github.com/OAI/OpenAPI-Specification (Apache-2.0), as
https://github.com/googleapis/api-compiler has it.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from infra.emulator.apigateway.openapi.refusal import refused

SCHEMA = Path(__file__).with_name("swagger.schema.json")
URI = "http://swagger.io/v2/schema.json#"
MOST = 10  # errors to tell of


@cache
def _validator() -> Any:
    from jsonschema import Draft4Validator  # 0.2 s, which an emulator without gateways need not spend

    return Draft4Validator(json.loads(SCHEMA.read_text()))


def check(document: dict[str, Any]) -> None:
    """Raises Refused."""
    errors = sorted(_leaves(_validator().iter_errors(document)), key=lambda error: list(map(str, error.absolute_path)))
    if errors:
        told = ",".join(_told(error) for error in errors[:MOST])
        raise refused(f"Invalid OpenAPI file. Please fix the schema errors:\n{told}")


def _leaves(errors: Any) -> list[Any]:
    """Of an alternative of which none fits: what is wrong with the one that fits best."""
    from jsonschema.exceptions import best_match

    return [best_match([error]) if error.context else error for error in errors]


def _told(error: Any) -> str:
    schema = json.dumps({"loadingURI": URI, "pointer": _pointer(list(error.absolute_schema_path)[:-1])})
    instance = json.dumps({"pointer": _pointer(error.absolute_path)})
    return (
        f'error: {error.message}\n    level: "error"\n    schema: {schema}\n    instance: {instance}\n'
        f'    domain: "validation"\n    keyword: "{error.validator}"\n'
    )


def _pointer(path: Any) -> str:
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
