"""YAML with line numbers and without surprises.

Plain scalars mean what YAML 1.2's core schema says: only true and false are booleans, so `on` and `no` are words; 10:30
and 2026-01-31 are text, not a number of seconds and a date. PyYAML with resolvers of its own:
ruamel.yaml knows YAML 1.2, but builds types of its own, for the sake of comments that nobody writes back here.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import yaml

from tasks.failures.errors import ManifestError

Path = tuple[str | int, ...]  # ("services", "api", "depends_on", 0)


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong at a place of the document."""

    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: plain data and where each part of it stands."""

    data: object
    root: yaml.Node
    repeated: tuple[tuple[int, Flaw], ...]  # keys that a mapping has twice, with their lines

    def line(self, path: Path) -> int:
        """The line (from 1) of the deepest part of `path` that the file has."""
        node, line = self.root, self.root.start_mark.line + 1
        for step in path:
            found = _child(node, step)
            if found is None:
                break
            node, line = found
        return line


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}  # noqa: RUF012 - replaces PyYAML's YAML 1.1 ones, filled below

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        """Every key is text, 1 and true too."""
        self.flatten_mapping(node)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


for _kind, _pattern, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", "-?(0|[1-9][0-9]*)", "-0123456789"),
    ("float", r"-?(0|[1-9][0-9]*)\.[0-9]+", "-0123456789"),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", "<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"(?:{_pattern})$"), list(_first))


def read_yaml(text: str, name: str) -> Document | None:
    """The one document in `text`, None when there is nothing in it; ManifestError when it is not YAML."""
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        repeated = tuple(_repeated(root, (), set()))
        return Document(loader.construct_document(root), root, repeated)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _not_yaml(error, name) from error


def _not_yaml(error: Exception, name: str) -> ManifestError:
    mark = getattr(error, "problem_mark", None)
    place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    reason = getattr(error, "problem", None) or str(error).splitlines()[0]
    return ManifestError(
        f"{place}: not valid YAML: {reason}.",
        "correct the indentation, quotes or brackets there; indent with spaces, never with tabs.",
    )


def _child(node: yaml.Node, step: str | int) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in reversed(node.value):  # of a repeated key the last one counts
            if key.value == str(step):
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        item = node.value[step]
        return item, item.start_mark.line + 1
    return None


def _repeated(node: yaml.Node, path: Path, seen: set[int]) -> Iterator[tuple[int, Flaw]]:
    if id(node) in seen:  # an alias of what was looked at already
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _repeated(item, (*path, index), seen)
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines and name != "<<":
                yield line, Flaw((*path, name), f"this key stands here twice, first on line {lines[name]}")
            lines.setdefault(name, line)
            yield from _repeated(value, (*path, name), seen)
