"""Cloud Run's worker pools as one object: their parts, and how they start and stop with the emulator."""

from __future__ import annotations

from typing import Any

from infra.emulator.kernel.behaviour import Behaviour
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.run.conditions import Failure
from infra.emulator.run.instances import Instances
from infra.emulator.run.lifecycle import Lifecycle
from infra.emulator.run.pools.crew import Crew
from infra.emulator.run.pools.defaults import check_new, check_pool, fill_in
from infra.emulator.run.pools.shares import shared_out
from infra.emulator.run.reconcile import Addresses, Reconciler
from infra.emulator.run.state import PoolPb
from infra.emulator.run.state import State as RunState
from infra.emulator.run.system import CloudRun
from infra.emulator.run.traffic import routes_of


class PoolReconciler(Reconciler):
    def __init__(self, state: RunState, behaviour: Behaviour, instances: Instances, crew: Crew) -> None:
        super().__init__(state, behaviour, instances)
        self._crew = crew

    def asked(self, owner: Any) -> Any:
        return owner.instance_splits

    async def open(self, owner: Any) -> Addresses:
        return {}

    async def close(self, name: str) -> None:
        self._crew.dismiss(name)

    def conclude(self, owner: Any, failure: Failure | None, uris: Addresses) -> None:
        if failure is None or not owner.instance_split_statuses:  # a failure leaves the instances as they were
            del owner.instance_split_statuses[:]
            for split in owner.instance_splits:
                owner.instance_split_statuses.add(type_=split.type_, revision=split.revision, percent=split.percent)

    async def send(self, owner: Any) -> None:
        """A revision without a share ends the instance that has proven it, after its grace."""
        counts = shared_out(owner.scaling.manual_instance_count, routes_of(owner).shares)
        self._crew.want(owner.name, counts)
        if owner.latest_created_revision not in counts:
            self._crew.release(owner.latest_created_revision)


class PoolLifecycle(Lifecycle):
    kind = PoolPb
    metric = "WorkerPools"
    mutable = (
        "description", "labels", "annotations", "client", "client_version", "launch_stage", "binary_authorization",
        "template", "instance_splits", "scaling", "custom_audiences",
    )  # fmt: skip

    def check_new(self, owner: Any) -> None:
        check_new(owner)

    def complete(self, owner: Any, project_number: int) -> None:
        fill_in(owner, project_number)
        check_pool(owner)

    def allow(self, owner: Any, before: Any, principal: str) -> None:
        """Nobody calls a pool."""

    def _all(self) -> Any:
        return self._state.pools.list()


class CloudPools:
    def __init__(self, cloud: Cloud) -> None:
        run = cloud.get(CloudRun)
        self.state = run.state
        self._crew = Crew(run.instances, run.journal, cloud.background)
        self._reconciler = PoolReconciler(run.state, cloud.behaviour, run.instances, self._crew)
        self.lifecycle = PoolLifecycle(cloud, run.state, self._reconciler)
        cloud.on_start.append(self._start)
        cloud.on_stop.insert(0, self._stop)  # before the instances are stopped, which would be started again
        cloud.on_reset.append(self._crew.forget)

    async def _start(self) -> None:
        for pool in list(self.state.pools.list()):
            await self._reconciler.send(pool)
        self.lifecycle.resume()

    async def _stop(self) -> None:
        self._crew.forget()
