"""What a Dockerfile says of its own use: the port, the build arguments it needs, and what it takes from its context.

https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_HEREDOC = re.compile(r"<<-?\s*[\"']?(\w+)[\"']?")
_FLAG = re.compile(r"--[\w-]+(=\S+)?\s+")
# https://github.com/compose-spec/compose-spec/blob/main/12-interpolation.md; Dockerfiles know some of it.
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::?([-?+])([^}]*))?\}|(\w+))")
# A port that is written out where a server is started: `--bind :8000`, `--port=8000`, `runserver 0.0.0.0:8000`.
_LISTENS = re.compile(
    r"(?:(?:^|\s)(?:--?(?:bind|b|port|http|listen)[=\s]|runserver\s+|http\.server\s+)\S*?)\b(\d{2,5})\b(?!\.)"
)
_ASKED = re.compile(r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::([^/\s\"']*))?(/[^\s\"'|;&)]*)?")
# Set by BuildKit, by the daemon for a proxy (https://docs.docker.com/reference/dockerfile/#predefined-args), or by
# Skaffold, which leaves it empty but to debug: https://skaffold.dev/docs/workflows/debug/
_GIVEN = re.compile(
    r"(TARGET|BUILD)(PLATFORM|OS|ARCH|VARIANT)|BUILDKIT_\w+|SKAFFOLD_\w+|(HTTPS?|FTP|NO|ALL)_PROXY", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """What matters of one."""

    port: int | None  # the first that the last stage exposes
    ports: tuple[int, ...]  # all of them
    needs: tuple[str, ...]  # build arguments without a default
    copies: tuple[str, ...]  # paths and patterns below the context
    listens: int | None = None  # the port that is written out in what starts it
    asks: bool = False  # whether what starts it, or its environment, speaks of $PORT
    health: str = ""  # the path that its HEALTHCHECK asks


@dataclass
class _Stage:
    base: str
    name: str
    ports: list[int] = field(default_factory=list)
    starts: str = ""  # what CMD says, else ENTRYPOINT
    health: str = ""

    def tell(self, word: str, rest: str, variables: Mapping[str, str]) -> None:
        """What an instruction says of how the image is run."""
        match word:
            case "EXPOSE":
                self.ports += _ports(resolved(rest, variables) or "")
            case "CMD" | "ENTRYPOINT":
                self.starts = f"{self.starts} {_words(rest)}".strip()
            case "HEALTHCHECK":
                self.health = asked_path(rest)


def read_dockerfile(text: str) -> Dockerfile:
    """Reads any text; what makes no sense in it says nothing."""
    stages: list[_Stage] = []
    variables: dict[str, str] = {}
    needs: dict[str, None] = {}
    copies: dict[str, None] = {}
    for word, rest in _instructions(text):
        match word:
            case "FROM":
                words = _FLAG.sub("", f"{rest} ").split()
                stages.append(_Stage(words[0] if words else "", words[2] if len(words) > 2 else str(len(stages))))
            case "ARG" | "ENV":
                for name, value in _assigned(rest):
                    if value is not None:
                        variables[name] = resolved(value, variables) or ""
                    elif word == "ARG" and name not in variables and not _GIVEN.fullmatch(name):
                        needs[name] = None
            case "COPY" | "ADD":
                copies |= dict.fromkeys(_copied(rest))
            case _ if stages:
                stages[-1].tell(word, rest, variables)
    ports, last = _of_last(stages), stages[-1] if stages else _Stage("", "")
    asked = bool(re.search(r"\$\{?PORT\b", last.starts))
    listens = None if asked else listening_port(resolved(last.starts, variables) or "")
    return Dockerfile(
        ports[0] if ports else None,
        ports,
        tuple(needs),
        tuple(copies),
        listens,
        asked or "PORT" in variables,
        last.health,
    )


def listening_port(command: str) -> int | None:
    """The port that a command line has a server listen on, where it is written out."""
    found = _LISTENS.search(command)
    return int(found[1]) if found and 1 <= int(found[1]) <= 65535 else None


def asked_path(command: str) -> str:
    """The path, unless it is /, that a health check of a container asks itself for."""
    found = _ASKED.search(_words(command))
    path = (found[2] or "") if found else ""
    return "" if path == "/" or "$" in path else path


def asked_port(command: str) -> int | None:
    """The port that a health check of a container asks itself at; None where it does not ask by HTTP, or not say."""
    found = _ASKED.search(_words(command))
    if found is None:
        return None
    text = found[1] or ("443" if found[0].startswith("https") else "80")
    return int(text) if text.isascii() and text.isdigit() else None


def _words(rest: str) -> str:
    """A command in JSON as one line."""
    try:
        listed = json.loads(rest[rest.index("[") :]) if "[" in rest else rest
    except ValueError:
        return rest
    return " ".join(map(str, listed)) if isinstance(listed, list) else rest


def resolved(text: str, variables: Mapping[str, str]) -> str | None:
    """The text with its variables filled in, or their defaults; None when one has neither, or must be given."""
    missing = False

    def fill(found: re.Match[str]) -> str:
        nonlocal missing
        if found[1]:
            return "$"
        value, sign, word = variables.get(found[2] or found[5]), found[3], found[4]
        if sign == "+":
            value = "" if value is None else word
        elif value is None and sign == "-":
            value = word
        missing = missing or value is None
        return value or ""

    filled = _VARIABLE.sub(fill, text)
    return None if missing else filled


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = iter(text.removeprefix("\ufeff").splitlines())
    for line in lines:
        whole = line.strip()
        while whole.endswith("\\"):
            more = next(lines, "").strip()
            whole = whole if more.startswith("#") else f"{whole[:-1]} {more}"
        word, _, rest = whole.partition(" ")
        if not word or word.startswith("#"):
            continue
        if word.upper() in ("RUN", "COPY", "ADD"):
            for end in _HEREDOC.findall(rest):
                for inner in lines:
                    if inner.strip() == end:
                        break
        yield word.upper(), rest.strip()


def _assigned(rest: str) -> Iterator[tuple[str, str | None]]:
    """`NAME=value other="a value"`, the old `NAME value`, or a bare name."""
    pairs = re.findall(r"(\w+)=(\"[^\"]*\"|'[^']*'|\S*)", rest)
    if pairs:
        yield from ((name, value.strip("\"'")) for name, value in pairs)
        return
    name, _, value = rest.partition(" ")
    if name:
        yield name, value.strip() or None


def _ports(text: str) -> Iterator[int]:
    for word in text.split():
        number, _, protocol = word.partition("/")
        number = number.split("-")[0]
        if number.isascii() and number.isdigit() and 1 <= int(number) <= 65535 and protocol.lower() in ("", "tcp"):
            yield int(number)


def _copied(rest: str) -> Iterator[str]:
    if re.search(r"--from[=\s]", rest) or "<<" in rest:
        return
    words = _FLAG.sub("", f"{rest} ").strip()
    try:
        listed = [str(word) for word in json.loads(words)] if words.startswith("[") else words.split()
    except ValueError:
        return
    yield from (word for word in listed[:-1] if "://" not in word and not word.startswith("git@"))


def _of_last(stages: list[_Stage]) -> tuple[int, ...]:
    """The ports of the last stage, or of the nearest stage that it is built on and that has some."""
    named = {stage.name: stage for stage in stages}
    stage, seen = (stages[-1] if stages else None), set[str]()
    while stage and stage.name not in seen:
        if stage.ports:
            return tuple(stage.ports)
        seen.add(stage.name)
        stage = named.get(stage.base)
    return ()
