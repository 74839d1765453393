"""What in every flow comes before what."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOOKS_ONLY = "doctor"


def calls() -> Iterator[tuple[str, list[str]]]:
    """Of each function of the flows and of what drift ships: what it calls by name, in the order of the text."""
    for path in (*(ROOT / "flows").glob("*.py"), *(ROOT / "tasks/drift").glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.AsyncFunctionDef):
                found = [each for each in ast.walk(function) if isinstance(each, ast.Call)]
                found.sort(key=lambda each: (each.lineno, each.col_offset))
                yield function.name, [each.func.id for each in found if isinstance(each.func, ast.Name)]


def test_whoever_ships_closes_what_a_killed_clean_up_left_open_before_preflight_refuses_it() -> None:
    ships = {name: made for name, made in calls() if "preflight" in made and name != LOOKS_ONLY}
    assert {"deploy", "promote", "ship_again"} <= set(ships)
    assert not [name for name, made in ships.items() if "close_own" not in made[: made.index("preflight")]]
