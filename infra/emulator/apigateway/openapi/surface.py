"""What a gateway knows of an API: its operations, what each asks of its callers, and where each is carried out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode, urlsplit

DEADLINE_S = 15.0  # https://cloud.google.com/api-gateway/docs/oasv2-extensions#deadline
VARIABLE = re.compile(r"\{([^}=]+)(?:=([^}]*))?\}|(\*\*?)")


@dataclass(frozen=True, slots=True)
class Backend:
    address: str
    constant: bool  # the address as it is, or with the path of the request appended
    audience: str  # of the ID token that goes along; '' for none
    deadline_s: float = DEADLINE_S

    def url(self, path: str, query: str, variables: Mapping[str, str]) -> str:
        """https://cloud.google.com/api-gateway/docs/passing-data#backend-url"""
        address = self.address.rstrip("/") + path
        if self.constant:
            address, query = self.address, "&".join(filter(None, (query, urlencode(variables))))
        joint = "&" if urlsplit(address).query else "?"
        return f"{address}{joint}{query}" if query else address


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """Where a caller may put an API key: https://cloud.google.com/api-gateway/docs/openapi-overview"""

    name: str
    where: str  # header or query


@dataclass(frozen=True, slots=True)
class Provider:
    """Who signs the tokens that an operation asks for."""

    issuer: str
    audiences: tuple[str, ...]
    jwks_uri: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    name: str
    verb: str
    path: str  # template: /pets/{id}
    backend: Backend | None
    keys: tuple[KeyPlace, ...] = ()  # none: callers need no API key
    providers: tuple[Provider, ...] = ()  # none: callers need no token

    def shape(self) -> str:
        """Two paths of one shape take the same requests."""
        return VARIABLE.sub(lambda found: found[2] or found[3] or "*", self.path)


@dataclass(frozen=True)
class Surface:
    title: str
    operations: Sequence[Operation]
    fallback: Operation | None = None  # carries out what is no operation, where that is allowed
    cors: bool = False
    _patterns: list[tuple[re.Pattern[str], tuple[str, ...], Operation]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        for operation in sorted(self.operations, key=_generality):
            self._patterns.append((*_compiled(operation.path), operation))

    def match(self, verb: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        for operation, variables in self._fitting(path):
            if operation.verb == verb:
                return operation, variables
        return (self.fallback, {}) if self.fallback else None

    def template(self, path: str) -> str:
        """Of an operation with another verb; '' where there is none."""
        return next((operation.path for operation, _ in self._fitting(path)), "")

    def unguarded(self, path: str) -> tuple[Operation, dict[str, str]] | None:
        """The operation at that path, whatever its verb, as if it asked nothing of its callers."""
        found = next(self._fitting(path), None)
        return (replace(found[0], keys=(), providers=()), found[1]) if found else None

    def _fitting(self, path: str) -> Iterator[tuple[Operation, dict[str, str]]]:
        for pattern, names, operation in self._patterns:
            if found := pattern.fullmatch(path):
                yield operation, dict(zip(names, found.groups(), strict=True))


def merged(surfaces: Sequence[Surface]) -> Surface:
    """Of several documents, which together describe one API; the last one names it."""
    return Surface(
        surfaces[-1].title,
        [operation for surface in surfaces for operation in surface.operations],
        next((surface.fallback for surface in surfaces if surface.fallback), None),
        any(surface.cors for surface in surfaces),
    )


def _generality(operation: Operation) -> tuple[tuple[int, str], ...]:
    """Sorts what is written out before what may be anything, segment by segment."""
    ranks = {"*": 1, "**": 2}
    return tuple((ranks.get(segment, 0), segment) for segment in operation.shape().split("/"))


def _compiled(path: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """What the path matches, and the names of its variables, a group each."""
    text, names, position = "", [], 0
    for found in VARIABLE.finditer(path):
        inner = _wildcards(found[2] or found[3] or "*")
        text += re.escape(path[position : found.start()]) + (f"({inner})" if found[1] else inner)
        names += [found[1]] if found[1] else []
        position = found.end()
    return re.compile(f"{text}{re.escape(path[position:])}/?"), tuple(names)


def _wildcards(text: str) -> str:
    return re.escape(text).replace(r"\*\*", ".*").replace(r"\*", "[^/]+")
