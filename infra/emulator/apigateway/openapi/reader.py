"""What the two versions of OpenAPI have in common: paths, operations, and what these ask of their callers."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

from infra.emulator.apigateway.openapi import templates
from infra.emulator.apigateway.openapi.extensions import BACKEND
from infra.emulator.apigateway.openapi.refusal import UNKNOWN, Refused
from infra.emulator.apigateway.openapi.surface import Backend, KeyPlace, Operation, Provider, Surface

VERBS = ("get", "head", "delete", "patch", "post", "put", "options")


class Reader(ABC):
    """One document; what the versions differ in, subclasses say."""

    def __init__(self, file: str, document: dict[str, Any]) -> None:
        self.file, self.document = file, document
        self._errors: list[tuple[str, str]] = []

    def surface(self, taken: dict[str, str]) -> Surface:
        """`taken`: the operationIds of all of a config's documents, by the methods they make. Raises Refused."""
        default = self._default()
        operations = [
            made
            for path, item in sorted(self.document["paths"].items())
            if not path.startswith("x-")
            for made in self._of_path(path, item, default, taken)
        ]
        self._check_shapes(operations)
        if self._errors:
            raise Refused(self._errors)
        fallback = Operation("", "", "/**", default) if self.allows_all() else None
        title = str(self.document["info"].get("title", ""))
        return Surface(title, operations, fallback, self.allows_cors())

    @abstractmethod
    def base_path(self) -> str:
        """What stands before each of its paths."""

    @abstractmethod
    def default_backend(self) -> Backend | None:
        """Of operations that name none."""

    @abstractmethod
    def backend_of(self, operation: Mapping[str, Any], where: str) -> Backend | None:
        """Its own one; None if the document's is to carry it out."""

    @abstractmethod
    def key(self, name: str) -> KeyPlace | None:
        """Where the security scheme of this name looks for a key; None if it is of another kind."""

    @abstractmethod
    def provider(self, name: str) -> Provider | None:
        """Whose tokens the security scheme of this name takes; None if it is of another kind."""

    def allows_all(self) -> bool:
        return False

    def allows_cors(self) -> bool:
        return False

    def check_requirement(self, name: str, where: str) -> None:  # noqa: B027 - a version that asks nothing of it need not say so
        """Of a security scheme that an operation names."""

    def complain(self, error: Refused) -> None:
        self._errors += error.errors

    def _default(self) -> Backend | None:
        try:
            return self.default_backend()
        except Refused as error:
            self.complain(error)
            return None

    def _of_path(
        self, path: str, item: Mapping[str, Any], default: Backend | None, taken: dict[str, str]
    ) -> Iterator[Operation]:
        if BACKEND in item:
            what = f"Extension {BACKEND} was specified at a path level, which is not supported."
            self._errors.append((f"{self.file}: Path '{path}'", what))
        for verb in VERBS:
            if verb in item:
                try:
                    yield self._operation(verb, path, item[verb], default, taken)
                except Refused as error:
                    self.complain(error)

    def _operation(
        self, verb: str, path: str, said: Mapping[str, Any], default: Backend | None, taken: dict[str, str]
    ) -> Operation:
        where = f"{self.file}: Operation '{verb}' in path '{path}'"
        name, whole = self._name(said, where, taken), self.base_path() + path
        try:
            templates.check(whole)
        except templates.Unparsable as error:
            raise Refused([(UNKNOWN, f"http: In path template '{whole}': {error}")]) from error
        requirements = said.get("security", self.document.get("security", []))
        for each in (each for requirement in requirements for each in requirement):
            self.check_requirement(each, where)
        return Operation(
            name,
            verb.upper(),
            whole,
            self.backend_of(said, where) or default,
            self._keys(requirements),
            tuple(found for requirement in requirements for each in requirement if (found := self.provider(each))),
        )

    @staticmethod
    def _name(said: Mapping[str, Any], where: str, taken: dict[str, str]) -> str:
        given = str(said.get("operationId") or "")
        if not given:
            what = "Operation does not have the required 'operationId' field. Please specify unique value for "
            raise Refused([(where, f"{what}'operationId' field for all operations.")])
        plain = re.sub(r"[^a-zA-Z0-9_]", "", given)
        method = plain[:1].upper() + plain[1:]
        if (other := taken.get(method)) is not None:
            raise Refused([(where, f"operationId '{given}' has duplicate entry{_clash(other, given, method)}")])
        taken[method] = given
        return given

    def _keys(self, requirements: Any) -> tuple[KeyPlace, ...]:
        """An API key must be given if each of the alternatives asks for one."""
        alternatives = [[found for name in each if (found := self.key(name))] for each in requirements]
        return tuple(place for each in alternatives for place in each) if all(alternatives) else ()

    def _check_shapes(self, operations: list[Operation]) -> None:
        seen: dict[tuple[str, str], Operation] = {}
        for operation in operations:
            first = seen.setdefault((operation.verb, operation.shape()), operation)
            if first is not operation:
                what = f"http: http pattern '{operation.path}' conflicts with '{first.path}' of '{first.name}'."
                self._errors.append((UNKNOWN, what))


def _clash(other: str, given: str, method: str) -> str:
    """What else there is to say of two operationIds that are not the same."""
    if other == given:
        return ""
    return (
        f". Duplicate operationId found is '{other}'. The two operationIds result into same underlying method name "
        f"'{method}'. Please use unique values for operationId"
    )
