"""Finds the generated parts of the pages and makes them anew."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from docs.generators.benchmarks import benchmarks
from docs.generators.commands import commands
from docs.generators.parameters import parameters
from docs.generators.roles import cleanup_roles, deployer_roles, kept_roles, provision_roles
from docs.generators.settings import settings

DOCS = Path(__file__).parent.parent
_PART = re.compile(r"(<!-- generated: (?P<name>\S+)(?: (?P<of>\S+))? -->\n).*?(<!-- end -->)", re.DOTALL)

# What may stand after `generated:`, with or without the name of what it is about.
PARTS: dict[str, Callable[[str], str]] = {
    "benchmarks": lambda _: benchmarks(),
    "cleanup-roles": lambda _: cleanup_roles(),
    "commands": lambda _: commands(),
    "kept-roles": lambda _: kept_roles(),
    "parameters": parameters,
    "provision-roles": lambda _: provision_roles(),
    "roles": lambda _: deployer_roles(),
    "settings": settings,
}


def refreshed(page: str) -> str:
    """The page with its generated parts as the code says now. KeyError for a part that nobody makes."""
    return _PART.sub(lambda found: f"{found[1]}\n{PARTS[found['name']](found['of'] or '').strip()}\n\n{found[4]}", page)


def parts_of(page: str) -> list[tuple[str, str]]:
    """What a page has generated, each by name and by what it is about."""
    return [(found["name"], found["of"] or "") for found in _PART.finditer(page)]


def pages() -> list[Path]:
    return sorted(DOCS.rglob("*.md"))


def rewrite() -> Iterator[str]:
    """Brings every page up to date; yields the paths of those that were not."""
    for path in pages():
        old = path.read_text()
        new = refreshed(old)
        if new != old:
            path.write_text(new)
            yield str(path.relative_to(DOCS))
