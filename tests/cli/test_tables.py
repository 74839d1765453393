"""Tables are read on narrow terminals too."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.tables import lines, too_wide

ROWS = [
    {"version": "v1.4.0", "state": "failed", "by": "ada@example.com", "reason": "At 5 % the release is UNHEALTHY: api"},
    {"version": "v1.3.0", "state": "released", "by": "schedule", "reason": ""},
]


def test_where_there_is_room_it_is_a_table() -> None:
    assert list(lines(ROWS, 100)) == [
        "version  state     by               reason",
        "v1.4.0   failed    ada@example.com  At 5 % the release is UNHEALTHY: api",
        "v1.3.0   released  schedule",
    ]


def test_what_has_no_room_beside_the_rest_is_said_below_its_row() -> None:
    assert list(lines(ROWS, 40)) == [
        "version  state     by",
        "v1.4.0   failed    ada@example.com",
        "    reason: At 5 % the release is",
        "      UNHEALTHY: api",
        "v1.3.0   released  schedule",
    ]


@pytest.mark.parametrize(
    ("width", "below"), [(100, []), (60, ["c"]), (36, ["b", "c"]), (10, ["b", "c"])], ids=["all", "c", "b, c", "narrow"]
)
def test_the_widest_go_first_and_narrow_ones_stay(width: int, below: list[str]) -> None:
    assert too_wide({"a": 10, "b": 30, "c": 40}, width) == below


@given(st.lists(st.fixed_dictionaries({"a": st.text("xy z", max_size=60), "b": st.text("xy z")}), min_size=1))
def test_nothing_that_is_said_is_lost(rows: list[dict[str, str]]) -> None:
    shown = "".join("".join(lines(rows, 40)).split())
    assert all("".join(value.split()) in shown for row in rows for value in row.values())
