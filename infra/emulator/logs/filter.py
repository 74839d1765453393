"""The Logging query language, as far as people and tools use it on entries.

https://cloud.google.com/logging/docs/view/logging-query-language
"""

from __future__ import annotations

import datetime
import math
import operator
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from google.logging.type import log_severity_pb2
from google.protobuf import json_format

from infra.emulator.kernel import filters
from infra.emulator.kernel.errors import RpcError, invalid
from infra.emulator.kernel.filters import Call, Comparison, Restriction, Text

Predicate = Callable[[Any], bool]
SEVERITIES: dict[str, int] = dict(log_severity_pb2.LogSeverity.items())
TIMES = ("timestamp", "receiveTimestamp", "receive_timestamp")
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


def compile_filter(text: str) -> Predicate:
    """A test of a LogEntry message; raises INVALID_ARGUMENT for what is not understood."""
    return filters.predicate(text, _restriction, _refused)


def _refused(reason: str) -> RpcError:
    return invalid(f"Unparseable filter: {reason}")


def _restriction(restriction: Restriction) -> Predicate:
    match restriction:
        case Text(text):
            needle = text.lower()
            return lambda entry: needle in str(json_format.MessageToDict(entry)).lower()
        case Call("log_id", (name,)):
            wanted = f"/logs/{quote(name, safe='')}"
            return lambda entry: entry.log_name.endswith(wanted)
        case Comparison(path, sign, str(text)):
            test = _test(path, {"!=": "=", "!~": "=~"}.get(sign, sign), text)
            return lambda entry: any(map(test, _values(entry, path))) != sign.startswith("!")
    raise _refused(f"{restriction} is not known")


def _values(entry: Any, path: tuple[str, ...]) -> list[Any]:
    with suppress(KeyError):  # an entry has any field, most of them not set
        return list(filters.values(entry, path))
    return []


def _test(path: tuple[str, ...], sign: str, text: str) -> Predicate:
    if sign == "=~":
        try:
            pattern = re.compile(text)
        except re.error as error:
            raise _refused(f"invalid regular expression {text!r}") from error
        return lambda value: pattern.search(str(value)) is not None
    if sign == ":":
        return lambda value: text == "*" or _has(value, text.lower())
    bound, compare = _bound(path, text), ORDERS[sign]
    return lambda value: type(made := _comparable(path, value)) is type(bound) and compare(made, bound)


def _has(value: Any, text: str) -> bool:
    return text in str(list(value) if isinstance(value, Mapping) else value).lower()


def _bound(path: tuple[str, ...], text: str) -> Any:
    """What a field is compared with: a severity's number, a moment, a number, or a text in lower case."""
    if path == ("severity",) and text.upper() not in SEVERITIES and not text.isdigit():
        raise _refused(f"{text} is not a severity")
    if path[-1] not in TIMES:
        return _comparable(path, text)
    try:
        return filters.moment(text)
    except ValueError as error:
        raise _refused(f"{text} is not a timestamp") from error


def _comparable(path: tuple[str, ...], value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return value
    text = str(value).lower()
    try:
        number = float(SEVERITIES.get(text.upper(), text) if path == ("severity",) else text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text
