"""The filter language of ListBuilds, as gcloud and the console send it.

https://cloud.google.com/build/docs/view-build-results#filtering_build_results_using_queries
"""

from __future__ import annotations

import datetime
import operator
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from infra.emulator.builds.substitutions import BuildPb
from infra.emulator.kernel import filters
from infra.emulator.kernel.errors import RpcError, invalid
from infra.emulator.kernel.filters import Comparison, Restriction

Predicate = Callable[[BuildPb], bool]
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.eq,  # of none of the values
    ":": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ALIASES = {"build_id": "id", "trigger_id": "build_trigger_id"}


def parse(text: str) -> Predicate:
    """A predicate over builds; raises INVALID_ARGUMENT if `text` is no filter. Empty text admits all."""
    return filters.predicate(text, _restriction, _refused)


def _refused(reason: str) -> RpcError:
    return invalid(f"invalid filter: {reason}")


def _restriction(restriction: Restriction) -> Predicate:
    match restriction:
        case Comparison((first, *rest), sign, str(wanted)) if sign in COMPARISONS:
            path, compare = (ALIASES.get(first, first), *rest), COMPARISONS[sign]
            return lambda build: (
                any(compare(*_comparable(value, wanted)) for value in _values(build, path)) != (sign == "!=")
            )
    raise _refused(f"{restriction} is no comparison of a build's field")


def _values(build: BuildPb, path: tuple[str, ...]) -> list[Any]:
    try:
        return list(filters.values(build, path))
    except KeyError as error:
        raise _refused(f"unknown field {'.'.join(path)}") from error


def _comparable(value: Any, wanted: str) -> tuple[Any, Any]:
    if not isinstance(value, datetime.datetime | Message):
        return (str(value).lower() if isinstance(value, bool) else str(value)), wanted
    try:
        return value, filters.moment(wanted)
    except ValueError as error:
        raise _refused(f"{wanted} is no time") from error
