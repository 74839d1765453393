"""Cloud Run as one object: its parts, and how they start and stop with the emulator."""

from __future__ import annotations

from infra.emulator.artifacts.images import Images
from infra.emulator.iam.identity import Identity
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.logs.entries import Logs
from infra.emulator.run.doors import Doors
from infra.emulator.run.front import Front
from infra.emulator.run.instances import Instances
from infra.emulator.run.invoker import Invoker
from infra.emulator.run.journal import Journal
from infra.emulator.run.lifecycle import Lifecycle
from infra.emulator.run.metrics import Metrics
from infra.emulator.run.reconcile import Reconciler
from infra.emulator.run.runtimes import Runtimes
from infra.emulator.run.state import State
from infra.emulator.run.workload import Resolver


class CloudRun:
    def __init__(self, cloud: Cloud) -> None:
        self.state = State(cloud.store)
        self.metrics = Metrics()
        self._cloud = cloud
        self._doors = Doors(self.state)
        self._runtimes = Runtimes(cloud.get(Images), cloud.data / "podman")
        self._instances = Instances(
            self.state,
            cloud.behaviour,
            Resolver(cloud, self.state),
            self._runtimes,
            Journal(cloud.get(Logs)),
            cloud.data / "instances",
        )
        self._reconciler = Reconciler(self.state, cloud.behaviour, self._instances, self._doors)
        self._front = Front(
            self.state, self._doors, self._instances, Invoker(cloud.get(Policies), cloud.get(Identity)), self.metrics
        )
        self.lifecycle = Lifecycle(cloud, self.state, self._reconciler)
        cloud.on_start.append(self._start)
        cloud.on_stop.append(self._stop)

    async def _start(self) -> None:
        self._cloud.background.spawn(self._runtimes.podman.remove_leftovers())
        await self._front.start()
        await self._doors.start(self._front.handle)
        for name in self.state.services.names():
            await self._reconciler.restore(name)
        self.lifecycle.resume()
        self._sweep = self._cloud.background.spawn(self._instances.sweep())

    async def _stop(self) -> None:
        self._sweep.cancel()
        await self._doors.stop()
        await self._instances.stop_all()
        await self._runtimes.podman.close()
        await self._front.stop()
        self.metrics.clear()
