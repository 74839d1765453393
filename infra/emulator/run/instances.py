"""The instances of all revisions: started when needed, proven to have come up, stopped when nothing leads there.

A service's revision has one, which goes by the revision's name; those of a worker pool's are numbered, `NAME#0` first.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Set
from pathlib import Path
from typing import Any

from infra.emulator.kernel.behaviour import Behaviour
from infra.emulator.kernel.errors import RpcError
from infra.emulator.run.conditions import Unready, did_not_listen, not_prepared, probe_failed
from infra.emulator.run.defaults import START_LIMIT_S, ingress_container
from infra.emulator.run.journal import Journal
from infra.emulator.run.listeners import listens_elsewhere
from infra.emulator.run.machines import Machines
from infra.emulator.run.networks import Networks
from infra.emulator.run.probes import Probe, passes, port_probed, startup_probe
from infra.emulator.run.runtime import Instance, Runtime, begin
from infra.emulator.run.runtimes import Runtimes
from infra.emulator.run.state import State
from infra.emulator.run.workload import Resolver, Workload, takes_requests

LEFT_S = 30.0  # an instance of a revision that nothing leads to stops after so long without a request
# Where requests may come, and no least number of instances is asked for: https://cloud.google.com/run/docs/about-instance-autoscaling
IDLE_S = 900.0
SWEEP_S = 5.0


class Abandoned(Exception):
    """The instance was told to stop before it had started."""


class Slot:
    """The place of one instance."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()  # held while the instance starts or stops
        self.abandoned = asyncio.Event()
        self.instance: Instance | None = None
        self.folder: Path | None = None
        self.requests = 0  # in flight
        self.last_used = time.monotonic()


class Instances:
    def __init__(
        self,
        state: State,
        behaviour: Behaviour,
        resolver: Resolver,
        runtimes: Runtimes,
        journal: Journal,
        networks: Networks,
        machines: Machines,
        folder: Path,
    ) -> None:
        self._state, self._behaviour, self._folder = state, behaviour, folder
        self._resolver, self._runtimes, self._journal, self._networks = resolver, runtimes, journal, networks
        self._machines = machines
        self._slots: dict[str, Slot] = {}
        self._kept: dict[str, Set[str]] = {}  # owner -> the instances that are to be there
        self._reached: dict[str, Set[str]] = {}  # owner -> those that may be needed at any time

    def want(self, owner: str, kept: Set[str], reached: Set[str] = frozenset()) -> None:
        """Says which instances of its revisions stay, and to which requests may come; the others end sooner."""
        self._kept[owner], self._reached[owner] = kept, reached

    async def prove(self, revision: str) -> None:
        """Starts an instance of the revision; raises Unready when it does not come up, or Abandoned.

        A fault of `run.revisions.start` is Cloud Run's own failure to start what may well be good.
        """
        if (fault := self._behaviour.pick("run.revisions.start")) and fault.code:
            raise not_prepared(revision, fault.message or "Internal system error, system will retry.")
        await self.running(revision if takes_requests(self._state.revision(revision)) else f"{revision}#0")

    @contextlib.asynccontextmanager
    async def request(self, revision: str) -> AsyncIterator[str]:
        """The host:port of the revision's instance for one request; a cold one is started first. Raises Unready."""
        slot = self._slot(revision)
        slot.requests += 1
        try:
            instance = slot.instance
            if instance is None or not instance.running:
                instance = await self.running(revision)
            yield instance.place
        finally:
            slot.requests -= 1
            slot.last_used = time.monotonic()

    async def discard(self, revision: str, place: str) -> None:
        """Ends the instance that should listen there and does not; the next request starts another."""
        slot = self._slot(revision)
        async with slot.lock:
            if slot.instance is not None and slot.instance.place == place:
                await self._end(slot, hurry=True)

    async def stop(self, revision: str) -> None:
        """Ends the revision's instances; one that is just starting is given up."""
        own = [name for name in self._slots if name.partition("#")[0] == revision]
        await asyncio.gather(*(self.stop_one(name) for name in own))

    async def stop_one(self, name: str, *, hurry: bool = False) -> None:
        slot = self._slots.pop(name, None)
        if slot is not None:
            slot.abandoned.set()
            async with slot.lock:
                await self._end(slot, hurry=hurry)

    async def stop_all(self) -> None:
        """Ends every instance without much grace: the emulator itself stops."""
        await asyncio.gather(*(self.stop_one(name, hurry=True) for name in list(self._slots)))
        self._kept.clear()
        self._reached.clear()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def sweep(self) -> None:
        """Ends idle instances for as long as the emulator runs."""
        while True:
            idle_s = self._behaviour.latency_s.get("run.idle", IDLE_S)
            await asyncio.sleep(min(SWEEP_S, idle_s))
            kept, reached = set().union(*self._kept.values()), set().union(*self._reached.values())
            for name, slot in list(self._slots.items()):
                limit_s = idle_s if name in reached else LEFT_S
                unused = not slot.requests and not slot.lock.locked() and time.monotonic() - slot.last_used > limit_s
                if unused and name not in kept:
                    await self.stop_one(name)

    def _slot(self, name: str) -> Slot:
        return self._slots.setdefault(name, Slot())

    async def running(self, name: str) -> Instance:
        """The instance of that name, started if it is not there. Raises Unready or Abandoned."""
        slot = self._slot(name)
        async with slot.lock:
            if slot.abandoned.is_set():
                raise Abandoned
            if slot.instance is None or not slot.instance.running:
                await self._end(slot)
                await self._start(slot, self._state.revision(name.partition("#")[0]))
            slot.last_used = time.monotonic()
            assert slot.instance is not None
            return slot.instance

    async def _start(self, slot: Slot, revision: Any) -> None:
        workload = self._resolver.resolve(revision)
        runtime, why = await self._runtimes.choose(workload)
        self._journal.system(revision.name, f"Starting an instance with the {runtime.name} runtime: {why}.")
        slot.folder = self._folder / uuid.uuid4().hex
        slot.folder.mkdir(parents=True)
        try:
            slot.instance = await self._launch(runtime, workload, slot.folder)
            await self._await_start(slot, slot.instance, self._probe(revision, slot.instance), workload)
        except BaseException as error:
            await self._end(slot, hurry=True)
            if isinstance(error, OSError | RuntimeError | RpcError):
                raise not_prepared(revision.name, str(error)) from error
            raise

    async def _launch(self, runtime: Runtime, workload: Workload, folder: Path) -> Instance:
        sink, metadata = self._journal.sink(workload.owner), self._machines.of(workload)
        return await begin(runtime, workload, folder, sink, self._networks, metadata)

    def _probe(self, revision: Any, instance: Instance) -> Probe | None:
        """None where nothing tells but that it runs, as for a worker that has no startup probe."""
        limit_s = self._behaviour.latency_s.get("run.start-timeout", START_LIMIT_S)
        if takes_requests(revision):
            return startup_probe(ingress_container(revision.containers), instance.host, instance.port, limit_s)
        worker = revision.containers[0]
        if not worker.HasField("startup_probe"):
            return None
        return startup_probe(worker, instance.host, port_probed(worker.startup_probe), limit_s)

    async def _await_start(self, slot: Slot, instance: Instance, probe: Probe | None, workload: Workload) -> None:
        """Raises Unready when the container ends or its startup probe fails before it is ready."""
        if probe is None:
            return
        probing = asyncio.create_task(passes(probe, self._networks))
        abandoned = asyncio.create_task(slot.abandoned.wait())
        misplaced = asyncio.create_task(listens_elsewhere(instance, workload.port)) if workload.port else None
        watched = {task for task in (probing, misplaced, abandoned) if task}
        try:
            await asyncio.wait({*watched, instance.ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in watched:
                task.cancel()
        if slot.abandoned.is_set():
            raise Abandoned
        place = workload.port or probe.port
        if instance.ended.done():
            code = instance.ended.result()
            self._journal.system(workload.owner, f"Container called exit({code}).", "WARNING")
        elif probing.done() and probing.result():
            self._journal.system(
                workload.owner,
                f"{_whose(probe)}STARTUP {probe.kind} probe succeeded for container on port {place}.",
            )
            return
        elif misplaced and misplaced.done():
            self._journal.system(workload.owner, misplaced.result(), "ERROR")
        else:
            self._journal.system(
                workload.owner,
                f"{_whose(probe)}STARTUP {probe.kind} probe failed for container on port {place}. The instance "
                "was not started.",
                "ERROR",
            )
        raise self._not_up(probe, workload)

    @staticmethod
    def _not_up(probe: Probe, workload: Workload) -> Unready:
        if probe.configured:
            return probe_failed(workload.owner)
        return did_not_listen(workload.owner, workload.port)

    async def _end(self, slot: Slot, *, hurry: bool = False) -> None:
        instance, slot.instance = slot.instance, None
        if instance is not None:
            await instance.stop(hurry=hurry)
            if instance.network:
                self._networks.close(instance.network)
        folder, slot.folder = slot.folder, None
        if folder is not None:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _whose(probe: Probe) -> str:
    return "" if probe.configured else "Default "
