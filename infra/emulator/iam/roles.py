"""Predefined IAM roles and the permissions they contain; the table itself is roles.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Role:
    name: str  # roles/run.admin
    title: str
    permissions: frozenset[str]


@cache
def _table() -> dict[str, dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    table: dict[str, dict[str, Any]] = yaml.load(Path(__file__).with_suffix(".yaml").read_text(), loader)  # noqa: S506
    return table


@cache
def permissions() -> frozenset[str]:
    """Every permission of the emulated services."""
    families = _table()["families"].items()
    return frozenset(f"{family}.{verb}" for family, verbs in families for verb in verbs.split())


@cache
def predefined() -> dict[str, Role]:
    """Every predefined role by its name."""
    return {f"roles/{name}": _role(f"roles/{name}", **entry) for name, entry in _table()["roles"].items()}


def _role(name: str, title: str, permissions: str, **entry: str) -> Role:
    return Role(name, title, _matching(permissions) - _matching(entry.get("except", "")))


def _matching(text: str) -> frozenset[str]:
    """The known permissions that any of the patterns in `text` means."""
    patterns = re.compile("|".join(translate(pattern) for pattern in _patterns(text.split())) or r"(?!)")
    return frozenset(filter(patterns.match, permissions()))


def _patterns(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        if word.startswith("+"):
            yield from _patterns(_table()["groups"][word[1:]].split())
        else:
            yield word
