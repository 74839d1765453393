"""The judge of REST answers: Google's own discovery documents, bundled in google-api-python-client.

The world is closed: a field, enum value, path or query parameter that the document does not know is a violation,
and so is a value in another form than Google's JSON (int64 as a string, RFC 3339 times, base64 bytes). What the
documents do not say, the judge does not know: required fields, meaning, error bodies.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema

# String formats: https://developers.google.com/discovery/v1/type-format
FORMATS: dict[str, dict[str, Any]] = {
    "int64": {"type": "string", "pattern": r"^-?\d{1,19}$"},
    "uint64": {"type": "string", "pattern": r"^\d{1,20}$"},
    "google-datetime": {"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6}|\.\d{9})?Z$"},
    "date-time": {"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$"},
    "date": {"pattern": r"^\d{4}-\d\d-\d\d$"},
    "google-duration": {"pattern": r"^-?\d+(\.\d{3}|\.\d{6}|\.\d{9})?s$"},
    "google-fieldmask": {"pattern": r"^([a-zA-Z0-9.]+(,[a-zA-Z0-9.]+)*)?$"},
    "byte": {"pattern": r"^([A-Za-z0-9+/_-]{4})*([A-Za-z0-9+/_-]{2}(==)?|[A-Za-z0-9+/_-]{3}=?)?$"},
    "int32": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "uint32": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
}
# Types that any answer may carry packed, and that no document describes.
COMMON_TYPES = re.compile(r"type\.googleapis\.com/(google\.rpc\.|google\.protobuf\.)")


class NotConforming(AssertionError):
    """An answer that the real API could not have given."""


def assert_conforms(
    api: str, verb: str, path: str, body: object, query: Iterable[str] | Mapping[str, str] = ()
) -> None:
    """Raises NotConforming with every violation in the JSON answer `body` to `verb path?query`.

    api: name and version, e.g. run.v2. path: as sent, e.g. /v2/projects/p/locations/r/services (encoded, no query).
    query: the parameters that were sent, or only their names.
    """
    found = list(violations(api, verb, path, body, query))
    if found:
        raise NotConforming("\n  ".join([f"{verb} {path} against {api}:", *found]))


def violations(
    api: str, verb: str, path: str, body: object, query: Iterable[str] | Mapping[str, str] = ()
) -> Iterator[str]:
    document = load(api)
    method = document.find(verb, path)
    if method is None:
        yield "the API has no such method"
        return
    values = query if isinstance(query, Mapping) else dict.fromkeys(query)
    for name, value in values.items():
        yield from document.parameter_violations(method, name, value)
    if body is None and "response" not in method:
        return
    schema = method.get("response", {}).get("$ref")
    if schema is None:
        yield "the method answers nothing, but there is a body"
        return
    yield from document.body_violations(schema, body)


class Checked(httpx.Client):
    """An HTTP client that holds every JSON answer (2xx) against the API's document.

    The API is told from host and path (https://us-central1-run.googleapis.com/v2/… is run.v2); requests to other hosts
    than Google's need `api`. `checked` counts the answers, so that a test can tell that something was judged.
    """

    def __init__(self, api: str = "", **arguments: Any) -> None:
        super().__init__(**arguments)
        self._api = api
        self.checked = 0

    def send(self, request: httpx.Request, **arguments: Any) -> httpx.Response:
        response = super().send(request, **arguments)
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        if response.is_success and is_json and request.method != "HEAD" and not arguments.get("stream"):
            path = request.url.raw_path.decode().partition("?")[0]
            api = self._api or api_of(request.url.host, path)
            assert_conforms(api, request.method, path, response.json(), dict(request.url.params))
            self.checked += 1
        return response


def api_of(host: str, path: str) -> str:
    """us-central1-run.googleapis.com, /v2/projects/… -> run.v2"""
    name = host.removesuffix(".googleapis.com").rsplit("-", 1)[-1]
    version = re.search(r"/(v\d+(?:(?:alpha|beta)\d*)?)(?:/|$)", path)
    if not host.endswith(".googleapis.com") or version is None:
        raise NotConforming(f"no API is known for https://{host}{path}")
    return f"{name}.{version[1]}"


@functools.cache
def load(api: str) -> Document:
    spec = importlib.util.find_spec("googleapiclient")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0]) / "discovery_cache" / "documents"
    return Document(json.loads((folder / f"{api}.json").read_text()))


@dataclass(frozen=True)
class _Path:
    verb: str
    pattern: re.Pattern[str]
    literal: int  # characters outside variables: among several matches the most literal path is meant
    method: dict[str, Any]


class Document:
    """One discovery document, its schemas as closed JSON Schema."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._parameters: dict[str, Any] = document.get("parameters", {})
        self._definitions = {name: _closed(schema) for name, schema in document["schemas"].items()}
        self._validators: dict[str, jsonschema.Draft202012Validator] = {}
        self._paths = list(_paths(document, document))

    def find(self, verb: str, path: str) -> dict[str, Any] | None:
        """The method that `verb path` calls; None if there is none."""
        matching = [p for p in self._paths if p.verb == verb and p.pattern.fullmatch(path)]
        return max(matching, key=lambda p: p.literal).method if matching else None

    def parameter_violations(self, method: dict[str, Any], name: str, value: str | None) -> Iterator[str]:
        plain = name.removeprefix("$")  # system parameters are known with and without it
        schema = method.get("parameters", {}).get(name) or self._parameters.get(name) or self._parameters.get(plain)
        if schema is None:
            yield f"query parameter {name} is unknown"
        elif value is not None and value not in schema.get("enum", [value]) and plain != "alt":
            yield f"query parameter {name}: {value!r} is none of {schema['enum']}"

    def body_violations(self, schema: str, body: object) -> Iterator[str]:
        for error in sorted(self._validator(schema).iter_errors(body), key=lambda e: e.json_path):
            yield f"{error.json_path}: {error.message[:300]}"
        yield from self._packed_violations(body, "$")

    def _validator(self, schema: str) -> jsonschema.Draft202012Validator:
        if schema not in self._validators:
            self._validators[schema] = jsonschema.Draft202012Validator(
                {"$ref": f"#/$defs/{schema}", "$defs": self._definitions}
            )
        return self._validators[schema]

    def _packed_violations(self, value: object, place: str) -> Iterator[str]:
        """google.protobuf.Any values, wherever they are, against the schema that their @type names."""
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from self._packed_violations(item, f"{place}[{index}]")
        if not isinstance(value, dict):
            return
        for key, item in value.items():
            yield from self._packed_violations(item, f"{place}.{key}")
        type_url = str(value.get("@type", ""))
        if not type_url or COMMON_TYPES.match(type_url):
            return
        schema = self._schema_of(type_url)
        if schema is None:
            yield f"{place}: {type_url} is no type of this API"
            return
        content = {key: item for key, item in value.items() if key != "@type"}
        for error in self._validator(schema).iter_errors(content):
            yield f"{place}{error.json_path[1:]}: {error.message[:300]}"

    def _schema_of(self, type_url: str) -> str | None:
        """type.googleapis.com/google.cloud.run.v2.Service -> GoogleCloudRunV2Service, V2Service, or just Service.

        API Gateway's documents put the API's name before it: ApigatewayApi.
        """
        parts = [part[0].upper() + part[1:] for part in type_url.rpartition("/")[2].split(".")]
        names = ("".join(parts), "".join(parts[-2:]), f"{parts[-3]}{parts[-1]}", parts[-1])
        return next((name for name in names if name in self._definitions), None)


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Discovery's schema dialect as JSON Schema in which nothing undeclared may be."""
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{schema['$ref']}"}
    kind = schema.get("type")
    if kind == "any":
        return {}
    if kind == "array":
        return {"type": "array", "items": _closed(schema["items"])}
    if kind == "object":
        known = {name: _closed(value) for name, value in schema.get("properties", {}).items()}
        more = schema.get("additionalProperties")
        return {"type": "object", "properties": known, "additionalProperties": _closed(more) if more else False}
    closed = {"type": kind, **FORMATS.get(schema.get("format", ""), {})}
    if "enum" in schema:
        closed["enum"] = schema["enum"]
    return closed


def _paths(document: dict[str, Any], resource: dict[str, Any]) -> Iterator[_Path]:
    for method in resource.get("methods", {}).values():
        uploads = method.get("mediaUpload", {}).get("protocols", {}).values()
        templates = [f"/{document['servicePath']}{method['path']}", *(protocol["path"] for protocol in uploads)]
        for template in templates:
            yield _Path(method["httpMethod"], *_pattern(template, method.get("parameters", {})), method)
    for inner in resource.get("resources", {}).values():
        yield from _paths(document, inner)


def _pattern(template: str, parameters: dict[str, Any]) -> tuple[re.Pattern[str], int]:
    """A path template, whose variables match what their parameters' own patterns say."""
    out, literal = "", 0
    for text, name in re.findall(r"([^{]*)(?:\{(\+?\w+)\})?", template):
        literal += len(text)
        out += re.escape(text)
        if name:
            inner = parameters[name.lstrip("+")].get("pattern", r"^.+$" if name.startswith("+") else r"^[^/]+$")
            literal += len(re.sub(r"\[\^/\]\+|\.\*|\.\+|[\^$]", "", inner))
            out += f"(?:{inner.removeprefix('^').removesuffix('$')})"
    return re.compile(out), literal
