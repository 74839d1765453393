"""What of requirements.lock the image needs: `python -m deployments.image.lock` writes it beside this file.

The lock holds what development takes, too. Here is what the project's dependencies ask for, and what those ask for,
for whatever platform.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FILE = Path(__file__).parent / "requirements.lock"
_REQUIREMENT = re.compile(r"([\w.-]+)\s*(?:\[([^]]*)\])?")  # https://peps.python.org/pep-0508/
_EXTRA = re.compile(r"""extra\s*==\s*["']([\w.-]+)["']""")


def needed() -> str:
    """The lines of those packages, with their hashes, as they are in requirements.lock."""
    entries = locked()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked, seen = [requirement(each) for each in project["dependencies"]], set[tuple[str, frozenset[str]]]()
    while asked:
        name, extras = asked.pop()
        if name in entries and (name, extras) not in seen:
            seen.add((name, extras))
            asked += dependencies(name, extras)
    names = {name for name, _ in seen}
    return "".join(entry for name, entry in entries.items() if name in names)


def locked() -> dict[str, str]:
    """By name: an entry of requirements.lock."""
    text = (ROOT / "requirements.lock").read_text()
    return {
        _normal(entry.partition("==")[0]): entry for entry in re.split(r"^(?=\S)", text, flags=re.MULTILINE) if entry
    }


def requirement(said: str) -> tuple[str, frozenset[str]]:
    """Name and extras: uvicorn[standard]>=0.14 is uvicorn and standard."""
    found = _REQUIREMENT.match(said)
    assert found, said
    return _normal(found[1]), frozenset(_normal(each) for each in (found[2] or "").split(",") if each.strip())


def dependencies(name: str, extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    """Of a package with these extras. One that is for another system is not installed here, and has none that count."""
    try:
        said = requires(name) or []
    except PackageNotFoundError:
        return []
    return [requirement(each) for each in said if not (extra := _EXTRA.search(each)) or _normal(extra[1]) in extras]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


if __name__ == "__main__":
    FILE.write_text(needed())
