"""Failures that a person can act on are logged as they are said, without Python's traceback."""

from __future__ import annotations

import logging

from tasks.failures.errors import SlipwayError

ENGINE_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


class PlainErrors(logging.Filter):
    """Turns Prefect's record of a SlipwayError into the error's own words; any other error keeps its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, SlipwayError):
            record.msg, record.args = "%s", (error,)
            record.exc_info = record.exc_text = None
        return True


_FILTER = PlainErrors()


def say_errors_plainly() -> None:
    """Idempotent; the engine logs a failure after the flow has ended, so this stays."""
    for name in ENGINE_LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
