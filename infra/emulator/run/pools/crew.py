"""Keeps the instances of worker pools there: as many of each revision as is wanted, each started anew when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from infra.emulator.kernel.operations import Background
from infra.emulator.run.conditions import Unready
from infra.emulator.run.instances import Abandoned, Instances
from infra.emulator.run.journal import Journal

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0  # before one is started again that has ended; longer each time


class Crew:
    def __init__(self, instances: Instances, journal: Journal, background: Background) -> None:
        self._instances, self._journal, self._background = instances, journal, background
        self._kept: dict[str, dict[str, asyncio.Task[Any]]] = {}  # pool -> instance -> what keeps it

    def want(self, pool: str, counts: Mapping[str, int]) -> None:
        """So many instances of each revision from now on, by its full name; those that are too many end."""
        wanted = {f"{revision}#{number}" for revision, count in counts.items() for number in range(count)}
        self._instances.want(pool, wanted)
        kept = self._kept.setdefault(pool, {})
        gone = set(kept) - wanted
        for name in gone:
            kept.pop(name).cancel()
        for name in sorted(wanted - set(kept)):
            kept[name] = self._background.spawn(self._keep(name))
        for name in gone:  # each has its time to end what it is at; nobody waits for that
            self._background.spawn(self._instances.stop_one(name))

    def dismiss(self, pool: str) -> None:
        self.want(pool, {})
        self._kept.pop(pool, None)

    def release(self, revision: str) -> None:
        """Ends the instance that has proven a revision which is to have none."""
        self._background.spawn(self._instances.stop(revision))

    def forget(self) -> None:
        """Starts nothing any more: the emulator stops, or is emptied."""
        for pool, kept in self._kept.items():
            self._instances.want(pool, set())
            for task in kept.values():
                task.cancel()
        self._kept.clear()

    async def _keep(self, name: str) -> None:
        revision, pause_s = name.partition("#")[0], FIRST_PAUSE_S
        while True:
            try:
                instance = await self._instances.running(name)
                code = await asyncio.shield(instance.ended)
                severity = "ERROR" if code else "WARNING"
                self._journal.system(revision, f"Container called exit({code}).", severity)
            except Unready as unready:
                self._journal.system(revision, unready.failure.message, "ERROR")
            except Abandoned:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
