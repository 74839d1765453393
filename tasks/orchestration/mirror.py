"""Sends the lines of runs to other places while they are written, such as Cloud Logging or a Redis stream.

It is a copy for those who watch: the log that is kept for good is written afterwards (tasks/observe/archive.py). So no
run waits for it or fails by it. Each place has a queue with an end and a thread of its own: one that hangs takes
nothing from the others. What did not arrive is counted, and said when the run ends.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from prefect.logging import get_run_logger

from tasks.failures.redact import redact
from tasks.orchestration.plain_errors import ENGINE_LOGGERS

MOST = 20_000  # lines that wait for one place; more are lost
MOST_TEXT = 16 << 20  # and so many characters of them
LONGEST = 50_000  # characters of one line that are sent: Cloud Logging takes 256 KB, of which one character may be four
BATCH = 400  # lines that are sent at once
BATCH_TEXT = 1 << 20  # and so many characters of them, as a request has at most 10 MB
PAUSE_S = 0.2  # between two looks into the queue
SEND_S = 10.0  # how long one batch may take
TRIES = 3  # of a batch; then it is lost, and the place is left alone for a while
REST_S = 30.0
END_S = 5.0  # how long the run waits for what is still queued
GRACE_S = 0.2  # and for a place that is being left alone by then, or has had a batch for longer than SEND_S
FORMAT = logging.Formatter()  # the message, and below it the traceback


@dataclass(frozen=True, slots=True)
class Shown:
    """An artifact of a run. data: text, or JSON."""

    key: str
    kind: str
    title: str
    data: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands; what is None is not said, and stays as it was."""

    status: str | None = None  # running, completed, failed, cancelled or crashed
    stage: str | None = None
    progress: float | None = None  # per cent
    app: str | None = None
    environment: str | None = None
    message: str | None = None
    started: datetime | None = None
    ended: datetime | None = None
    artifacts: tuple[Shown, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One line, or how the run stands: then `message` says it in words."""

    run: str
    run_name: str
    task_run: str
    at: float  # seconds since 1970, in whole microseconds; no two lines of a process have the same
    number: int  # its place among those of this process
    level: int
    message: str  # with no secret in it
    standing: Standing | None = None
    app: str = ""  # as far as the run knows by now what it is about
    environment: str = ""


class Sink(Protocol):
    """A place to which lines go."""

    @property
    def name(self) -> str: ...

    async def send(self, batch: Sequence[Entry]) -> None:
        """All of them, in order; raises whatever its client raises. Sending one again must do no harm."""


@dataclass(slots=True)
class Waiting:
    """A line in the queues; what takes time is done once, by the first place's thread that comes to it."""

    record: Entry  # its message may hold secrets
    _masked: Entry | None = None

    def entry(self) -> Entry:
        if self._masked is None:
            self._masked = replace(self.record, message=redact(self.record.message))
        return self._masked


@dataclass
class Channel:
    """The way to one place."""

    sink: Sink
    rest_s: float = REST_S
    lost: int = 0
    why: str = ""
    _waiting: deque[Waiting] = field(default_factory=deque)
    _text: int = 0  # characters that wait
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closing: threading.Event = field(default_factory=threading.Event)
    _in_flight: int = 0
    _since: float = 0.0  # when what is in flight was taken
    _resting: bool = False

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"mirror to {self.sink.name}", daemon=True)
        self._thread.start()

    def put(self, line: Waiting) -> None:
        """Takes no longer than an append."""
        with self._lock:
            if fits := len(self._waiting) < MOST and self._text < MOST_TEXT:
                self._waiting.append(line)
                self._text += len(line.record.message)
        if not fits:
            self._lose(1, "its queue was full")

    def close(self) -> bool:
        """Nothing more will come; answers whether what is queued is worth waiting for."""
        stuck = self._in_flight and time.monotonic() - self._since > SEND_S
        worth = not (self._resting or stuck)
        self._closing.set()
        return worth

    def give_up(self, until: float) -> None:
        """Waits until this moment of the monotonic clock; what has not arrived then is lost."""
        self._thread.join(max(0.0, until - time.monotonic()))
        self._drop()

    def _lose(self, lines: int, why: str) -> None:
        with self._lock:
            self.lost += lines
            self.why = why

    def _run(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> None:
        while True:
            batch = [line.entry() for line in self._taken()]
            if batch:
                await self._send(batch)
            elif self._closing.is_set():
                return
            else:
                await asyncio.sleep(PAUSE_S)

    def _taken(self) -> list[Waiting]:
        taken: list[Waiting] = []
        text = 0
        with self._lock:
            while self._waiting and len(taken) < BATCH and text < BATCH_TEXT:
                taken.append(self._waiting.popleft())
                text += len(taken[-1].record.message)
            self._text -= text
            self._in_flight, self._since = len(taken), time.monotonic()
        return taken

    async def _send(self, batch: Sequence[Entry]) -> None:
        for _ in range(TRIES):
            try:
                async with asyncio.timeout(SEND_S):
                    await self.sink.send(batch)
            except Exception as error:  # whatever its client says
                self.why = redact(f"{type(error).__name__}: {error}")[:200]
                await asyncio.sleep(PAUSE_S)
            else:
                self._in_flight = 0
                return
        self._lose(len(batch), self.why)
        self._in_flight = 0
        await self._rest()

    async def _rest(self) -> None:
        """A place that is gone is not asked again and again; when the run is about to end not at all."""
        self._resting = True
        if await asyncio.to_thread(self._closing.wait, self.rest_s):
            self._drop()
        self._resting = False

    def _drop(self) -> None:
        """What waits or is in flight is counted as lost; what is still to be sent is not sent later."""
        with self._lock:
            left = len(self._waiting) + self._in_flight
            self._waiting.clear()
        if left:
            self._lose(left, self.why or "it was too slow")


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
