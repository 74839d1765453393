"""The tree of errors is whole, as it is drawn, and safe to hand on."""

from __future__ import annotations

import ast
import builtins
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.failures import errors
from tasks.failures.cause import Cause, Transient
from tasks.failures.errors import SlipwayError

ROOT = Path(__file__).parents[3]
PRODUCTION = ("cli", "flows", "tasks", "deployments", "infra/gcp")
HOME = "tasks/failures/errors.py"
RAW = "infra/gcp/calls/errors.py"  # GoogleError, which `to_slipway` makes a SlipwayError
CAUGHT = {"DecidedAgainst", "Unreadable", "OsvError", "NotGenuine"}  # words between two modules, which nobody else sees
KINDS = SlipwayError.__subclasses__()
TOKEN = "ghp_" + "a1B2" * 9


def drawn(kind: type[SlipwayError], indent: str = "") -> Iterator[str]:
    below = kind.__subclasses__()
    width = max((len(each.__name__) for each in below), default=0) + 2
    for each in below:
        last = each is below[-1]
        yield f"{indent}{'└' if last else '├'}── {each.__name__:<{width}}{each.__doc__}"
        yield from drawn(each, f"{indent}{' ' if last else '│'}   ")


def trees(*besides: str) -> Iterator[tuple[str, ast.AST]]:
    for layer in (*PRODUCTION, *besides):
        for path in sorted((ROOT / layer).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                yield str(path.relative_to(ROOT)), node


def is_error(name: str) -> bool:
    known = getattr(builtins, name, None) or getattr(errors, name, None)
    return isinstance(known, type) and issubclass(known, BaseException)


def test_the_tree_is_drawn_as_the_classes_are() -> None:
    assert errors.__doc__
    text = errors.__doc__.split("\n\n")[1]
    assert text.splitlines() == ["SlipwayError", *drawn(SlipwayError)]


def test_every_error_of_production_code_stands_in_the_tree() -> None:
    elsewhere = [
        f"{path}: {node.name}"
        for path, node in trees()
        if isinstance(node, ast.ClassDef) and path not in (HOME, RAW) and node.name not in CAUGHT
        if any(is_error(ast.unparse(base).rpartition(".")[2]) for base in node.bases)
    ]
    assert not elsewhere


def test_what_is_no_kind_is_caught_by_its_name() -> None:
    handlers = [node for _, node in trees("api") if isinstance(node, ast.ExceptHandler) and node.type]
    caught = {each.id for node in handlers for each in ast.walk(node) if isinstance(each, ast.Name)}
    assert caught >= CAUGHT


def test_what_is_raised_is_one_of_the_kinds() -> None:
    bare = [
        f"{path}:{node.lineno}"
        for path, node in trees()
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "SlipwayError"
    ]
    assert not bare


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_says_when_it_is_raised_what_to_do_and_how_the_world_is(kind: type[SlipwayError]) -> None:
    error = kind("It is broken.")
    assert kind.__doc__
    assert kind.__doc__.endswith(".")
    assert error.remedy.endswith(".")
    assert error.state.endswith(".")
    assert str(error).splitlines() == ["It is broken.", f"To fix: {error.remedy}", error.state]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_survives_pickling(kind: type[SlipwayError]) -> None:
    error = kind("It is broken.", "mend it.", Cause.NETWORK, "https://example.com", "As before.", Transient.MAYBE)
    for made in (error, kind("It is broken.")):
        again = pickle.loads(pickle.dumps(made))
        assert type(again) is kind
        assert vars(again) == vars(made)
        assert str(again) == str(made)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_kind_shows_a_secret(kind: type[SlipwayError]) -> None:
    said = f"see {TOKEN}."
    error = kind(said, said, link=f"https://example.com/{TOKEN}", state=said)
    shown = f"{error}{error!r}{error.args}{vars(error)}{pickle.dumps(error)!r}"
    assert TOKEN not in shown
    assert "***" in shown


def test_what_is_raised_may_say_more_than_its_kind() -> None:
    error = errors.BuildFailed("It is broken.", "mend it.", Cause.PERMISSION, state="Half of it is there.")
    assert (error.remedy, error.cause, error.state) == ("mend it.", Cause.PERMISSION, "Half of it is there.")
