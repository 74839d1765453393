"""A revision that did not start: what is said of it, and whether another attempt may help."""

from __future__ import annotations

import pytest

from infra.gcp.calls.errors import GoogleError
from tasks.failures.catalogue.blanks import Known
from tasks.failures.cause import Cause, Transient
from tasks.rollout.failed_start import failed_start

NOT_READY = "Revision 'web-1' is not ready and cannot serve traffic. "
NO_PORT = (
    "The user-provided container failed to start and listen on the port defined provided by the PORT=8080 environment "
    "variable within the allocated timeout. Logs for this revision might contain more information."
)
OF_ITS_OWN = "Internal system error, system will retry."


def failed(said: str, lines: list[str]) -> tuple[str, Cause, Transient]:
    error = GoogleError("UpdateService", "INTERNAL", f"{NOT_READY}{said}")
    told = failed_start("web did not start", error, Known(project="acme"), lines)
    return told.problem, told.cause, told.transient


def test_where_the_container_told_nothing_googles_words_are_shown_and_another_attempt_may_help() -> None:
    problem, cause, transient = failed(OF_ITS_OWN, [])
    assert f"({NOT_READY}{OF_ITS_OWN})" in problem
    assert (cause, transient) == (Cause.SERVICE_UNAVAILABLE, Transient.YES)


@pytest.mark.parametrize("line", ["ConnectionError: the database is currently unavailable", "timed out waiting for db"])
def test_what_ends_by_itself_is_not_tried_again_whatever_it_wrote(line: str) -> None:
    problem, _, transient = failed(NO_PORT, [line])
    assert line in problem
    assert transient is Transient.NO


def test_words_that_nobody_knows_are_shown_and_not_taken_for_anything() -> None:
    problem, _, transient = failed("The moon is in the way.", ["starting"])
    assert "The moon is in the way." in problem
    assert transient is Transient.NO
