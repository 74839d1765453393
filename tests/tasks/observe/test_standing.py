"""How a run that is over stands, from what Prefect says of it."""

from __future__ import annotations

from uuid import UUID

import pytest

from tasks.observe.kept import Made, RunSaid
from tasks.observe.standing import LONGEST, shown, standing_of

RUN = RunSaid(id=UUID(int=7), name="shop v1.0.0 -> production", state="Completed", tags=("app:shop", "environment:eu"))


@pytest.mark.parametrize(
    ("state", "status", "progress"),
    [
        ("Completed", "completed", 100.0),
        ("Failed", "failed", None),
        ("Crashed", "crashed", None),
        ("TimedOut", "failed", None),
    ],
)
def test_a_run_that_has_not_ended_well_stays_where_it_was(state: str, status: str, progress: float | None) -> None:
    found = standing_of(RUN.model_copy(update={"state": state}))
    assert (found.status, found.progress, found.app, found.environment) == (status, progress, "shop", "eu")


def test_what_it_is_about_may_be_unknown() -> None:
    found = standing_of(RUN.model_copy(update={"tags": ()}))
    assert (found.app, found.environment) == (None, None)


@pytest.mark.parametrize(("longer", "whole"), [(0, True), (1, False)])
def test_an_artifact_that_is_too_long_for_a_document_says_so(longer: int, whole: bool) -> None:
    data = "x" * (LONGEST + longer)
    assert (shown(Made(key="a", data=data)).data == data) is whole
