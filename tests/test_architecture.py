"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAX_LINES = 350
MAX_FUNCTION_LINES = 35

# What each layer may import of this project is for import-linter (`make lint`); this is what it may name in a string.
LAYERS = {
    "api": {"api", "deployments", "flows", "tasks"},
    "cli": {"cli", "flows", "tasks"},
    "flows": {"flows", "tasks"},
    "tasks": {"tasks", "infra.gcp", "infra.terraform"},
    "infra/gcp": {"infra.gcp"},
    "infra/terraform": {"infra.terraform"},
    "infra/emulator": {"infra.emulator"},
    "deployments": {"flows", "tasks", "deployments"},
}
# What a layer may besides start as a process or load when it is asked for: modules it names in a string, past imports.
STARTS = {"cli": {"infra.emulator", "infra.emulator.cli", "deployments.warm.zygote", "api.app"}}
OURS = ("api", "cli", "flows", "tasks", "infra", "deployments", "examples", "tests")


def files(layer: str) -> list[Path]:
    return sorted((ROOT / layer).rglob("*.py"))


def production() -> list[Path]:
    return [path for layer in LAYERS for path in files(layer)]


def named(path: Path) -> Iterator[str]:
    """Modules of ours that stand in strings: `infra.emulator` after python -m, `cli.history:status_command`."""
    pattern = re.compile(rf"((?:{'|'.join(OURS)})(?:\.\w+)+)(?::\w+)?")
    for node in ast.walk(ast.parse(path.read_text())):
        found = isinstance(node, ast.Constant) and isinstance(node.value, str) and pattern.fullmatch(node.value)
        if found and is_there(*found[1].split(".")[:2]):
            yield found[1]


def is_there(layer: str, name: str) -> bool:
    """`api.name` may also be a field of a message of Google's."""
    return (ROOT / layer / name).is_dir() or (ROOT / layer / f"{name}.py").is_file()


def inside(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_names_only_the_layers_below_it_and_what_it_may_start(layer: str) -> None:
    allowed = LAYERS[layer]
    wrong = [
        f"{path.relative_to(ROOT)} names {name}"
        for path in files(layer)
        for name in named(path)
        if not inside(name, allowed) and name not in STARTS.get(layer, ())
    ]
    assert not wrong


def test_production_code_never_mentions_the_emulator() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for layer in ("flows", "tasks", "infra/gcp", "infra/terraform")
        for path in files(layer)
        if "emulator" in path.read_text().lower()
    ]
    assert not wrong


@pytest.mark.parametrize(
    "package", [path.parent for path in files("tasks") + files("infra") if path.name == "__init__.py"]
)
def test_a_room_says_what_it_is_and_hands_nothing_on(package: Path) -> None:
    body = ast.parse((package / "__init__.py").read_text()).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)


def test_only_what_crosses_rooms_stands_beside_them() -> None:
    assert {path.name for path in (ROOT / "tasks").glob("*.py")} == {"__init__.py", "model.py"}


def test_the_local_cloud_says_in_which_order_its_rooms_are_as_the_linter_holds_it() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (held,) = (each["layers"] for each in contracts if each.get("containers") == ["infra.emulator"])
    doc = ast.get_docstring(ast.parse((ROOT / "infra/emulator/__init__.py").read_text())) or ""
    said = [set(line.strip().split(", ")) for line in doc.splitlines() if line.startswith("    ")]
    assert said == [set(layer.split(" | ")) for layer in held[-len(said) :]]
    assert "services" in held[: -len(said)]


def test_flows_define_no_classes() -> None:
    for path in files("flows"):
        assert not [n.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ClassDef)], path


def test_no_file_is_about_too_much() -> None:
    everything = [path for folder in (*OURS, "benchmarks", "docs") for path in files(folder)]
    long = {str(p.relative_to(ROOT)): n for p in everything if (n := len(p.read_text().splitlines())) > MAX_LINES}
    assert not long


def test_no_function_is_too_long() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in production()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert not long


def test_tests_patch_nothing() -> None:
    words = ("Magic" + "Mock", "mock." + "patch", "monkeypatch." + "setattr", "unittest." + "mock")
    wrong = [str(path.relative_to(ROOT)) for path in files("tests") if any(word in path.read_text() for word in words)]
    assert not wrong


def test_the_lock_names_no_index_and_every_package_has_hashes() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert not [line for line in lines if "://" in line or line.startswith("-")]
    packages = [index for index, line in enumerate(lines) if "==" in line]
    assert packages
    assert all("--hash=sha256:" in lines[index + 1] for index in packages)
