"""The places in which builds run: so many per project and region, given out in order of arrival."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from infra.emulator.kernel.behaviour import Behaviour

# https://cloud.google.com/build/quotas: concurrent builds per project and region
CONCURRENT_BUILDS = 10.0


class Queue:
    """The limit is the latency profile's `build.concurrency`, read at every turn, so it can change meanwhile."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._running: defaultdict[str, int] = defaultdict(int)
        self._waiting: defaultdict[str, deque[asyncio.Event]] = defaultdict(deque)

    @asynccontextmanager
    async def place(self, parent: str, patience_s: float) -> AsyncIterator[None]:
        """Waits for a place under `parent` (projects/p/locations/l); raises TimeoutError when patience ends."""
        turn = asyncio.Event()
        self._waiting[parent].append(turn)
        try:
            async with asyncio.timeout(patience_s):
                await self._behaviour.pause("build.queue")
                self._admit(parent)
                await turn.wait()
            yield
        finally:
            if turn.is_set():
                self._running[parent] -= 1
            else:
                self._waiting[parent].remove(turn)
            self._admit(parent)

    def _admit(self, parent: str) -> None:
        limit = self._behaviour.latency_s.get("build.concurrency", CONCURRENT_BUILDS)
        while self._waiting[parent] and self._running[parent] < limit:
            self._waiting[parent].popleft().set()
            self._running[parent] += 1
