"""Reads the documents of a config; refuses in Google's words what Google refuses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from infra.emulator.apigateway.openapi.openapi3 import OpenApi3
from infra.emulator.apigateway.openapi.reader import Reader
from infra.emulator.apigateway.openapi.refusal import refused
from infra.emulator.apigateway.openapi.surface import Surface, merged
from infra.emulator.apigateway.openapi.swagger import Swagger

EXTENSIONS = ("yaml", "yml", "json")
MAX_FILES, MAX_BYTES = 50, 10 << 20  # https://cloud.google.com/api-gateway/docs/openapi-v3-limitations#file_size_limits
VERSION_3 = re.compile(r"3\.[01]\.\d+")  # https://cloud.google.com/api-gateway/docs/openapi-overview


class Loader(yaml.SafeLoader):
    """Dates stay as they are written, as in JSON."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(documents: Sequence[tuple[str, bytes]]) -> Surface:
    """`documents`: path and contents of each. Raises Refused."""
    if len(documents) > MAX_FILES or sum(len(contents) for _, contents in documents) > MAX_BYTES:
        raise refused(f"At most {MAX_FILES} OpenAPI files of {MAX_BYTES >> 20} MB together are allowed.")
    taken: dict[str, str] = {}
    readers = [_reader(path, _parsed(path, contents)) for path, contents in documents]
    hosts = {str(reader.document["host"]) for reader in readers if reader.document.get("host")}
    if len(hosts) > 1:
        told = ", ".join(sorted(hosts))
        raise refused(f"Different 'host' values cannot be set in multiple OpenAPI files. Found Hosts: {{{told}}}")
    return merged([reader.surface(taken) for reader in readers])


def _parsed(path: str, contents: bytes) -> dict[str, Any]:
    extension = path.rpartition(".")[2] if "." in path else ""
    if extension not in EXTENSIONS:
        raise refused(
            f"OpenAPI file '{path.rpartition('/')[2]}' has invalid extension '{extension}'. Only files with "
            f"{{{', '.join(EXTENSIONS)}}} file extensions are allowed."
        )
    try:
        document = yaml.load(contents.decode(), Loader)  # noqa: S506 - a safe one
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise refused(f"Unable to parse the content. {error}") from error
    if not isinstance(document, dict):
        raise refused("Unable to parse the content. It is no object.")
    return dict(_with_text_keys(document))


def _with_text_keys(value: Any) -> Any:
    """Keys are strings in JSON, status codes in YAML are numbers."""
    if isinstance(value, dict):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    return [_with_text_keys(item) for item in value] if isinstance(value, list) else value


def _reader(path: str, document: dict[str, Any]) -> Reader:
    if str(document.get("swagger")) == "2.0":
        return Swagger(path, document)
    if VERSION_3.fullmatch(str(document.get("openapi", ""))):
        return OpenApi3(path, document)
    raise refused("Cannot find a valid OpenAPI 2.0, 3.0 or 3.1 spec in the input files")
