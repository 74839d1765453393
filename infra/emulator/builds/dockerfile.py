"""Dockerfiles: instructions, words and variables. https://docs.docker.com/reference/dockerfile/

Not dockerfile-parse, which knows neither here-documents nor flags, and a builder must.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Lookup = Callable[[str], str | None]

INSTRUCTIONS = re.compile(
    "ADD|ARG|CMD|COPY|ENTRYPOINT|ENV|EXPOSE|FROM|HEALTHCHECK|LABEL|MAINTAINER|ONBUILD|RUN|SHELL|STOPSIGNAL|USER|"
    "VOLUME|WORKDIR"
)
DIRECTIVE = re.compile(r"#\s*([a-zA-Z][\w-]*)\s*=\s*(.+?)\s*")
FLAG = re.compile(r"--([a-z][\w-]*)(?:=(\S*))?\s*")
HEREDOC = re.compile(r'<<-?(["\']?)([A-Za-z_]\w*)\1')
VARIABLE = re.compile(r"\$(?:(?P<bare>\w+)|\{(?P<braced>\w+)(?:(?P<sign>:?[-+])(?P<other>[^}]*))?\})")


class DockerfileError(Exception):
    """A Dockerfile that cannot be built; the text names the line."""


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A here-document: with a quoted delimiter its text is taken as it stands."""

    text: str
    verbatim: bool

    def content(self, lookup: Lookup) -> str:
        """As `COPY <<EOF` writes it: quotes are text, a backslash takes the next character as it is.

        https://docs.docker.com/reference/dockerfile/#here-documents
        """
        return self.text if self.verbatim else expand(self.text, lookup, quotes=False)


@dataclass(frozen=True, slots=True)
class Instruction:
    line: int  # of its first character, from 1
    name: str  # in capitals
    value: str  # what follows the name and its flags, continuations joined
    flags: dict[str, str] = field(default_factory=dict)  # --from=x -> {"from": "x"}
    heredocs: dict[str, Heredoc] = field(default_factory=dict)  # by delimiter
    raw: str = ""  # as written, in one line

    def json(self) -> list[str] | None:
        """The exec form, or None if it is the shell form."""
        try:
            words = json.loads(self.value)
        except ValueError:
            return None
        return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else None


@dataclass(frozen=True, slots=True)
class Stage:
    name: str  # '' without AS
    start: Instruction  # the FROM
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Dockerfile:
    arguments: tuple[Instruction, ...]  # ARGs before the first FROM
    stages: tuple[Stage, ...]
    escape: str = "\\"

    def uses_run(self) -> Instruction | None:
        """The first RUN, if there is one."""
        every = (instruction for stage in self.stages for instruction in stage.instructions)
        return next((instruction for instruction in every if instruction.name == "RUN"), None)


def parse(text: str) -> Dockerfile:
    """Raises DockerfileError."""
    escape = _escape(text)
    instructions = list(_instructions(text, escape))
    starts = [index for index, instruction in enumerate(instructions) if instruction.name == "FROM"]
    before = instructions[: starts[0]] if starts else instructions
    for instruction in before:
        if instruction.name != "ARG":
            raise DockerfileError(f"line {instruction.line}: {instruction.name} before FROM: no build stage in context")
    if not starts:
        raise DockerfileError("the Dockerfile is a file with no instructions, or at least with no FROM")
    stages = [
        _stage(instructions[start:end]) for start, end in zip(starts, [*starts[1:], len(instructions)], strict=True)
    ]
    return Dockerfile(tuple(before), tuple(stages), escape)


def _stage(instructions: list[Instruction]) -> Stage:
    start = instructions[0]
    match = re.fullmatch(r"\S+(?:\s+[aA][sS]\s+(\S+))?", start.value)
    if match is None:
        raise DockerfileError(f"line {start.line}: FROM requires either one or three arguments")
    return Stage((match[1] or "").lower(), start, tuple(instructions[1:]))


def _escape(text: str) -> str:
    """The escape character, which a directive in the first lines may change."""
    for line in text.lstrip("\ufeff").splitlines():
        directive = DIRECTIVE.fullmatch(line.strip())
        if directive is None:
            break
        if directive[1].lower() == "escape" and directive[2] in ("\\", "`"):
            return directive[2]
    return "\\"


def _instructions(text: str, escape: str) -> Iterator[Instruction]:
    lines = text.lstrip("\ufeff").splitlines()
    number = 0
    while number < len(lines):
        if not lines[number].strip() or lines[number].lstrip().startswith("#"):
            number += 1
            continue
        first = number
        joined, number = _join(lines, number, escape)
        instruction = _instruction(first + 1, joined)
        heredocs: dict[str, Heredoc] = {}
        if instruction.name in ("RUN", "COPY", "ADD"):
            for match in HEREDOC.finditer(instruction.value):
                body, number = _heredoc(lines, number, match[2], strip="<<-" in match[0])
                heredocs[match[2]] = Heredoc(body, verbatim=bool(match[1]))
        yield Instruction(
            instruction.line, instruction.name, instruction.value, instruction.flags, heredocs, instruction.raw
        )


def _join(lines: list[str], number: int, escape: str) -> tuple[str, int]:
    """One logical line and the number of the line after it; comments and empty lines within are dropped."""
    parts: list[str] = []
    while number < len(lines):
        line = lines[number]
        number += 1
        if parts and (not line.strip() or line.lstrip().startswith("#")):
            continue
        if not line.rstrip().endswith(escape):
            parts.append(line)
            break
        parts.append(line.rstrip()[:-1])
    return "".join(parts).strip(), number


def _heredoc(lines: list[str], number: int, delimiter: str, *, strip: bool) -> tuple[str, int]:
    body: list[str] = []
    while number < len(lines):
        line = lines[number].lstrip("\t") if strip else lines[number]
        number += 1
        if line == delimiter:
            return "".join(f"{text}\n" for text in body), number
        body.append(line)
    raise DockerfileError(f"unterminated heredoc {delimiter}")


def _instruction(line: int, text: str) -> Instruction:
    name, _, rest = text.partition(" ")
    name, rest = name.upper(), rest.strip()
    if not INSTRUCTIONS.fullmatch(name):
        raise DockerfileError(f"dockerfile parse error line {line}: unknown instruction: {name}")
    flags: dict[str, str] = {}
    if name in ("ADD", "COPY", "FROM", "RUN", "HEALTHCHECK"):
        while match := FLAG.match(rest):
            flags[match[1]] = match[2] or ""
            rest = rest[match.end() :]
    if not rest:
        raise DockerfileError(f"dockerfile parse error line {line}: {name} requires at least one argument")
    return Instruction(line, name, rest, flags, raw=text)


def expand(text: str, lookup: Lookup, escape: str = "\\", *, quotes: bool = True) -> str:
    """A text as one word: variables replaced, escapes resolved and, with `quotes`, quotes removed.

    https://github.com/moby/buildkit/blob/v0.16.0/frontend/dockerfile/shell/lex.go
    """
    out, position = "", 0
    while position < len(text):
        start = position
        as_it_is = text[start].isspace() or (text[start] in "'\"" and not quotes)
        piece, position = (None, start + 1) if as_it_is else _piece(text, start, lookup, escape)
        out += text[start] if piece is None else piece
    return out


def _substituted(text: str, lookup: Lookup) -> str:
    """`$name`, `${name}`, `${name:-default}` and `${name:+other}` replaced; unknown names become empty."""

    def replacement(match: re.Match[str]) -> str:
        value = lookup(match["bare"] or match["braced"])
        present = bool(value) if (match["sign"] or "").startswith(":") else value is not None
        if (match["sign"] or "").endswith("-"):
            return value or "" if present else _substituted(match["other"], lookup)
        if (match["sign"] or "").endswith("+"):
            return _substituted(match["other"], lookup) if present else ""
        return value or ""

    return VARIABLE.sub(replacement, text)


def words(text: str, lookup: Lookup, escape: str = "\\") -> list[str]:
    """Splits at blanks outside quotes, removes quotes and escapes, and expands variables outside single quotes."""
    found: list[str] = []
    word: str | None = None
    position = 0
    while position < len(text):
        start = position
        piece, position = _piece(text, start, lookup, escape)
        if piece is None:
            if word is not None:
                found.append(word)
            word = None
        elif piece or text[start] != "$":  # a variable without a value makes no word, empty quotes do
            word = (word or "") + piece
    return found if word is None else [*found, word]


def _piece(text: str, position: int, lookup: Lookup, escape: str) -> tuple[str | None, int]:
    """The next character, quoted run or variable with what it means (None: a blank), and where the rest begins."""
    character = text[position]
    if character.isspace():
        return None, position + 1
    if character == escape and position + 1 < len(text):
        return text[position + 1], position + 2
    if character == "'" and (end := text.find("'", position + 1)) != -1:
        return text[position + 1 : end], end + 1
    if character == '"':
        return _double_quoted(text, position + 1, lookup, escape)
    if variable := VARIABLE.match(text, position):
        return _substituted(variable[0], lookup), variable.end()
    return character, position + 1


def _double_quoted(text: str, position: int, lookup: Lookup, escape: str) -> tuple[str, int]:
    out = ""
    while position < len(text) and text[position] != '"':
        if text[position] == escape and text[position + 1 : position + 2] in ('"', "$", escape):
            out, position = out + text[position + 1], position + 2
        elif variable := VARIABLE.match(text, position):
            out, position = out + _substituted(variable[0], lookup), variable.end()
        else:
            out, position = out + text[position], position + 1
    return out, position + 1


def pairs(instruction: Instruction, lookup: Lookup, escape: str = "\\") -> dict[str, str]:
    """The settings of ENV, LABEL or ARG: `a=1 b="2 3"`, or the old form `a 1` in which the rest is the value."""
    name, _, rest = instruction.value.partition(" ")
    if "=" not in name and rest.strip():
        return {name: expand(rest.strip(), lookup)}
    found = words(instruction.value, lookup, escape)
    for word in found:
        if "=" not in word:
            raise DockerfileError(f'line {instruction.line}: Syntax error - can\'t find = in "{word}"')
    return {key: value for key, _, value in (word.partition("=") for word in found)}


def command(instruction: Instruction, shell: list[str]) -> list[str]:
    """CMD or ENTRYPOINT as an argument list; the shell form goes through `shell`."""
    return instruction.json() or [*shell, instruction.value]
