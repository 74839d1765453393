"""Shows in the terminal what becomes of a run and of the runs that it starts: log, and what keeps it waiting."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, Log, WorkerStatus
from prefect.exceptions import ObjectNotFound
from rich.console import Console

from tasks.names.tags import WAITS
from tasks.observe.following import LAST_LINE, QUIET_S, Follower
from tasks.observe.lines import artifacts_of
from tasks.orchestration.family import below

PATIENCE_S = 10.0  # a worker that is there takes a run within this
ENGINE_CHATTER = (
    LAST_LINE,
    "Executing deployment step",
    "Deployment step ",
    "Running 1 deployment pull",
    "All deployment steps completed",
    "Running hook '",
    "Hook '",
)
LEVEL_STYLES = {30: "yellow", 40: "red", 50: "bold red"}


@dataclass
class Following:
    """One run as it is shown; goes on where it was when `to_the_end` is asked again, as after a cancellation."""

    client: PrefectClient
    console: Console
    ui: str  # address of the Prefect UI
    run_id: UUID
    patience_s: float = PATIENCE_S
    quiet_s: float = QUIET_S
    _said: set[object] = field(default_factory=set)
    _since: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._follower = Follower(self.client, self.run_id, self.quiet_s)

    async def to_the_end(self) -> FlowRun:
        """The run in its last state, when its last line is shown."""
        while True:
            look = await self._follower.look()
            self._show(look.lines)
            if look.over:
                return look.run
            await self._say_what_it_waits_for(look.run, look.family)
            await asyncio.sleep(look.pause_s)

    async def tables(self) -> dict[str, list[dict[str, Any]]]:
        """The tables of the run and its children, by the last part of their key."""
        runs = [self.run_id, *(child.id for child in await below(self.client, self.run_id))]
        found = await artifacts_of(self.client, *runs)
        tables = [artifact for artifact in found if artifact.type == "table" and artifact.key]
        return {str(a.key).rsplit("-", 1)[-1]: json.loads(str(a.data)) for a in tables}

    def link(self, run_id: UUID) -> str:
        """Where the UI shows a run."""
        return f"{self.ui}/runs/flow-run/{run_id}"

    def _show(self, lines: Iterable[Log]) -> None:
        for line in lines:
            if not line.message.startswith(ENGINE_CHATTER):
                self._print(f"{line.timestamp:%H:%M:%S} {line.message}", LEVEL_STYLES.get(line.level))

    async def _say_what_it_waits_for(self, run: FlowRun, family: Iterable[FlowRun]) -> None:
        for each in family:
            if each.state and each.state.is_paused():
                name = each.name.removesuffix(WAITS)
                text = f"{name} waits for a person. Answer with Resume in the Prefect UI: {self.link(each.id)}"
                self._say_once(each.state.id, text)
        if run.state is None or not (run.state.is_scheduled() or run.state.is_pending()):
            self._since = time.monotonic()
        elif time.monotonic() - self._since > self.patience_s:
            self._since = time.monotonic()
            text = await self._why_not_started(run)
            self._say_once(text, text)

    async def _why_not_started(self, run: FlowRun) -> str:
        pool = run.work_pool_name
        waiting = f"The run has not been started yet ({run.state_name})"
        if not pool:
            return f"{waiting}: its deployment has no work pool; start the process that serves it."
        try:
            paused = (await self.client.read_work_pool(pool)).is_paused
            workers = await self.client.read_workers_for_work_pool(pool)
        except ObjectNotFound:
            return f"{waiting}: the work pool {pool} is gone."
        if paused:
            return f"{waiting}: the work pool {pool} is paused. Go on with: prefect work-pool resume {pool}"
        online = [worker for worker in workers if worker.status == WorkerStatus.ONLINE]
        if not online:
            return (
                f"{waiting}: no worker of the work pool {pool} is online. Start one: prefect worker start --pool {pool}"
            )
        if run.state is not None and run.state.is_pending():
            return f"{waiting}: a worker has taken it, and its process is about to begin."
        names = ", ".join(worker.name for worker in online)
        return f"{waiting}: the workers of the work pool {pool} ({names}) are busy, or it is at its limit."

    def _say_once(self, key: object, text: str) -> None:
        if key not in self._said:
            self._said.add(key)
            self._print(text, "yellow")

    def _print(self, text: str, style: str | None) -> None:
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
