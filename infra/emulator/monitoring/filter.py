"""The filters of Cloud Monitoring's time series: https://cloud.google.com/monitoring/api/v3/filters."""

from __future__ import annotations

import re
from collections.abc import Callable

from infra.emulator.kernel import filters
from infra.emulator.kernel.errors import RpcError, invalid
from infra.emulator.kernel.filters import Call, Comparison, Restriction

Predicate = Callable[[dict[str, str]], bool]
Test = Callable[[str], bool]


def parse_filter(text: str) -> Predicate:
    """A test of the labels by the names that filters use. Raises INVALID_ARGUMENT."""
    predicate = filters.predicate(text, _restriction, _refused)
    if "metric.type" not in text:
        raise invalid("The filter must specify a metric type.", "filter")
    return predicate


def _refused(reason: str) -> RpcError:
    return invalid(f"Could not parse filter: {reason}.", "filter")


def _restriction(restriction: Restriction) -> Predicate:
    match restriction:
        case Comparison(path, "=" | "!=" | ":" as sign, wanted):
            field = ".".join("labels" if step == "label" else step for step in path)
            test = _function(wanted) if isinstance(wanted, Call) else _equal(wanted, sign)
            return lambda labels: test(labels.get(field, "")) != (sign == "!=")
    raise _refused(f"{restriction} is not known")


def _equal(wanted: str, sign: str) -> Test:
    return lambda value: wanted in value if sign == ":" else value == wanted


def _function(call: Call) -> Test:
    match call:
        case Call("starts_with", (start,)):
            return lambda value: value.startswith(start)
        case Call("ends_with", (end,)):
            return lambda value: value.endswith(end)
        case Call("has_substring", (part,)):
            return lambda value: part in value
        case Call("one_of", choices):
            return lambda value: value in choices
        case Call("monitoring.regex.full_match", (pattern,)):
            return _full_match(pattern)
    raise _refused(f"{call} is not known")


def _full_match(pattern: str) -> Test:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise _refused(f"invalid regular expression {pattern!r}") from error
    return lambda value: compiled.fullmatch(value) is not None
