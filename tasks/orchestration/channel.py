"""The way of lines to one place: a queue with an end, and a thread that sends batches. See `mirror`."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from tasks.failures.redact import masking, redact

MOST = 20_000  # lines that wait for one place; more are lost
MOST_TEXT = 16 << 20  # and so many characters of them
BATCH = 400  # lines that are sent at once
BATCH_TEXT = 1 << 20  # and so many characters of them, as a request has at most 10 MB
PAUSE_S = 0.2  # between two looks into the queue
SEND_S = 10.0  # how long one batch may take
TRIES = 3  # of a batch; then it is lost, and the place is left alone for a while
REST_S = 30.0
GRACE_S = 0.2  # how long a run waits at its end for a place that is left alone by then, or hangs for SEND_S


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

    @property
    def at_once(self) -> int:
        """Batches that may be on their way at the same time: more than one where lines carry their own order."""

    async def send(self, batch: Sequence[Entry]) -> None:
        """All of them, in order; raises whatever its client raises. Sending one again must do no harm.

        A batch has either lines or how the run stands, and the latter is on its way alone: after it comes what was
        said after it.
        """


@dataclass(slots=True)
class Waiting:
    """A line in the queues; what takes time is done once, by the first place's thread that comes to it."""

    record: Entry  # its message may hold secrets
    _masked: Entry | None = None

    def entry(self, mask: Callable[[str], str]) -> Entry:
        if self._masked is None:
            self._masked = replace(self.record, message=mask(self.record.message))
        return self._masked


@dataclass(eq=False, slots=True)
class Sending:
    """A batch that is on its way."""

    lines: Sequence[Waiting]
    since: float = field(default_factory=time.monotonic)

    @property
    def alone(self) -> bool:
        return self.lines[0].record.standing is not None


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
    _in_flight: list[Sending] = field(default_factory=list)
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
        with self._lock:
            stuck = any(time.monotonic() - batch.since > SEND_S for batch in self._in_flight)
        worth = not (self._resting or stuck)
        self._closing.set()
        return worth

    def give_up(self, until: float) -> None:
        """Waits until this moment of the monotonic clock; what has not arrived then is lost."""
        self._thread.join(max(0.0, until - time.monotonic()))
        with self._lock:
            left = sum(len(batch.lines) for batch in self._in_flight)
            self._in_flight.clear()
        self._drop(left)

    def _lose(self, lines: int, why: str) -> None:
        with self._lock:
            self.lost += lines
            self.why = why

    def _run(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> None:
        sending: set[asyncio.Task[None]] = set()
        while True:
            batch = self._taken()
            if batch:
                sending.add(asyncio.create_task(self._send(batch)))
            elif sending:
                _, sending = await asyncio.wait(sending, timeout=PAUSE_S, return_when=asyncio.FIRST_COMPLETED)
            elif self._closing.is_set():
                return
            else:
                await asyncio.sleep(PAUSE_S)

    def _taken(self) -> Sending | None:
        """What is to be sent now; None while what is on its way has to arrive first."""
        with self._lock:
            lines = self._next() if self._may_send() else []
            if not lines:
                return None
            self._text -= sum(len(line.record.message) for line in lines)
            self._in_flight.append(Sending(lines))
            return self._in_flight[-1]

    def _may_send(self) -> bool:
        if self._resting or not self._waiting:
            return False
        if not self._in_flight:
            return True
        alone = self._waiting[0].record.standing is not None or self._in_flight[-1].alone
        return not alone and len(self._in_flight) < self.sink.at_once

    def _next(self) -> list[Waiting]:
        """The lines, or the standings, that come first."""
        lines: list[Waiting] = []
        text = 0
        while self._waiting and len(lines) < BATCH and text < BATCH_TEXT:
            if lines and (lines[0].record.standing is None) != (self._waiting[0].record.standing is None):
                break
            lines.append(self._waiting.popleft())
            text += len(lines[-1].record.message)
        return lines

    async def _send(self, batch: Sending) -> None:
        for _ in range(TRIES):
            try:
                mask = masking()
                async with asyncio.timeout(SEND_S):
                    await self.sink.send([line.entry(mask) for line in batch.lines])
            except Exception as error:  # whatever its client says
                self.why = redact(f"{type(error).__name__}: {error}")[:200]
                await asyncio.sleep(PAUSE_S)
            else:
                self._landed(batch)
                return
        self._lose(self._landed(batch), self.why)
        await self._rest()

    def _landed(self, batch: Sending) -> int:
        """How many lines are no longer on their way; none where they have been given up."""
        with self._lock:
            if batch not in self._in_flight:
                return 0
            self._in_flight.remove(batch)
            return len(batch.lines)

    async def _rest(self) -> None:
        """A place that is gone is not asked again and again; when the run is about to end not at all."""
        self._resting = True
        if await asyncio.to_thread(self._closing.wait, self.rest_s):
            self._drop()
        self._resting = False

    def _drop(self, more: int = 0) -> None:
        """What waits is counted as lost, and so many more; what is still to be sent is not sent later."""
        with self._lock:
            left = len(self._waiting) + more
            self._waiting.clear()
        if left:
            self._lose(left, self.why or "it was too slow")
