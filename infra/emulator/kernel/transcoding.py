"""Protobuf messages from and to REST requests and answers: the rules of google.api.http and of Google's JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from infra.emulator.kernel.errors import invalid


def parse(body: bytes, message: Message) -> None:
    """Reads a JSON body into `message`. Raises INVALID_ARGUMENT.

    Google takes enum values in any case (gcloud relies on it for clean-up policies); the protobuf library does not.
    """
    try:
        document = json.loads(body or b"{}")
        if not isinstance(document, dict):
            raise invalid("Invalid JSON payload received. An object was expected.")
        json_format.ParseDict(_with_upper_case_enums(document, message.DESCRIPTOR), message)
    except (json_format.ParseError, ValueError) as error:
        raise invalid(f"Invalid JSON payload received. {error}") from error


def _with_upper_case_enums(document: dict[str, Any], descriptor: Any) -> dict[str, Any]:
    fields = {name: field for field in descriptor.fields for name in (field.name, field.json_name)}
    return {key: _upper(value, fields.get(key)) for key, value in document.items()}


def _upper(value: Any, field: Any) -> Any:
    if isinstance(value, list):
        return [_upper(item, field) for item in value]
    if field is None:
        return value
    if field.enum_type is not None and isinstance(value, str):
        return value.upper()
    if field.message_type is None or not isinstance(value, dict):
        return value
    if field.message_type.GetOptions().map_entry:
        values = field.message_type.fields_by_name["value"]
        return {key: _upper(item, values) for key, item in value.items()}
    return _with_upper_case_enums(value, field.message_type)


def decoded(value: str) -> str:
    """A variable's value without its percent-encoding, but for slashes if it spans segments.

    https://github.com/googleapis/googleapis/blob/master/google/api/http.proto, "Path template syntax"
    """
    return unquote(re.sub("%2f", "%252F", value, flags=re.IGNORECASE) if "/" in value else value)


def set_field(message: Message, path: str, texts: list[str]) -> None:
    """Sets a possibly nested field (snake_case or lowerCamelCase) from its text form(s). Raises INVALID_ARGUMENT."""
    *parents, last = path.split(".")
    for part in parents:
        message = getattr(message, _descriptor(message, part, path).name)
    field = _descriptor(message, last, path)
    values = [_value(field, text) for text in texts]
    try:
        json_format.ParseDict({field.json_name: values if field.is_repeated else values[-1]}, message)
    except json_format.ParseError as error:
        raise invalid(f"Invalid value at '{path}', {texts[-1]!r}") from error


def _descriptor(message: Message, name: str, path: str) -> FieldDescriptor:
    fields: Iterable[Any] = message.DESCRIPTOR.fields
    for field in fields:
        if name in (field.name, field.json_name):
            return field  # type: ignore[no-any-return]
    raise invalid(
        f'Invalid JSON payload received. Unknown name "{path}": Cannot bind query parameter. '
        f"Field '{path}' could not be found in request message."
    )


def _value(field: FieldDescriptor, text: str) -> Any:
    if field.type == FieldDescriptor.TYPE_BOOL:
        return text.lower() == "true"
    if field.type == FieldDescriptor.TYPE_ENUM and text.isdigit():
        return int(text)
    return text


def to_json(message: Message, request: web.Request) -> bytes:
    """The JSON form of an answer, with enums as numbers for the client libraries, which ask for that."""
    as_numbers = "enum-encoding=int" in (request.query.get("$alt") or request.query.get("alt") or "")
    return json.dumps(json_format.MessageToDict(message, use_integers_for_enums=as_numbers)).encode()
