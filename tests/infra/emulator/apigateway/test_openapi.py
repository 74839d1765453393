"""What a gateway makes of an OpenAPI document, and which ones Google refuses."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from infra.emulator.apigateway.openapi import templates
from infra.emulator.apigateway.openapi.documents import read
from infra.emulator.apigateway.openapi.refusal import Refused
from infra.emulator.apigateway.openapi.surface import Operation, Surface
from tests.infra.emulator.emulated_gateway import KEY_SCHEME, operation, swagger

BACKEND = "x-google-backend"
MANAGEMENT = {"backends": {"shop": {"address": "https://shop.run.app", "jwtAudience": "https://shop.run.app"}}}
PARAMETER = {"name": "id", "in": "path", "required": True, "type": "string"}


def surface(*said: dict[str, Any]) -> Surface:
    return read([(f"{number}.yaml", yaml.safe_dump(each).encode()) for number, each in enumerate(said)])


def of(**fields: Any) -> dict[str, Any]:
    """A document with one operation, which has these fields."""
    return swagger({"/a": {"get": operation("a", **fields)}})


def openapi3(**more: Any) -> dict[str, Any]:
    said = {"openapi": "3.0.4", "info": {"title": "Hello", "version": "1"}, "x-google-api-management": MANAGEMENT}
    return said | {"paths": {"/a": {"get": operation("a")}}} | more


@pytest.mark.parametrize(
    ("said", "location", "message"),
    [
        pytest.param({"swagger": "2.0"}, "unknown location", "'info' is a required property", id="no info"),
        pytest.param(swagger({"a": {}}), "unknown location", "does not match any of the regexes", id="no slash"),
        pytest.param(of(respones={}), "unknown location", "'respones'", id="unknown field"),
        pytest.param(
            swagger({"/a": {"get": {"responses": {"200": {"description": "x"}}}}}),
            "0.yaml: Operation 'get' in path '/a'",
            "Operation does not have the required 'operationId' field.",
            id="no operationId",
        ),
        pytest.param(
            swagger({"/a": {"get": operation("a")}, "/b": {"get": operation("a")}}),
            "0.yaml: Operation 'get' in path '/b'",
            "operationId 'a' has duplicate entry",
            id="one operationId twice",
        ),
        pytest.param(
            swagger({"/a": {"get": operation("list-it")}, "/b": {"get": operation("listit")}}),
            "0.yaml: Operation 'get' in path '/b'",
            "same underlying method name 'Listit'",
            id="operationIds that make one name",
        ),
        pytest.param(
            swagger({"/a/": {"get": operation("a")}}),
            "unknown location",
            "http: In path template '/a/': unexpected end of input '/'.",
            id="slash at the end",
        ),
        pytest.param(
            swagger({"/a_{id}": {"get": operation("a", parameters=[PARAMETER])}}),
            "unknown location",
            "unrecognized input at '{'.",
            id="part of a segment",
        ),
        pytest.param(
            swagger({"/a/{id}": {"get": operation("a")}, "/a/{other}": {"get": operation("b")}}),
            "unknown location",
            "conflicts with",
            id="two paths of one shape",
        ),
        pytest.param(
            swagger({"/a": {"get": operation("a"), BACKEND: {"address": "https://x"}}}),
            "0.yaml: Path '/a'",
            "was specified at a path level, which is not supported.",
            id="backend of a path",
        ),
        pytest.param(of(**{BACKEND: {}}), "Operation", "required field", id="backend without address"),
        pytest.param(of(**{BACKEND: {"address": "shop.run.app"}}), "Operation", "scheme", id="address without scheme"),
        pytest.param(
            of(**{BACKEND: {"address": "https://x", "jwt_audience": "y", "disable_auth": True}}),
            "Operation",
            "must not have both",
            id="audience of no token",
        ),
        pytest.param(
            of(**{BACKEND: {"address": "https://x", "path_translation": "APPEND"}}),
            "Operation",
            "APPEND_PATH_TO_ADDRESS|CONSTANT_ADDRESS",
            id="unknown path translation",
        ),
        pytest.param(
            of(**{BACKEND: {"adress": "https://x"}}), "Operation", "Cannot find field: adress", id="misspelt field"
        ),
        pytest.param(of() | {"x-google-allow": "some"}, "x-google-allow", "all|configured", id="allow some"),
        pytest.param(of() | {"host": "x.com:8080"}, "0.yaml", "must not have a port", id="host with port"),
        pytest.param({"openapi": "4.0.0"}, "unknown location", "Cannot find a valid OpenAPI", id="unknown version"),
        pytest.param(openapi3(info={}), "0.yaml", "info.title is missing", id="3: no title"),
        pytest.param(
            openapi3(**{"x-google-api-management": {}}), "0.yaml", "is required, with at least one", id="3: no backends"
        ),
        pytest.param(openapi3(**{"x-google-allow": "all"}), "0.yaml", "is not supported in OpenAPI 3", id="3: allow"),
        pytest.param(openapi3(**{BACKEND: "other"}), BACKEND, "names 'other'", id="3: undefined backend"),
        pytest.param(
            openapi3(security=[{"k": []}]), "Operation", "has no definition in components", id="3: undefined scheme"
        ),
        pytest.param(
            openapi3(servers=[{"url": "/a", "x-google-endpoint": {}}, {"url": "/b", "x-google-endpoint": {}}]),
            "0.yaml",
            "Only one of",
            id="3: two servers",
        ),
    ],
)
def test_what_google_refuses_is_refused_in_its_words(said: dict[str, Any], location: str, message: str) -> None:
    with pytest.raises(Refused) as raised:
        surface(said)
    where, what = raised.value.errors[0]
    assert location in where
    assert message in what


def test_a_refusal_looks_as_google_prints_it() -> None:
    with pytest.raises(Refused) as raised:
        surface(swagger({"/a/": {"get": operation("a")}}))
    assert str(raised.value).splitlines() == [
        "Cannot convert to service config.",
        '\'location: "unknown location"',
        "kind: ERROR",
        "message: \"http: In path template \\'/a/\\': unexpected end of input \\'/\\'.\"",
        "'",
    ]


def test_all_errors_of_a_document_are_told_at_once() -> None:
    with pytest.raises(Refused) as raised:
        surface(swagger({"/a/": {"get": operation("a")}, "/b": {"get": operation("b", backend="b")}}))
    assert len(raised.value.errors) == 2


@pytest.mark.parametrize(
    ("path", "contents", "message"),
    [
        ("openapi.tpl", b"", "has invalid extension 'tpl'. Only files with {yaml, yml, json}"),
        ("openapi.yaml", b"a: b: c", "Unable to parse the content. mapping values are not allowed here"),
        ("openapi.yaml", b"\xff", "Unable to parse the content."),
        ("openapi.json", b"[]", "Unable to parse the content."),
    ],
)
def test_what_is_no_document_is_refused(path: str, contents: bytes, message: str) -> None:
    with pytest.raises(Refused) as raised:
        read([(path, contents)])
    assert message in raised.value.errors[0][1]


def test_status_codes_and_dates_are_read_as_they_are_written() -> None:
    text = "swagger: '2.0'\ninfo: {title: T, version: 2026-01-02}\npaths: {/a: {get: {operationId: a, responses: {200: "
    assert read([("a.yaml", f"{text}{{description: x}}}}}}}}}}".encode())]).operations[0].verb == "GET"


def test_the_documents_backend_gets_the_path_appended_and_an_operations_own_gets_it_not() -> None:
    paths = {"/a": {"get": operation("a")}, "/b": {"get": operation("b", backend="https://own/b")}}
    a, b = surface(swagger(paths, basePath="/v1", **{BACKEND: {"address": "https://all/", "deadline": 3}})).operations
    assert (a.path, b.path) == ("/v1/a", "/v1/b")
    assert a.backend is not None
    assert b.backend is not None
    assert a.backend.url("/v1/a", "x=1", {}) == "https://all/v1/a?x=1"
    assert b.backend.url("/v1/b", "x=1", {"id": "7"}) == "https://own/b?x=1&id=7"
    assert (a.backend.audience, b.backend.audience) == ("https://all", "https://own")
    assert (a.backend.deadline_s, b.backend.deadline_s) == (3.0, 15.0)


@pytest.mark.parametrize(
    ("security", "asked"),
    [
        ([{"k": []}], True),
        ([{"k": [], "google": []}], True),
        ([{"k": []}, {"google": []}], False),  # each alternative must ask for a key
        ([{"k": []}, {}], False),
        ([{"unknown": []}], False),
        ([], False),
    ],
)
def test_a_key_is_asked_for_if_every_alternative_does(security: list[dict[str, Any]], asked: bool) -> None:
    google = {
        "type": "oauth2", "authorizationUrl": "", "flow": "implicit", "x-google-issuer": "https://accounts.google.com",
        "x-google-audiences": "a, b",
    }  # fmt: skip
    schemes = KEY_SCHEME | {"google": google}
    (found,) = surface(of(security=security) | {"securityDefinitions": schemes}).operations
    assert bool(found.keys) == asked
    assert [each.audiences for each in found.providers] == [("a", "b")] * any("google" in each for each in security)


@pytest.mark.parametrize(
    ("name", "where", "heeded"), [("x-api-key", "header", True), ("Authorization", "header", False)]
)
def test_a_key_in_another_place_is_ignored(name: str, where: str, heeded: bool) -> None:
    schemes = {"k": {"type": "apiKey", "name": name, "in": where}}
    (found,) = surface(of(security=[{"k": []}]) | {"securityDefinitions": schemes}).operations
    assert bool(found.keys) == heeded


def test_openapi_3_names_its_backends_and_its_base_path() -> None:
    schemes = {"securitySchemes": {"k": {"type": "apiKey", "name": "x-api-key", "in": "header"}}}
    servers = [{"url": "https://example.com/v1", "x-google-endpoint": {}}]
    said = openapi3(components=schemes, servers=servers, security=[{"k": []}], **{BACKEND: "shop"})
    (found,) = surface(said).operations
    assert found.path == "/v1/a"
    assert found.backend is not None
    assert found.backend.audience == "https://shop.run.app"
    assert [place.name for place in found.keys] == ["x-api-key"]


def test_several_documents_are_one_api() -> None:
    first, second = swagger({"/a": {"get": operation("a")}}), swagger({"/b": {"get": operation("b")}})
    assert [each.name for each in surface(first, second).operations] == ["a", "b"]
    with pytest.raises(Refused, match=r"Different .* values cannot be set in multiple OpenAPI files"):
        surface(first | {"host": "a.com"}, second | {"host": "b.com"})


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/files/all", "all"), ("/files/7", "one"), ("/files/7/", "one"), ("/files/7/8", "rest"), ("/files", None),
        ("/jobs/7:cancel", "cancel"), ("/jobs/7", "job"), ("/shelves/1/books", "books"), ("/boxes/1/books", None),
        ("/Files/all", None),
    ],
)  # fmt: skip
def test_what_is_written_out_goes_before_what_may_be_anything(path: str, name: str | None) -> None:
    templates_ = {
        "/files/**": "rest", "/files/{id}": "one", "/files/all": "all", "/jobs/{id}": "job",
        "/jobs/{id}:cancel": "cancel", "/{name=shelves/*}/books": "books",
    }  # fmt: skip
    made = Surface("", [Operation(named, "GET", template, None) for template, named in templates_.items()])
    found = made.match("GET", path)
    assert (found and found[0].name) == name
    assert made.match("POST", path) is None
    assert bool(made.template(path)) == (name is not None)


SEGMENT = st.one_of(
    st.from_regex(r"[a-zA-Z0-9_.-]{1,8}", fullmatch=True),
    st.just("*"),
    st.from_regex(r"\{[a-z]{1,5}\}", fullmatch=True),
)


@given(st.lists(SEGMENT, min_size=1, max_size=5))
def test_a_path_of_whole_segments_is_good_and_takes_what_fits_it(segments: list[str]) -> None:
    template = "/" + "/".join(segments)
    templates.check(template)
    concrete = "/" + "/".join("7" if segment[0] in "*{" else segment for segment in segments)
    assert Surface("", [Operation("a", "GET", template, None)]).match("GET", concrete)
    for broken in (f"{template}/", template[1:], f"{template}//x", f"{template}}}"):
        with pytest.raises(templates.Unparsable):
            templates.check(broken)
