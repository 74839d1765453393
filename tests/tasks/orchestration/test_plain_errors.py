"""What people read in a run's log when it fails."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from tasks.failures.errors import SourceError
from tasks.orchestration.plain_errors import say_errors_plainly


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


def test_a_defect_keeps_its_traceback(engine: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    log(engine, ZeroDivisionError("oops"))
    assert caplog.records[-1].exc_info is not None
