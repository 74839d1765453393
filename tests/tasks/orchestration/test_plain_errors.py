"""What people read in a run's log when it fails."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from tasks.failures.errors import SourceError
from tasks.orchestration.plain_errors import PlainErrors, say_errors_plainly


@pytest.fixture
def engine(caplog: pytest.LogCaptureFixture) -> Iterator[logging.Logger]:
    say_errors_plainly()
    logger = logging.getLogger("prefect.flow_runs")
    logger.addHandler(caplog.handler)
    with temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: False}):  # there is no run that the lines could belong to
        yield logger
    logger.removeHandler(caplog.handler)


def log(logger: logging.Logger, error: Exception) -> None:
    try:
        raise error
    except Exception:
        logger.exception("Encountered exception during execution: %r", error)


def test_an_error_with_a_remedy_is_logged_in_its_own_words(
    engine: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    log(engine, SourceError("there is no repository", "clone it first."))
    assert caplog.records[-1].getMessage().startswith("there is no repository\nTo fix: clone it first.")
    assert caplog.records[-1].exc_info is None


def test_what_a_task_has_said_the_flow_does_not_say_again(
    engine: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    error = SourceError("there is no repository", "clone it first.")
    log(engine, error)
    log(engine, error)
    log(engine, SourceError("there is no repository", "clone it first."))
    said = {id(each) for each in caplog.records if each.getMessage().startswith("there is no repository")}
    assert len(said) == 2  # a record that two handlers have seen is one


def test_a_defect_keeps_its_traceback(engine: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    log(engine, ZeroDivisionError("oops"))
    assert caplog.records[-1].exc_info is not None


SAID = "Finished in state Failed('{0} run encountered an exception{1} TagTaken: The tag v1.4.0 is taken.\\nTo fix: …')"


@pytest.mark.parametrize(
    ("logger", "said", "shown"),
    [
        ("prefect.flow_runs", SAID.format("Flow", ":"), "Finished in state Failed"),
        ("prefect.task_runs", SAID.format("Task", ""), "Finished in state Failed: The tag v1.4.0 is taken."),
        ("prefect.task_runs", "Finished in state Completed()", "Finished in state Completed()"),
        ("prefect.flow_runs", "shop v1.4.0 is in a state", "shop v1.4.0 is in a state"),
    ],
    ids=["a flow has said it all", "a task says it in one line", "what went well", "any other line"],
)
def test_how_a_run_ended_is_said_in_one_line(logger: str, said: str, shown: str) -> None:
    record = logging.LogRecord(logger, logging.ERROR, "", 0, said, (), None)
    assert PlainErrors().filter(record)
    assert record.getMessage() == shown
