"""The grammar of paths: /pets/{id}, /files/**, /{name=shelves/*}/books, /jobs/{id}:cancel.

As https://github.com/googleapis/api-compiler parses them, in `HttpTemplateParser`, with its texts.
"""

from __future__ import annotations

import re

LITERAL = r"[^/*}{=]+"
TOKENS = re.compile(rf"{LITERAL}|[/*}}{{=]")
CUSTOM_VERB = re.compile(rf"(?<!/)/?:({LITERAL})$")


class Unparsable(Exception):
    """Says what is wrong with the template, and where."""


def check(template: str) -> None:
    """Raises Unparsable."""
    if template != "/":
        _Parser(template).parse()


class _Parser:
    def __init__(self, template: str) -> None:
        self._tokens = TOKENS.findall(CUSTOM_VERB.sub("", template))
        self._position = 0
        self._previous = ""

    def parse(self) -> None:
        if not self._at("/"):
            raise Unparsable("effective path must start with leading '/'.")
        self._segments(first=True, nested=False)
        if self._position < len(self._tokens):
            raise Unparsable(f"unrecognized input at '{self._tokens[self._position]}'.")

    def _segments(self, *, first: bool, nested: bool) -> None:
        if self._at("/"):
            self._shift()
            if not first:
                raise Unparsable("leading '/' only allowed for first segment of path.")
        while True:
            piece = self._shift()
            if piece == "*" and self._at("*"):
                self._shift()
            if piece == "{":
                self._field(nested=nested)
            if not self._at("/"):
                return
            self._shift()

    def _field(self, *, nested: bool) -> None:
        self._shift()
        if self._at("="):
            self._shift()
            if nested:
                raise Unparsable("cannot have fields in nested paths.")
            self._segments(first=False, nested=True)
        if not self._at("}"):
            left = f"'{self._tokens[self._position]}'" if self._position < len(self._tokens) else "end of input"
            raise Unparsable(f"expected '}}', looking at {left}.")
        self._shift()

    def _at(self, piece: str) -> bool:
        return self._tokens[self._position : self._position + 1] == [piece]

    def _shift(self) -> str:
        if self._position >= len(self._tokens):
            raise Unparsable(f"unexpected end of input '{self._previous}'.")
        self._previous = self._tokens[self._position]
        self._position += 1
        return self._previous
