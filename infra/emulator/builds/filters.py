"""The filter language of ListBuilds, as gcloud and the console send it.

https://cloud.google.com/build/docs/view-build-results#filtering_build_results_using_queries
"""

from __future__ import annotations

import datetime
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.message import Message

from infra.emulator.builds.substitutions import BuildPb
from infra.emulator.kernel.errors import RpcError, invalid

Predicate = Callable[[BuildPb], bool]

TOKEN = re.compile(r'\s*(?:(?P<symbol>[()]|!=|<=|>=|[<>=:-])|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<word>[^\s()!<>=:"]+))')
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    ":": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ALIASES = {"build_id": "id", "trigger_id": "build_trigger_id"}


def parse(text: str) -> Predicate:
    """A predicate over builds; raises INVALID_ARGUMENT if `text` is no filter. Empty text admits all."""
    if not text.strip():
        return lambda _build: True
    parser = _Parser(text)
    predicate = parser.conjunction()
    if parser.peek() != "":
        raise parser.refused()
    return predicate


class _Parser:
    """Recursive descent over AIP-160's grammar, in which OR binds tighter than AND."""

    def __init__(self, text: str) -> None:
        self._text, self._tokens, self._next = text, list(_tokens(text)), 0

    def peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def refused(self) -> RpcError:
        return invalid(f"invalid filter: {self._text}")

    def conjunction(self) -> Predicate:
        terms = [self._disjunction()]
        while self._take("AND") or self.peek() not in ("", ")"):
            terms.append(self._disjunction())
        return lambda build: all(term(build) for term in terms)

    def _disjunction(self) -> Predicate:
        terms = [self._term()]
        while self._take("OR"):
            terms.append(self._term())
        return lambda build: any(term(build) for term in terms)

    def _term(self) -> Predicate:
        if self._take("NOT") or self._take("-"):
            inner = self._term()
            return lambda build: not inner(build)
        if self._take("("):
            group = self.conjunction()
            if not self._take(")"):
                raise self.refused()
            return group
        return self._comparison()

    def _comparison(self) -> Predicate:
        field, sign, value = self._shift(), self._shift(), self._shift().removeprefix("\0")
        if sign == "!=":
            return lambda build: not _matches(build, field, operator.eq, value)
        if sign not in COMPARISONS:
            raise self.refused()
        return lambda build: _matches(build, field, COMPARISONS[sign], value)

    def _take(self, token: str) -> bool:
        taken = self.peek() == token
        self._next += taken
        return taken

    def _shift(self) -> str:
        token = self.peek()
        if not token:
            raise self.refused()
        self._next += 1
        return token


def _tokens(text: str) -> Iterator[str]:
    position = 0
    while position < len(text.rstrip()):
        match = TOKEN.match(text, position)
        if match is None:
            raise invalid(f"invalid filter: {text}")
        # A quoted token is marked, so that "AND" in quotes is a value and an empty one is not the end.
        quoted = match["quoted"]
        yield (match["symbol"] or match["word"]) if quoted is None else "\0" + re.sub(r"\\(.)", r"\1", quoted)
        position = match.end()


def _matches(build: BuildPb, path: str, compare: Callable[[Any, Any], bool], wanted: str) -> bool:
    names = re.sub(r"([a-z])([A-Z])", lambda m: f"{m[1]}_{m[2].lower()}", path).split(".")
    names[0] = ALIASES.get(names[0], names[0])
    return any(compare(*_comparable(value, wanted)) for value in _values(build, names, path))


def _values(message: Message, names: list[str], path: str) -> Iterator[Any]:
    """Every value at the path; a repeated field has several, an unset message none."""
    fields = message.DESCRIPTOR.fields_by_name
    field = fields.get(names[0]) or fields.get(f"{names[0]}_")  # reserved words have an underscore here
    if field is None:
        raise invalid(f"invalid filter: unknown field {path}")
    value = getattr(message, field.name)
    if field.message_type and field.message_type.GetOptions().map_entry:
        if len(names) > 1 and names[1] in value:
            yield value[names[1]]
        return
    if not field.is_repeated and field.message_type and not message.HasField(field.name):
        return
    for item in value if field.is_repeated else [value]:
        if len(names) > 1:
            yield from _values(item, names[1:], path)
        elif field.enum_type:
            yield field.enum_type.values_by_number[item].name
        else:
            yield item


def _comparable(value: Any, wanted: str) -> tuple[Any, Any]:
    if not isinstance(value, Message):
        return (str(value).lower() if isinstance(value, bool) else str(value)), wanted
    try:
        moment = datetime.datetime.fromisoformat(wanted)
    except ValueError as error:
        raise invalid(f"invalid filter: {wanted} is no time") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return value.ToDatetime(tzinfo=datetime.UTC), moment  # type: ignore[attr-defined]
