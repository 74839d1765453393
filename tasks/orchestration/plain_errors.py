"""Failures that a person can act on are logged as they are said, without Python's traceback."""

from __future__ import annotations

import logging
import re
from typing import Any
from weakref import WeakSet

from tasks.failures.errors import SlipwayError

# As Prefect's engine says it: Finished in state Failed('Task run encountered an exception TagTaken: …\\nTo fix: …')
_FINISHED = re.compile(r"Finished in state (?P<name>[\w ]+)\((?P<quote>['\"])(?P<said>.+)(?P=quote)\)", re.DOTALL)
_WHERE = re.compile(r"\A(?:Task|Flow) run encountered an exception:? \w+: ")
ENGINE_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


class DecidedAgainst(Exception):
    """A task has found what speaks against the release; `found` is what its caller gets. See `step`."""

    def __init__(self, found: Any, why: str) -> None:
        super().__init__(why)
        self.found = found


class PlainErrors(logging.Filter):
    """Turns Prefect's record of a SlipwayError into the error's own words; any other error keeps its traceback."""

    def __init__(self) -> None:
        super().__init__()
        self._said: WeakSet[SlipwayError] = WeakSet()

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, DecidedAgainst):
            return False  # the task has said it, and its caller will
        if isinstance(error, SlipwayError):
            if error in self._said:  # a task has raised it, and now the flow does
                return False
            self._said.add(error)
            record.msg, record.args = "%s", (error,)
            record.exc_info = record.exc_text = None
        elif isinstance(record.msg, str) and (ended := _FINISHED.fullmatch(record.msg)):
            record.msg = _in_short(ended, is_flow=record.name.startswith(ENGINE_LOGGERS[0]))
        return True


def _in_short(ended: re.Match[str], *, is_flow: bool) -> str:
    """A flow has just said all of it. A task may be forgiven, so that nobody else would say what was wrong with it."""
    first = _WHERE.sub("", ended["said"]).partition("\\n")[0]
    return f"Finished in state {ended['name']}" if is_flow else f"Finished in state {ended['name']}: {first}"


_FILTER = PlainErrors()


def say_errors_plainly() -> None:
    """Idempotent; the engine logs a failure after the flow has ended, so this stays."""
    for name in ENGINE_LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
