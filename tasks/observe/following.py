"""Follows a run and those that it starts, from its first line to its last."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, Log

from tasks.observe.lines import Tail
from tasks.orchestration.family import below

POLL_S, SOON_S = 0.4, 0.1  # while it goes on, and once it has ended: its last lines are on their way
QUIET_S = 2.5  # a process of the run sends its last lines within this, unless it was killed with them
LAST_LINE = "Finished in state "  # of the engine, when a run has done all that it does


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of it this time."""

    run: FlowRun
    family: tuple[FlowRun, ...]  # the run, and all that it has started, those nearest first
    lines: tuple[Log, ...]  # that have come since the last look, in the order of their times
    over: bool  # nothing more will come

    @property
    def pause_s(self) -> float:
        """How long to wait before the next look."""
        if self.over:
            return 0.0
        return SOON_S if self.run.state is not None and self.run.state.is_final() else POLL_S


@dataclass
class Follower:
    """Of one run; ask again after each look's pause, until it is over."""

    client: PrefectClient
    run_id: UUID
    quiet_s: float = QUIET_S
    _finished: bool = False  # whether its last line has come
    _heard: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._tail = Tail(self.client)

    async def look(self) -> Look:
        """The last lines arrive after the last state: it is over when the engine has said its last, or all is quiet."""
        run, children = await asyncio.gather(self.client.read_flow_run(self.run_id), below(self.client, self.run_id))
        family = (run, *children)
        lines = await self._new(family)
        final = run.state is not None and run.state.is_final()
        if lines or not final:
            self._heard = time.monotonic()
        over = final and (run.start_time is None or self._finished or time.monotonic() - self._heard >= self.quiet_s)
        if over:  # also what has come later than it should
            lines += await self._new(family, everything=True)
        return Look(run, family, tuple(sorted(lines, key=lambda line: line.timestamp)), over)

    async def _new(self, family: tuple[FlowRun, ...], *, everything: bool = False) -> list[Log]:
        found: list[Log] = []
        for run in family:
            found += await self._tail.new(run.id, everything=everything)
        self._finished |= any(is_last(line) and line.flow_run_id == self.run_id for line in found)
        return found


def is_last(line: Log) -> bool:
    """Whether the engine says with it that the run has ended; tasks say the same of themselves."""
    return line.task_run_id is None and line.message.startswith(LAST_LINE)
