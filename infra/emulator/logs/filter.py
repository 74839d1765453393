"""The Logging query language, as far as people and tools use it on entries.

https://cloud.google.com/logging/docs/view/logging-query-language
Comparisons (= != > >= < <= : =~ !~) of a field with a text or a parenthesised choice of texts, AND, OR, NOT,
parentheses, bare texts, log_id("…"). OR binds closer than AND.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from google.logging.type import log_severity_pb2
from google.protobuf import json_format, struct_pb2, timestamp_pb2
from google.protobuf.message import Message

from infra.emulator.kernel.errors import RpcError, invalid

Predicate = Callable[[Any], bool]
TOKEN = re.compile(
    r"""\s*(?:--[^\n]*|(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<op>=~|!~|!=|>=|<=|=|>|<|:)"""
    r"""|(?P<bracket>[()])|(?P<word>(?:[^\s()=<>!:"',]|"(?:\\.|[^"\\])*")+))""",
    re.X,
)
SEVERITIES: dict[str, int] = dict(log_severity_pb2.LogSeverity.items())


def compile_filter(text: str) -> Predicate:
    """A test of a LogEntry message; raises INVALID_ARGUMENT for what is not understood."""
    parser = _Parser(list(_tokens(text)))
    predicate = parser.conjunction()
    if parser.peek() is not None:
        raise _unparseable(text)
    return predicate


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while text[position:].strip():
        match = TOKEN.match(text, position)
        if match is None or match.end() == position:
            raise _unparseable(text)
        position = match.end()
        if match.lastgroup:
            yield match.lastgroup, match[match.lastgroup]


def _unparseable(text: str) -> RpcError:
    return invalid(f"Unparseable filter: syntax error in {text!r}")


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens, self._at = tokens, 0

    def peek(self) -> tuple[str, str] | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self) -> tuple[str, str]:
        token = self.peek()
        if token is None:
            raise self._failure()
        self._at += 1
        return token

    def _skip(self, word: str) -> bool:
        if (token := self.peek()) and token[0] in ("word", "bracket") and token[1] == word:
            self._at += 1
            return True
        return False

    def conjunction(self) -> Predicate:
        parts = [self._disjunction()] if self.peek() else []
        while (token := self.peek()) and token != ("bracket", ")"):
            self._skip("AND")
            parts.append(self._disjunction())
        return lambda entry: all(part(entry) for part in parts)

    def _disjunction(self) -> Predicate:
        parts = [self._negation()]
        while self._skip("OR"):
            parts.append(self._negation())
        return lambda entry: any(part(entry) for part in parts)

    def _negation(self) -> Predicate:
        if self._skip("NOT") or self._skip_minus():
            inner = self._negation()
            return lambda entry: not inner(entry)
        if self._skip("("):
            inner = self.conjunction()
            self._close()
            return inner
        return self._comparison()

    def _skip_minus(self) -> bool:
        """-field=x is NOT field=x."""
        token = self.peek()
        if token is None or token[0] != "word" or not token[1].startswith("-"):
            return False
        if token[1] == "-":
            self._at += 1
        else:
            self._tokens[self._at] = ("word", token[1][1:])
        return True

    def _close(self) -> None:
        if self._take() != ("bracket", ")"):
            raise self._failure()

    def _failure(self) -> RpcError:
        return _unparseable(" ".join(value for _, value in self._tokens))

    def _comparison(self) -> Predicate:
        kind, name = self._take()
        if kind not in ("word", "text"):
            raise self._failure()
        if kind == "word" and name == "log_id" and self._skip("("):
            wanted = f"/logs/{quote(_plain(*self._take()), safe='')}"
            self._close()
            return lambda entry: entry.log_name.endswith(wanted)
        following = self.peek()
        if following is None or following[0] != "op":
            needle = _plain(kind, name).lower()
            return lambda entry: needle in str(json_format.MessageToDict(entry)).lower()
        operator, path = self._take()[1], _path(_plain(kind, name) if kind == "text" else name)
        if self._skip("("):
            return self._choice(path, operator)
        return _compare(path, operator, _plain(*self._take()))

    def _choice(self, path: list[str], operator: str) -> Predicate:
        """field=("a" OR "b"), field:("a" AND "b")"""
        tests, every = [_compare(path, operator, _plain(*self._take()))], False
        while not self._skip(")"):
            every = not self._skip("OR")
            if every:
                self._skip("AND")
            tests.append(_compare(path, operator, _plain(*self._take())))
        return lambda entry: (all if every else any)(test(entry) for test in tests)


def _plain(kind: str, value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if kind == "text" else value


def _path(name: str) -> list[str]:
    """resource.labels."a.b" as its three steps."""
    return [quoted or bare for quoted, bare in re.findall(r'"((?:\\.|[^"\\])*)"|([^."]+)', name)]


def _compare(path: list[str], operator: str, text: str) -> Predicate:
    test = _test(path, operator, text)
    negative = operator in ("!=", "!~")

    def predicate(entry: Any) -> bool:
        value = lookup(entry, path)
        return negative if value is None else test(value)

    return predicate


def _test(path: list[str], operator: str, text: str) -> Callable[[Any], bool]:
    if operator in ("=~", "!~"):
        try:
            pattern = re.compile(text)
        except re.error as error:
            raise invalid(f"Unparseable filter: invalid regular expression {text!r}") from error
        return lambda value: bool(pattern.search(str(value))) == (operator == "=~")
    if operator == ":":
        return lambda value: text == "*" or _has(value, text.lower())
    compare: Callable[[Any, Any], bool] = {
        "=": lambda a, b: a == b,
        "!=": lambda a, b: a != b,
        ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
    }[operator]
    bound = _bound(path, text)
    return lambda value: type(made := _comparable(path, value)) is type(bound) and compare(made, bound)


def _has(value: Any, text: str) -> bool:
    if isinstance(value, dict):
        return text in (str(key).lower() for key in value)
    return text in str(value).lower()


def _bound(path: list[str], text: str) -> Any:
    """What a field is compared with: a severity's number, a moment, a number, or a text in lower case."""
    if path == ["severity"]:
        if text.upper() not in SEVERITIES and not text.isdigit():
            raise invalid(f"Unparseable filter: {text} is not a severity")
        return SEVERITIES.get(text.upper(), int(text) if text.isdigit() else 0)
    if path[-1].lower() in ("timestamp", "receivetimestamp", "receive_timestamp"):
        return _moment(text)
    return _comparable(path, text)


def _moment(text: str) -> datetime.datetime:
    try:
        moment = datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError as error:
        raise invalid(f"Unparseable filter: {text} is not a timestamp") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _comparable(path: list[str], value: Any) -> Any:
    if path == ["severity"]:
        return value
    if isinstance(value, datetime.datetime):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value).lower()


def lookup(message: Any, path: list[str]) -> Any:
    """The value of a field by its path in either spelling (textPayload, text_payload); None if it is not set."""
    value = message
    for step in path:
        if isinstance(value, struct_pb2.Struct):
            value = json_format.MessageToDict(value)
        value = _step(value, step)
        if value is None:
            return None
    if isinstance(value, timestamp_pb2.Timestamp):
        return value.ToDatetime(datetime.UTC)
    return value


def _step(value: Any, step: str) -> Any:
    if isinstance(value, Message):
        fields = value.DESCRIPTOR
        field = fields.fields_by_camelcase_name.get(step) or fields.fields_by_name.get(step)
        if field is None or (field.has_presence and not value.HasField(field.name)):
            return None
        return getattr(value, field.name)
    return value.get(step) if isinstance(value, Mapping) else None
