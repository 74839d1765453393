"""Lists as Artifact Registry answers them: paged, filtered by name, ordered by a field."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from google.protobuf import timestamp_pb2

from infra.emulator.kernel import filters
from infra.emulator.kernel.errors import RpcError, invalid
from infra.emulator.kernel.filters import Comparison, Restriction
from infra.emulator.kernel.store import Table

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000


def page(table: Table[Any], prefix: str, request: Any) -> tuple[Sequence[Any], str]:
    """The values that the request's page_size, page_token, order_by and filter (on names) select; the next token."""
    size = page_size(request)
    keep = name_filter(getattr(request, "filter", ""))
    if not getattr(request, "order_by", ""):
        return table.page(prefix, size, request.page_token, keep)
    values = [value for value in table.list(prefix) if keep(value.name)]
    return cut(sort(values, request.order_by), size, request.page_token)


def page_size(request: Any) -> int:
    if request.page_size < 0:
        raise invalid("page_size must not be negative.")
    return min(request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def cut(values: list[Any], size: int, token: str) -> tuple[list[Any], str]:
    """One page of values that are all at hand; the token is a position."""
    if token and not token.isdigit():
        raise invalid("request had an invalid page token")
    start = int(token or 0)
    return values[start : start + size], str(start + size) if start + size < len(values) else ""


def sort(values: list[Any], order_by: str) -> list[Any]:
    """By `field [desc], …`; https://google.aip.dev/132#ordering"""
    for term in reversed(order_by.split(",")):
        match = re.fullmatch(r"\s*([\w.]+)(\s+(asc|desc))?\s*", term)
        if match is None:
            raise invalid(f"Invalid order_by: {order_by}")
        field = match[1].lower() if match[1].isupper() else re.sub("[A-Z]", lambda c: f"_{c[0].lower()}", match[1])
        values = sorted(values, key=lambda value: _key(value, field), reverse=match[3] == "desc")
    return values


def _key(value: Any, field: str) -> Any:
    try:
        found = reduce(getattr, field.split("."), value)
    except AttributeError as error:
        raise invalid(f"Invalid order_by: no field {field}") from error
    return found.ToNanoseconds() if isinstance(found, timestamp_pb2.Timestamp) else found


def equals(expression: str, field: str) -> str | None:
    """The operand of `field="operand"`; None for any other expression."""
    match filters.parse(expression, _refused):
        case Comparison((name,), "=", str(operand)) if name == field:
            return operand
    return None


def name_filter(expression: str) -> Callable[[str], bool]:
    """`name="…"` in which * stands for any characters, regardless of case."""
    return filters.predicate(expression, _of_name, _refused)


def _of_name(restriction: Restriction) -> Callable[[str], bool]:
    match restriction:
        case Comparison(("name",), "=", str(operand)):
            pattern = re.compile(re.escape(operand).replace(r"\*", ".*"), re.IGNORECASE)
            return lambda name: pattern.fullmatch(name) is not None
    raise _refused(f"{restriction} is not known")


def _refused(reason: str) -> RpcError:
    return invalid(f"Invalid filter: {reason}")
