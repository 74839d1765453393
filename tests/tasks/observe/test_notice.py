"""What people are told of a run that has ended."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.history.record import ReleaseRecord, State
from tasks.model import Outcome
from tasks.observe.notice import LONGEST, Kind, kind_of, notice_of
from tests.tasks.observe.test_figures import release


def failed(outcome: str = "untouched", **more: Any) -> ReleaseRecord:
    return release("v2", 1, state="failed", outcome=outcome, reason="GET / answered 500", trigger="ada", **more)


@pytest.mark.parametrize(
    ("record", "before", "kind"),
    [
        (release("v1", 1), None, Kind.RELEASED),
        (release("v3", 2), failed(), Kind.RECOVERED),
        (release("v1", 2, action="rollback", left="v2"), release("v2", 1), Kind.ROLLED_BACK),
        (failed(), None, Kind.FAILED),
        (failed("taken back"), None, Kind.TAKEN_BACK),
        (failed("escalated"), None, Kind.ESCALATED),
        (failed("failed"), None, Kind.ESCALATED),  # its traffic could not be given back: the record is open
        (failed("being given back"), None, Kind.ESCALATED),
        (release("v2", 1, state="cancelled"), None, Kind.CANCELLED),
    ],
)
def test_the_record_tells_how_it_ended(record: ReleaseRecord, before: ReleaseRecord | None, kind: Kind) -> None:
    assert kind_of("Failed", record, before) is kind


@pytest.mark.parametrize(
    ("state", "kind"), [("Failed", Kind.FAILED), ("TimedOut", Kind.FAILED), ("Cancelled", Kind.CANCELLED)]
)
def test_a_run_that_had_not_begun_a_record_is_told_by_its_state(state: str, kind: Kind) -> None:
    notice = notice_of("shop -> production", state, "Preflight: 2 problems", None)
    assert notice.kind is kind
    assert notice.event == f"slipway.release.{kind}"
    assert "Preflight: 2 problems" in notice.text


def test_a_notice_has_the_cause_and_what_became_of_each_service_and_no_secret() -> None:
    record = failed("taken back").model_copy(update={"reason": "password=hunter2hunter2 was refused"})
    notice = notice_of("run", "Failed", "more", record)
    assert notice.title == "shop v2 in production: taken back; users have what they had before"
    assert notice.text.splitlines() == [
        "password=*** was refused",
        f"{record.targets[0].place}: {Outcome.TAKEN_BACK}",
        "Started by ada.",
    ]


def test_what_went_well_is_short_and_nothing_is_endless() -> None:
    assert notice_of("run", "Completed", "All states completed.", release("v1", 1)).text == ""
    long = failed().model_copy(update={"reason": "x" * 10 * LONGEST, "state": State.FAILED})
    assert len(notice_of("run", "Failed", "", long).text) == LONGEST
