"""Sends the lines of runs to other places while they are written, such as Cloud Logging or a Redis stream.

It is a copy for those who watch: the log that is kept for good is written afterwards (tasks/observe/archive.py). So no
run waits for it or fails by it. Each place has a queue with an end and a thread of its own: one that hangs takes
nothing from the others. What did not arrive is counted, and said when the run ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from prefect.logging import get_run_logger

from tasks.orchestration.channel import GRACE_S, REST_S, Channel, Entry, Sink, Standing, Waiting
from tasks.orchestration.plain_errors import ENGINE_LOGGERS

LONGEST = 50_000  # characters of one line that are sent: Cloud Logging takes 256 KB, of which one character may be four
END_S = 5.0  # how long the run waits for what is still queued
FORMAT = logging.Formatter()  # the message, and below it the traceback


class Mirror(logging.Handler):
    """Hands each line to every channel. It raises nothing, waits for nothing, and logs nothing itself."""

    def __init__(self, sinks: Sequence[Sink], rest_s: float = REST_S) -> None:
        super().__init__(logging.INFO)
        self.channels = [Channel(sink, rest_s) for sink in sinks]
        self._number = self._last_us = 0
        self._about: dict[str, tuple[str, str]] = {}  # app and environment of each run

    def emit(self, record: logging.LogRecord) -> None:
        """What Prefect's loggers say of their run stands beside the message. Called by one thread at a time."""
        run, name = getattr(record, "flow_run_id", ""), getattr(record, "flow_run_name", "")
        task_run = getattr(record, "task_run_id", "")
        self._hand_on(
            record.created, str(run or ""), str(name or ""), str(task_run or ""), record.levelno, said(record)
        )

    def show(self, run: str, run_name: str, standing: Standing) -> None:
        """How a run stands goes the way of its lines."""
        self.acquire()
        if standing.app and standing.environment:
            self._about[run] = standing.app, standing.environment
        try:
            self._hand_on(time.time(), run, run_name, "", logging.INFO, in_words(standing), standing)
        finally:
            self.release()

    def _hand_on(
        self,
        at: float,
        run: str,
        run_name: str,
        task_run: str,
        level: int,
        message: str,
        standing: Standing | None = None,
    ) -> None:
        self._last_us = max(round(at * 1e6), self._last_us + 1)
        self._number += 1
        about = self._about.get(run, ("", ""))
        at_s = self._last_us / 1e6
        line = Waiting(Entry(run, run_name, task_run, at_s, self._number, level, message, standing, *about))
        for channel in self.channels:
            channel.put(line)

    def end(self, within_s: float = END_S) -> list[str]:
        """What was lost, one line for each place; all of them are waited for together."""
        began = time.monotonic()
        worth = [channel.close() for channel in self.channels]
        for channel, waited in zip(self.channels, worth, strict=True):
            channel.give_up(began + (within_s if waited else min(within_s, GRACE_S)))
        return [
            f"{channel.lost} lines of the log did not reach {channel.sink.name}: {channel.why}"
            for channel in self.channels
            if channel.lost
        ]


def said(record: logging.LogRecord) -> str:
    """With the traceback, if there is one."""
    try:
        text = FORMAT.format(record)
    except (TypeError, ValueError):  # arguments that do not fit the message
        text = str(record.msg)
    more = len(text) - LONGEST
    return text if more <= 0 else f"{text[:LONGEST]}… and {more} characters more, which are in the log that is kept"


def in_words(standing: Standing) -> str:
    words = [
        f"the run is {standing.status}" if standing.status else "",
        f"stage {standing.stage}" if standing.stage else "",
        "" if standing.progress is None else f"{standing.progress:.0f} %",
    ]
    return ", ".join(filter(None, words))


_current: Mirror | None = None  # of the outermost run of this process


@asynccontextmanager
async def mirrored(sinks: Sequence[Sink]) -> AsyncIterator[None]:
    """What runs log within is sent there, too; a run within another one changes nothing."""
    global _current
    if not sinks or _current:
        yield
        return
    mirror = _current = Mirror(sinks)
    loggers = [logging.getLogger(name) for name in ENGINE_LOGGERS]
    for logger in loggers:
        logger.addHandler(mirror)
    try:
        yield
    finally:
        _current = None
        for logger in loggers:
            logger.removeHandler(mirror)
        for lost in await asyncio.to_thread(mirror.end):
            get_run_logger().warning("%s", lost)


def show_standing(run: str, run_name: str, standing: Standing) -> None:
    """To wherever this process's lines go; nothing where they go nowhere else."""
    if _current:
        _current.show(run, run_name, standing)
