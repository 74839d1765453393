"""Cloud Run as one object: its parts, and how they start and stop with the emulator."""

from __future__ import annotations

from infra.emulator.artifacts.images import Images
from infra.emulator.iam.identity import Identity
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.logs.entries import Logs
from infra.emulator.projects.projects import Projects
from infra.emulator.run.doors import Doors
from infra.emulator.run.front import Front
from infra.emulator.run.instances import Instances
from infra.emulator.run.invoker import Invoker
from infra.emulator.run.journal import Journal
from infra.emulator.run.lifecycle import ServiceLifecycle
from infra.emulator.run.machines import Machines
from infra.emulator.run.metrics import Metrics
from infra.emulator.run.networks import Networks
from infra.emulator.run.runtimes import Runtimes
from infra.emulator.run.serving import ServiceReconciler
from infra.emulator.run.state import State
from infra.emulator.run.workload import Resolver, Surroundings


class CloudRun:
    def __init__(self, cloud: Cloud) -> None:
        self.state = State(cloud.store)
        self.metrics = Metrics()
        self._cloud = cloud
        self.around, self.networks = Surroundings(cloud), cloud.put(Networks())
        self.machines = Machines(cloud)
        self.journal = Journal(cloud.get(Logs))
        self._doors = Doors(self.state, self.networks)
        self.runtimes = Runtimes(cloud.get(Images), cloud.data / "podman")
        self.instances = Instances(
            self.state,
            cloud.behaviour,
            Resolver(self.around, self.state),
            self.runtimes,
            self.journal,
            self.networks,
            self.machines,
            cloud.data / "instances",
        )
        self._reconciler = ServiceReconciler(self.state, cloud.behaviour, self.instances, self._doors)
        self._front = Front(
            self.state,
            self._doors,
            self.instances,
            Invoker(cloud.get(Policies), cloud.get(Identity), cloud.get(Projects)),
            self.metrics,
            self.networks,
        )
        self.lifecycle = ServiceLifecycle(cloud, self.state, self._reconciler)
        cloud.on_start.append(self._start)
        cloud.on_stop.append(self._stop)

    async def _start(self) -> None:
        self._cloud.background.spawn(self.runtimes.podman.remove_leftovers())
        await self._front.start()
        await self._doors.start(self._front.handle)
        for name in self.state.services.names():
            await self._reconciler.restore(name)
        self.lifecycle.resume()
        self._sweep = self._cloud.background.spawn(self.instances.sweep())

    async def _stop(self) -> None:
        self._sweep.cancel()
        await self._doors.stop()
        await self.instances.stop_all()
        await self.machines.stop()
        await self.runtimes.podman.close()
        await self._front.stop()
        self.metrics.clear()
