"""What production code imports is declared in pyproject.toml: a package that only another one brings may go with it."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent
OURS = ("api", "cli", "flows", "tasks", "infra", "deployments")
# Declared for a reason other than an import of ours: one holds a dependency of Prefect's back, one is data, one is what
# google-api-core reads the details of errors with, if it is there, one the settings of Prefect's servers name, and one
# has httplib2 mind proxies, which Prefect's worker for Cloud Run needs.
NOT_IMPORTED = {"grpcio-status", "prefect-redis", "pysocks", "sqlalchemy", "tzdata"}


def normal(name: str) -> str:
    """As https://packaging.python.org/en/latest/specifications/name-normalization/ says."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {normal(re.split(r"[^\w.-]", each)[0]) for each in project["dependencies"]}


def owners() -> dict[str, set[str]]:
    """By module: the distributions that install it. Several share the namespace `google`, so each file counts."""
    found: dict[str, set[str]] = defaultdict(set)
    for distribution in distributions():
        for file in distribution.files or ():
            if file.suffix in (".py", ".so"):
                parts = [*file.parts[:-1], file.name.split(".")[0]]
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)].add(normal(distribution.name))
    return found


def imported(path: Path) -> Iterator[str]:
    """With the name that is taken from the module: it may be a module itself."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{each.name}" for each in node.names)


@cache
def used() -> dict[str, str]:
    """By distribution, or by module where none is known: a file of ours that imports it."""
    known, found = owners(), dict[str, str]()
    for path in (path for folder in OURS for path in sorted((ROOT / folder).rglob("*.py"))):
        for name in imported(path):
            if name.split(".")[0] in {*sys.stdlib_module_names, *OURS}:
                continue
            module = name
            while module and module not in known:
                module = module.rpartition(".")[0]
            found |= dict.fromkeys(known.get(module, {name}), str(path.relative_to(ROOT)))
    return found


def test_every_package_that_production_code_imports_is_declared() -> None:
    assert not {name: path for name, path in used().items() if name not in declared()}


def test_every_declared_package_is_imported_or_kept_for_a_reason_that_is_said() -> None:
    assert declared() - used().keys() == NOT_IMPORTED


def test_every_declared_package_is_in_the_lock() -> None:
    locked = {
        normal(line.split("==")[0]) for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line
    }
    assert not declared() - locked


def test_no_package_that_we_install_has_a_name_of_ours() -> None:
    """Who comes first on the path hides the other."""
    found = packages_distributions()
    assert {name: found[name] for name in OURS if set(map(normal, found.get(name, ()))) - {"slipway"}} == {}
