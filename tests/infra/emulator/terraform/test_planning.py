"""What is planned: values in, values out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.emulator.terraform.planning import ATTRIBUTION, label, normal, planned, replacing, same
from infra.emulator.terraform.schema import (
    LABELS,
    Attribute,
    Block,
    Nested,
    State,
    computed,
    either,
    hollow,
    new,
    optional,
)  # fmt: skip
from infra.emulator.terraform.wire import UNKNOWN, pack, unpack

INNER = Block({"size": optional("number"), "kind": new()})
BLOCK = Block(
    {
        "name": new(),
        "note": optional(),
        "zone": new(fold=str.upper),
        "on": optional("bool", default=True),
        "seen": computed(),
        "place": either(force_new=True),
        "secret": optional(write_only=True),
        "tags": optional("set"),
        "part": Nested(INNER),
    }
)
TEXT = st.none() | st.text(max_size=3)
PART = st.fixed_dictionaries({"size": st.none() | st.integers(0, 9), "kind": st.text(min_size=1, max_size=2)})
STATES = st.fixed_dictionaries(
    {
        "name": st.text(min_size=1, max_size=3),
        "note": TEXT,
        "zone": st.sampled_from(["eu", "EU", "us"]),
        "on": st.none() | st.booleans(),
        "seen": TEXT,
        "place": TEXT,
        "secret": TEXT,
        "tags": st.none() | st.lists(st.sampled_from("abc"), unique=True),
        "part": st.lists(PART, max_size=2),
    }
)


@given(STATES)
def test_what_is_there_and_wanted_again_is_not_changed(wanted: State) -> None:
    made = planned(BLOCK, None, wanted)
    there = {name: "said by the cloud" if value is UNKNOWN else value for name, value in made.items()}
    proposed = {**wanted, "seen": there["seen"], "place": there["place"]}
    again = planned(BLOCK, there, proposed)
    assert again == there
    assert not list(replacing(BLOCK, there, again))


@given(STATES, STATES)
def test_what_is_only_written_is_in_no_plan(before: State, after: State) -> None:
    assert planned(BLOCK, None, after)["secret"] is None
    assert planned(BLOCK, {**before, "secret": None}, after)["secret"] is None


@given(STATES, STATES)
def test_another_name_is_another_resource_and_another_note_is_not(before: State, after: State) -> None:
    plan = planned(BLOCK, before, after)
    paths = [path[0] for path in replacing(BLOCK, before, plan)]
    assert ("name" in paths) == (before["name"] != after["name"])
    assert ("zone" in paths) == (before["zone"].upper() != after["zone"].upper())
    assert "note" not in paths


@given(STATES)
def test_a_plan_survives_the_wire(wanted: State) -> None:
    plan = planned(BLOCK, None, wanted)
    assert unpack(pack(plan)) == plan


@pytest.mark.parametrize("value", [None, "", [], {}, False, 0, {"a": None}, {"a": [], "b": {"c": ""}}])
def test_nothing_is_said_in_many_ways(value: Any) -> None:
    assert same(Attribute("map"), None, value)
    assert not normal(value)


def test_what_the_cloud_says_is_not_known_when_something_is_made() -> None:
    plan = planned(BLOCK, None, hollow(BLOCK) | {"name": "a", "zone": "eu"})
    assert plan["seen"] is plan["place"] is UNKNOWN
    assert plan["on"] is True
    assert plan["part"] == []


def test_a_block_says_where_it_makes_another_resource() -> None:
    before = {"name": "a", "part": [{"size": 1, "kind": "x"}, {"size": 1, "kind": "y"}]}
    after = {"name": "a", "part": [{"size": 2, "kind": "x"}, {"size": 1, "kind": "z"}]}
    assert list(replacing(BLOCK, before, after)) == [("part", 1, "kind")]


LABELLED = Block({**LABELS})


@pytest.mark.parametrize(
    ("prior", "own", "effective"),
    [
        (None, {"a": "1"}, {"a": "1", "cost": "web", **ATTRIBUTION}),
        (None, None, {"cost": "web", **ATTRIBUTION}),
        ({"terraform_labels": {"a": "1"}, "effective_labels": {"a": "1", "z": "9"}}, {"a": "2"},
         {"a": "2", "cost": "web", "z": "9"}),
        ({"terraform_labels": {"a": "1", **ATTRIBUTION}, "effective_labels": {"a": "1", **ATTRIBUTION}}, {},
         {"cost": "web", **ATTRIBUTION}),
        ({"terraform_labels": None, "effective_labels": {"a": "0", "z": "9"}}, {"a": "1"},
         {"a": "1", "cost": "web", "z": "9"}),
    ],
    ids=["made", "made without", "changed", "taken away", "adopted"],
)  # fmt: skip
def test_labels_are_the_resources_the_providers_and_those_of_others(
    prior: State | None, own: dict[str, str] | None, effective: dict[str, str]
) -> None:
    state: State = {"labels": own}
    label(state, prior, {"cost": "web"}, attribution=True)
    assert state["effective_labels"] == effective


def test_labels_that_are_not_known_yet_are_not_guessed() -> None:
    state: State = {"labels": {"a": UNKNOWN}}
    label(state, None, {}, attribution=True)
    assert state["effective_labels"] is state["terraform_labels"] is UNKNOWN
