"""Google's filter language, for every API that has it: https://google.aip.dev/160.

OR binds closer than AND, and AND may be left out: `a b OR c` is `a AND (b OR c)`. Which fields there are and how their
values compare is each API's own; it says so in the function that makes a predicate of a restriction.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias, TypeVar

from google.protobuf import json_format, struct_pb2, timestamp_pb2
from google.protobuf.message import Message
from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, v_args

from infra.emulator.kernel.errors import RpcError

T = TypeVar("T")
Refused = Callable[[str], RpcError]  # the INVALID_ARGUMENT of an API, for this reason

# A comment is Logging's own. A word may start with - only where a value stands, and be a keyword in a field's path.
GRAMMAR = r"""
start: conjunction?
?conjunction: disjunction ("AND"? disjunction)*
?disjunction: _term ("OR" _term)*
_term: negation | restriction | "(" conjunction ")"
negation: ("NOT" | "-") _term
?restriction: path -> text
    | call
    | path OPERATOR (value | call | "(" conjunction ")") -> comparison
path: (NAME | STRING) ("." (NAME | STRING))*
call: FUNCTION "(" (value ("," value)*)? ")"
value: VALUE | STRING

OPERATOR: /[=!]~|[!<>]=|[=<>:]/
FUNCTION: /(?!(AND|OR|NOT)\()[A-Za-z_]\w*(\.\w+)*(?=\()/
NAME: /(?!-)[^\s()=<>!:"',.]+/
VALUE: /(?!(AND|OR|NOT)([\s()]|$))[^\s()=<>!:"',]+/
STRING: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/s
COMMENT.1: /--[^\n]*/
%ignore COMMENT
%ignore /\s+/
"""


@dataclass(frozen=True, slots=True)
class Text:
    """A bare word or text: what has it in any field."""

    value: str

    def __str__(self) -> str:
        return _quoted(self.value)


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(_quoted, self.arguments))})"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of the field at `path` (resource.labels."a.b" has three steps) by one of = != < <= > >= : =~ !~."""

    path: tuple[str, ...]
    operator: str
    value: str | Call

    def __str__(self) -> str:
        path = ".".join(step if re.fullmatch(r"[a-z_]\w*", step) else _quoted(step) for step in self.path)
        return f"{path}{self.operator}{_quoted(self.value) if isinstance(self.value, str) else self.value}"


@dataclass(frozen=True, slots=True)
class Not:
    part: Expression

    def __str__(self) -> str:
        return f"NOT ({self.part})"


@dataclass(frozen=True, slots=True)
class And:
    """All of two or more; the empty filter is that of none."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return " AND ".join(f"({part})" for part in self.parts)


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return " OR ".join(f"({part})" for part in self.parts)


Restriction: TypeAlias = Text | Call | Comparison
Expression: TypeAlias = Restriction | Not | And | Or
OfRestriction: TypeAlias = Callable[[Restriction], Callable[[T], bool]]


def parse(text: str, refused: Refused) -> Expression:
    """The expression that `text` is; raises what `refused` makes of the place of a syntax error."""
    try:
        return _parser().parse(text)  # type: ignore[return-value]  # the transformer makes the tree an expression
    except UnexpectedInput as error:
        found = error.char if isinstance(error, UnexpectedCharacters) else str(getattr(error, "token", ""))
        place = f"line {error.line}, column {error.column}, token {found!r}" if found else "its end"
        raise refused(f"syntax error at {place} in {text!r}") from None
    except _Nested as error:
        raise refused(f"syntax error: {error} is no value in {text!r}") from None


def predicate(text: str, of_restriction: OfRestriction[T], refused: Refused) -> Callable[[T], bool]:
    """The test that `text` is, made of those that its restrictions are; the empty text admits all."""
    return _predicate(parse(text, refused), of_restriction)


def _predicate(expression: Expression, of_restriction: OfRestriction[T]) -> Callable[[T], bool]:
    match expression:
        case Not(part):
            test = _predicate(part, of_restriction)
            return lambda item: not test(item)
        case And(parts) | Or(parts):
            tests = [_predicate(part, of_restriction) for part in parts]
            joined = all if isinstance(expression, And) else any
            return lambda item: joined(test(item) for test in tests)
    return of_restriction(expression)


def values(value: Any, path: Sequence[str]) -> Iterator[Any]:
    """What a message has at the path, in either spelling (textPayload, text_payload): one value, several of a repeated
    field, none of a field that is not set. Enums come by name, timestamps as datetime in UTC.

    Raises KeyError for a field that the message cannot have.
    """
    if isinstance(value, struct_pb2.Struct):
        value = json_format.MessageToDict(value)
    if isinstance(value, MutableSequence):
        for item in value:
            yield from values(item, path)
    elif not path:
        yield value.ToDatetime(datetime.UTC) if isinstance(value, timestamp_pb2.Timestamp) else value
    elif isinstance(value, Message):
        yield from values(_field(value, path[0]), path[1:])
    elif isinstance(value, Mapping) and path[0] in value:
        yield from values(value[path[0]], path[1:])


def moment(text: str) -> datetime.datetime:
    """An RFC 3339 time, in UTC unless it says otherwise; raises ValueError."""
    found = datetime.datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def _field(message: Message, name: str) -> Any:
    fields = message.DESCRIPTOR
    field = fields.fields_by_name.get(name) or fields.fields_by_camelcase_name[name]
    if field.has_presence and not message.HasField(field.name):
        return []
    found = getattr(message, field.name)
    if field.enum_type is None:
        return found
    known = field.enum_type.values_by_number
    return [known[n].name if n in known else str(n) for n in (found if field.is_repeated else [found])]


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", transformer=_Expressions())


@v_args(inline=True)
class _Expressions(Transformer[Token, Expression]):
    def start(self, expression: Expression = And(())) -> Expression:
        return expression

    def conjunction(self, *parts: Expression) -> And:
        return And(parts)

    def disjunction(self, *parts: Expression) -> Or:
        return Or(parts)

    def negation(self, part: Expression) -> Not:
        return Not(part)

    def text(self, path: tuple[str, ...]) -> Text:
        return Text(".".join(path))

    def comparison(self, path: tuple[str, ...], operator: Token, value: str | Expression) -> Expression:
        return _spread(path, str(operator), value)

    def path(self, *steps: Token) -> tuple[str, ...]:
        return tuple(map(_plain, steps))

    def call(self, name: Token, *arguments: str) -> Call:
        return Call(str(name), arguments)

    def value(self, token: Token) -> str:
        return _plain(token)


class _Nested(Exception):
    """A comparison stands where a value must."""


def _spread(path: tuple[str, ...], operator: str, value: str | Expression) -> Expression:
    """field=("a" OR "b") is field="a" OR field="b"."""
    match value:
        case Text(text):
            return Comparison(path, operator, text)
        case Not(part):
            return Not(_spread(path, operator, part))
        case And(parts):
            return And(tuple(_spread(path, operator, part) for part in parts))
        case Or(parts):
            return Or(tuple(_spread(path, operator, part) for part in parts))
        case Comparison():
            raise _Nested(value)
    return Comparison(path, operator, value)


def _plain(token: Token) -> str:
    return re.sub(r"""\\(["'\\])""", r"\1", token[1:-1]) if token.type == "STRING" else str(token)


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
