"""Plans, journals and memories that an earlier version saved in a bucket stay readable, and are written alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from tasks.cleanup.engine.recheck import from_json, to_json
from tasks.cleanup.journal import ENTRIES
from tasks.cleanup.kinds.registry import KINDS
from tasks.cleanup.memory import MEMORY
from tasks.failures.catalogue.permissions import role_for

SAVED = Path(__file__).parent / "saved"


def test_a_saved_plan_is_read_and_written_to_the_letter() -> None:
    """Its digest is what an approval refers to."""
    text = (SAVED / "plan.json").read_bytes()
    assert to_json(from_json(text)) == text


def test_a_saved_plan_names_every_kind_that_there_was_by_the_word_that_it_still_has() -> None:
    plan = from_json((SAVED / "plan.json").read_bytes())
    actions = {(each.kind, action) for each in KINDS for action in (each.traits.first, "delete")}
    assert {(step.item.kind, step.action) for step in plan.steps} <= actions


@pytest.mark.parametrize(("name", "values"), [("journal", ENTRIES), ("memory", MEMORY)])
def test_what_else_is_saved_is_read_and_written_alike(name: str, values: TypeAdapter[object]) -> None:
    saved = json.loads((SAVED / f"{name}.json").read_text())
    assert values.dump_python(values.validate_python(saved, strict=False), mode="json") == saved


def test_an_error_that_names_a_permission_of_clean_up_names_its_role() -> None:
    assert {need.permission: role_for(need.permission) for each in KINDS for need in each.needs} == {
        need.permission: need.role for each in KINDS for need in each.needs
    }
