"""The log of a run as it is written: one reader of Prefect's API for each run, however many listen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import Log

from api.refused import Refused
from tasks.failures.redact import redact
from tasks.observe.following import Follower

PING_S = 15.0  # a proxy between may close what says nothing for long; so often there is an event without a kind
AT_ONCE = 64  # runs that are followed at the same time
OVERLAP = timedelta(seconds=2)  # one batch: who comes back to a server that was started anew may get so much again


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that listeners are told: a line, the end, an error; with no kind, that nothing has come."""

    kind: Literal["line", "end", "error", ""] = ""
    data: Mapping[str, object] = field(default_factory=dict)
    id: str = ""  # of a line


@dataclass
class Feed:
    """What one run has said so far, in the order in which it came. Kept while anybody listens."""

    client: PrefectClient
    run: UUID
    lines: list[Log] = field(default_factory=list)
    place: dict[str, int] = field(default_factory=dict)  # of each line, by its id
    state: str = ""  # the last one, once nothing more will come
    failure: Exception | None = None
    listeners: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    work: asyncio.Task[None] | None = None

    async def follow(self) -> None:
        """Until the run is over; its listeners learn of a failure."""
        follower = Follower(self.client, self.run)
        try:
            while not self.state:
                look = await follower.look()
                for line in look.lines:
                    self.place[str(line.id)] = len(self.lines)
                    self.lines.append(line)
                if look.over:
                    self.state = look.run.state_name or "Unknown"
                self._tell()
                await asyncio.sleep(look.pause_s)
        except Exception as error:
            self.failure = error
            self._tell()

    def _tell(self) -> None:
        self.news.set()
        self.news = asyncio.Event()

    def after(self, last: str) -> int:
        """Where to go on for somebody who has had the line with this id."""
        found = self.place.get(last)
        return 0 if found is None else found + 1


class Feeds:
    """Of all runs that anybody listens to."""

    def __init__(self, client: PrefectClient) -> None:
        self._client, self._feeds = client, dict[UUID, Feed]()

    def refuse_more(self, run: UUID) -> None:
        """Raises Refused where too many other runs are followed."""
        if len(self._feeds) >= AT_ONCE and run not in self._feeds:
            raise Refused(429, "Too many runs are being followed.", {"Retry-After": "10"})

    async def events(self, run: UUID, last: str = "") -> AsyncGenerator[Told, None]:
        """Each line once, from the first one or from the one after `last`; ends after `end` or `error`."""
        feed = self._feeds.get(run)
        anew = feed is None
        if feed is None:
            feed = self._feeds[run] = Feed(self._client, run)
            feed.work = asyncio.create_task(feed.follow())
        feed.listeners += 1
        try:
            async for event in _told(feed, last, anew=anew):
                yield event
        finally:
            feed.listeners -= 1
            if not feed.listeners:
                self._feeds.pop(run, None)
                if feed.work:
                    feed.work.cancel()


async def _told(feed: Feed, last: str, *, anew: bool) -> AsyncIterator[Told]:
    news = feed.news
    position = -1  # not known yet
    while True:
        if position < 0 and (feed.lines or feed.state):
            position = _resumed(feed, last) if anew else feed.after(last)
        while 0 <= position < len(feed.lines):
            yield told_of(feed.lines[position])
            position += 1
        if feed.failure is not None:
            yield Told("error", {"detail": "Prefect's API does not answer; ask again."})
            return
        if feed.state:
            yield Told("end", {"state": feed.state})
            return
        try:
            async with asyncio.timeout(PING_S):
                await news.wait()
        except TimeoutError:
            yield Told()
        news = feed.news


def _resumed(feed: Feed, last: str) -> int:
    """Lines of the last seconds before it may have come after it: they are told again, each with its own id."""
    found = feed.place.get(last)
    if found is None:
        return 0
    since = feed.lines[found].timestamp - OVERLAP
    return next(number for number, line in enumerate(feed.lines) if line.timestamp >= since)


def told_of(line: Log) -> Told:
    """Without anything that must not be shown."""
    said = {"at": line.timestamp.isoformat(), "level": line.level, "message": redact(line.message)}
    return Told("line", said, str(line.id))


def event_of(told: Told) -> str:
    """As a Server-Sent Event: https://html.spec.whatwg.org/multipage/server-sent-events.html"""
    if not told.kind:
        return ": ping\n\n"
    return (f"id: {told.id}\n" if told.id else "") + f"event: {told.kind}\ndata: {json.dumps(told.data)}\n\n"
