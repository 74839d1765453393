"""The instances of all revisions: one each, started when needed, proven to listen, stopped when nothing leads there."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from infra.emulator.kernel.behaviour import Behaviour
from infra.emulator.kernel.errors import RpcError
from infra.emulator.run.conditions import Unready, did_not_listen, not_prepared, probe_failed
from infra.emulator.run.defaults import START_LIMIT_S, ingress_container
from infra.emulator.run.journal import Journal
from infra.emulator.run.ports import free_port
from infra.emulator.run.probes import Probe, passes, startup_probe
from infra.emulator.run.runtime import Instance, launch
from infra.emulator.run.runtimes import Runtimes
from infra.emulator.run.state import State
from infra.emulator.run.workload import Resolver, Workload

IDLE_S = 30.0  # an instance of a revision that nothing leads to stops after so long without a request
SWEEP_S = 5.0


class Abandoned(Exception):
    """The instance was told to stop before it had started."""


class Slot:
    """The place of one revision's instance."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()  # held while the instance starts or stops
        self.abandoned = asyncio.Event()
        self.instance: Instance | None = None
        self.folder: Path | None = None
        self.requests = 0  # in flight
        self.last_used = time.monotonic()


class Instances:
    def __init__(
        self, state: State, behaviour: Behaviour, resolver: Resolver, runtimes: Runtimes, journal: Journal, folder: Path
    ) -> None:
        self._state, self._behaviour, self._folder = state, behaviour, folder
        self._resolver, self._runtimes, self._journal = resolver, runtimes, journal
        self._slots: dict[str, Slot] = {}
        self._wanted: dict[str, set[str]] = {}  # service -> the revisions that requests may reach

    def want(self, service: str, revisions: set[str]) -> None:
        """Says which of a service's revisions requests may reach; the others' instances end when they fall idle."""
        self._wanted[service] = revisions

    async def prove(self, revision: str) -> None:
        """Starts the revision's instance; raises Unready when it does not come up, or Abandoned."""
        await self._running(revision)

    @contextlib.asynccontextmanager
    async def request(self, revision: str) -> AsyncIterator[int]:
        """The port of the revision's instance for one request; a cold one is started first. Raises Unready."""
        slot = self._slot(revision)
        slot.requests += 1
        try:
            instance = slot.instance
            if instance is None or not instance.running:
                instance = await self._running(revision)
            yield instance.port
        finally:
            slot.requests -= 1
            slot.last_used = time.monotonic()

    async def discard(self, revision: str, port: int) -> None:
        """Ends the instance that should listen on `port` and does not; the next request starts another."""
        slot = self._slot(revision)
        async with slot.lock:
            if slot.instance is not None and slot.instance.port == port:
                await self._end(slot, hurry=True)

    async def stop(self, revision: str, *, hurry: bool = False) -> None:
        """Ends the revision's instance; one that is just starting is given up."""
        slot = self._slots.pop(revision, None)
        if slot is not None:
            slot.abandoned.set()
            async with slot.lock:
                await self._end(slot, hurry=hurry)

    async def stop_all(self) -> None:
        """Ends every instance without much grace: the emulator itself stops."""
        await asyncio.gather(*(self.stop(revision, hurry=True) for revision in list(self._slots)))
        self._wanted.clear()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def sweep(self) -> None:
        """Ends idle instances for as long as the emulator runs."""
        while True:
            await asyncio.sleep(SWEEP_S)
            reachable = set().union(*self._wanted.values())
            for revision, slot in list(self._slots.items()):
                idle_s = time.monotonic() - slot.last_used
                if revision not in reachable and not slot.requests and not slot.lock.locked() and idle_s > IDLE_S:
                    await self.stop(revision)

    def _slot(self, revision: str) -> Slot:
        return self._slots.setdefault(revision, Slot())

    async def _running(self, revision: str) -> Instance:
        slot = self._slot(revision)
        async with slot.lock:
            if slot.abandoned.is_set():
                raise Abandoned
            if slot.instance is None or not slot.instance.running:
                await self._end(slot)
                await self._start(slot, self._state.revision(revision))
            slot.last_used = time.monotonic()
            assert slot.instance is not None
            return slot.instance

    async def _start(self, slot: Slot, revision: Any) -> None:
        workload = self._resolver.resolve(revision)
        runtime, why = await self._runtimes.choose(workload)
        self._journal.system(revision.name, f"Starting an instance with the {runtime.name} runtime: {why}.")
        port, slot.folder = free_port(), self._folder / uuid.uuid4().hex
        slot.folder.mkdir(parents=True)
        limit_s = self._behaviour.latency_s.get("run.start-timeout", START_LIMIT_S)
        probe = startup_probe(ingress_container(revision.containers), port, limit_s)
        try:
            order = await runtime.prepare(workload, port, slot.folder)
            slot.instance = await launch(order, port, self._journal.sink(revision.name))
            await self._await_start(slot, slot.instance, probe, workload)
        except BaseException as error:
            await self._end(slot, hurry=True)
            if isinstance(error, OSError | RuntimeError | RpcError):
                raise not_prepared(revision.name, str(error)) from error
            raise

    async def _await_start(self, slot: Slot, instance: Instance, probe: Probe, workload: Workload) -> None:
        """Raises Unready when the container ends or its startup probe fails before it is ready."""
        probing = asyncio.create_task(passes(probe))
        abandoned = asyncio.create_task(slot.abandoned.wait())
        try:
            await asyncio.wait({probing, abandoned, instance.ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            probing.cancel()
            abandoned.cancel()
        if slot.abandoned.is_set():
            raise Abandoned
        if instance.ended.done():
            code = instance.ended.result()
            self._journal.system(workload.revision, f"Container called exit({code}).", "WARNING")
        elif probing.result():
            self._journal.system(
                workload.revision,
                f"{_whose(probe)}STARTUP {probe.kind} probe succeeded for container on port {workload.port}.",
            )
            return
        else:
            self._journal.system(
                workload.revision,
                f"{_whose(probe)}STARTUP {probe.kind} probe failed for container on port {workload.port}. The instance "
                "was not started.",
                "ERROR",
            )
        raise self._not_up(probe, workload)

    @staticmethod
    def _not_up(probe: Probe, workload: Workload) -> Unready:
        if probe.configured:
            return probe_failed(workload.revision)
        return did_not_listen(workload.revision, workload.port)

    async def _end(self, slot: Slot, *, hurry: bool = False) -> None:
        instance, slot.instance = slot.instance, None
        if instance is not None:
            await instance.stop(hurry=hurry)
        folder, slot.folder = slot.folder, None
        if folder is not None:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _whose(probe: Probe) -> str:
    return "" if probe.configured else "Default "
