"""Which packages a lock file names, in which versions. Pure: text in, packages out.

Only what is pinned counts: a range says nothing of what a build takes.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

_PINNED = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*===?\s*([^\s;#\\]+)")
_YARN_HEAD = re.compile(r'^"?(@?[^@"\s]+)@')
_YARN_VERSION = re.compile(r'^\s+version:?\s+"?([^"\s]+)"?')
_GO = re.compile(r"^\s*(?:require\s+)?([^\s()]+\.[^\s()]+)\s+v(\S+)")


@dataclass(frozen=True, slots=True, order=True)
class Locked:
    """A package in one version, in OSV's words: https://ossf.github.io/osv-schema/#affectedpackage-field"""

    ecosystem: str  # PyPI, npm, crates.io, Go
    name: str
    version: str


class Unreadable(ValueError):
    """A lock file that is none."""


def reader(path: str) -> Callable[[str], Iterator[Locked]] | None:
    """What reads the file; None for one that is no lock file."""
    name = PurePosixPath(path).name
    if re.fullmatch(r"requirements([-_.][\w.-]+)?\.(txt|lock)", name):
        return _requirements
    return READERS.get(name)


def packages(path: str, text: str) -> frozenset[Locked]:
    """Raises Unreadable. path: of a file that `reader` knows."""
    read = reader(path)
    assert read, f"{path} is no lock file"
    try:
        return frozenset(read(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unreadable(f"{path} cannot be read as what its name says: {error}") from error


def pypi_name(name: str) -> str:
    """https://packaging.python.org/en/latest/specifications/name-normalization/"""
    return re.sub(r"[-_.]+", "-", name).lower()


def _requirements(text: str) -> Iterator[Locked]:
    for line in text.splitlines():
        if found := _PINNED.match(line):
            yield Locked("PyPI", pypi_name(found[1]), found[2])


def _toml(ecosystem: str) -> Callable[[str], Iterator[Locked]]:
    def read(text: str) -> Iterator[Locked]:
        for each in tomllib.loads(text).get("package", ()):
            if "version" in each and not _is_own(each.get("source")):
                name = pypi_name(each["name"]) if ecosystem == "PyPI" else each["name"]
                yield Locked(ecosystem, name, each["version"])

    return read


def _is_own(source: object) -> bool:
    """Whether uv names a part of the project itself."""
    return isinstance(source, Mapping) and not {"editable", "virtual", "directory"}.isdisjoint(source)


def _pipfile(text: str) -> Iterator[Locked]:
    found = json.loads(text)
    for name, each in {**found.get("develop", {}), **found.get("default", {})}.items():
        if str(each.get("version", "")).startswith("=="):
            yield Locked("PyPI", pypi_name(name), each["version"].lstrip("="))


def _npm(text: str) -> Iterator[Locked]:
    """Versions 2 and 3 list packages by their folder, version 1 dependencies within each other."""
    found = json.loads(text)
    for path, each in found.get("packages", {}).items():
        if "node_modules/" in path and each.get("version") and not each.get("link"):
            yield Locked("npm", each.get("name") or path.rpartition("node_modules/")[2], each["version"])
    if "packages" not in found:
        yield from _npm_within(found.get("dependencies", {}))


def _npm_within(found: Mapping[str, Any]) -> Iterator[Locked]:
    for name, each in found.items():
        yield Locked("npm", name, each["version"])
        yield from _npm_within(each.get("dependencies", {}))


def _yarn(text: str) -> Iterator[Locked]:
    name = ""
    for line in text.splitlines():
        if not line.startswith((" ", "#")) and line.strip():
            head = _YARN_HEAD.match(line)
            name = head[1] if head else ""
        elif name and (found := _YARN_VERSION.match(line)):
            yield Locked("npm", name, found[1])
            name = ""


def _go(text: str) -> Iterator[Locked]:
    for line in text.splitlines():
        if (found := _GO.match(line.partition("//")[0])) and not line.lstrip().startswith(("module", "replace")):
            yield Locked("Go", found[1], found[2])


READERS: dict[str, Callable[[str], Iterator[Locked]]] = {
    "Cargo.lock": _toml("crates.io"),
    "Pipfile.lock": _pipfile,
    "go.mod": _go,
    "npm-shrinkwrap.json": _npm,
    "package-lock.json": _npm,
    "poetry.lock": _toml("PyPI"),
    "uv.lock": _toml("PyPI"),
    "yarn.lock": _yarn,
}
