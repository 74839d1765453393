"""Where a test stands that is about to be stopped for taking too long.

pytest-timeout shows what threads do; what the tasks of a loop await, it does not.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parents[1]
BEFORE_S = 20.0
NAME = "waiting"


@contextmanager
def told(item: pytest.Item, loops: list[asyncio.AbstractEventLoop], limit_s: float) -> Iterator[None]:
    """Notes shortly before the limit what each task of the loops awaits, for `show` to print at the very end."""

    def note() -> None:
        tasks = {task for loop in loops for task in asyncio.all_tasks(loop)}
        item.user_properties += [(NAME, f"{item.nodeid}: {line}") for line in standing(tasks)]

    timer = threading.Timer(max(limit_s - BEFORE_S, 1.0), note)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def standing(tasks: set[asyncio.Task[Any]]) -> list[str]:
    """A line for each task: its own lines of code, from the outermost to the one that awaits."""
    return sorted(f"{task.get_name()}: {' > '.join(_lines(task.get_coro()))}" for task in tasks)


def _lines(awaited: Any) -> Iterator[str]:
    """Those of this repository, and the innermost wherever it is."""
    inmost = ""
    while awaited is not None:
        names = ("cr_frame", "gi_frame", "ag_frame")
        frame = next((found for name in names if (found := getattr(awaited, name, None)) is not None), None)
        if frame is not None:
            file = Path(frame.f_code.co_filename)
            ours = file.is_relative_to(HERE) and "site-packages" not in file.parts
            inmost = "" if ours else f"{file.name}:{frame.f_lineno} {frame.f_code.co_name}"
            if ours:
                yield f"{file.relative_to(HERE)}:{frame.f_lineno}"
        inner = (getattr(awaited, name, None) for name in ("cr_await", "gi_yieldfrom", "ag_await"))
        awaited = next((found for found in inner if found is not None), None)
    if inmost:
        yield inmost


def show(reporter: pytest.TerminalReporter) -> None:
    """At the end of all output, which is what remains of long ones."""
    reports = [report for kind in ("failed", "error") for report in reporter.stats.get(kind, ())]
    lines = [line for report in reports for name, line in getattr(report, "user_properties", ()) if name == NAME]
    if lines:
        reporter.section("what was awaited when a test was stopped")
        reporter.write_line("\n".join(lines))
