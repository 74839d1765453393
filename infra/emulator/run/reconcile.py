"""Brings what runs to what a service asks for: starts its revision, then moves its routes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

from google.rpc.code_pb2 import Code

from infra.emulator.behaviour import Behaviour
from infra.emulator.errors import RpcError, aborted
from infra.emulator.run import revisions
from infra.emulator.run.conditions import Failure, State, Unready, condition, revision_gone
from infra.emulator.run.defaults import LATEST
from infra.emulator.run.doors import Doors
from infra.emulator.run.instances import Abandoned, Instances
from infra.emulator.run.names import ServiceName
from infra.emulator.run.state import State as RunState
from infra.emulator.run.traffic import routes_of, statuses


class Reconciler:
    """One service is reconciled at a time; a change that comes meanwhile waits its turn."""

    def __init__(self, state: RunState, behaviour: Behaviour, instances: Instances, doors: Doors) -> None:
        self._state, self._behaviour, self._instances, self._doors = state, behaviour, instances, doors
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def apply(self, name: str, generation: int) -> Any:
        """Returns the settled service; raises the RpcError that its operation ends with."""
        async with self._turns[name]:
            revision = self._state.revision(self._state.wanted(name))
            failure = None
            if self._must_start(revision):
                await self._behaviour.pause("run.service")
                failure = await self._start(revision.name)
            else:
                await self._behaviour.pause("run.traffic")
            return await self._settle(name, generation, failure)

    async def remove(self, name: str) -> Any:
        """Takes a deleted service away: its doors, its instances, and then its state."""
        await self._behaviour.pause("run.traffic")
        await self._doors.close(name)
        await asyncio.gather(*(self._instances.stop(r.name) for r in self._state.revisions_of(name)))
        async with self._turns[name]:  # a deployment that was under way has just been given up
            service = self._state.service(name)
            self._state.delete_service(name)
            service.ClearField("reconciling")
            return service

    async def remove_revision(self, name: str) -> Any:
        await self._behaviour.pause("run.traffic")
        revision = self._state.revision(name)
        await self._instances.stop(name)
        self._state.delete_revision(name)
        return revision

    async def restore(self, name: str) -> None:
        """After a restart: opens a service's doors again, on the same ports where they are free."""
        service = self._state.service(name)
        if service.uri:
            await self._publish(service)
            self._state.services.put(name, service)
            self._instances.want(name, routes_of(service).revisions)

    def _must_start(self, revision: Any) -> bool:
        """A revision that failed before is tried again only if traffic is to reach it."""
        if revisions.is_ready(revision):
            return False
        service = self._state.service(str(ServiceName.parse(revision.name)))
        return bool(revision.reconciling) or revision.name in self._targets(service, revision.name)

    @staticmethod
    def _targets(service: Any, latest: str) -> list[str]:
        """The full names of the revisions that the wanted traffic is for; `latest` stands for LATEST."""
        name = ServiceName.parse(service.name)
        return [latest if target.type_ == LATEST else name.revision(target.revision) for target in service.traffic]

    async def _start(self, name: str) -> Failure | None:
        service = self._state.service(str(ServiceName.parse(name)))
        service.latest_created_revision = name
        self._state.services.put(service.name, service)
        failure = None
        try:
            await self._instances.prove(name)
        except Unready as unready:
            failure = unready.failure
        except Abandoned:
            if self._state.service(service.name).HasField("delete_time"):
                raise aborted(f"Service '{service.name}' was deleted while it was being deployed.") from None
            raise asyncio.CancelledError from None  # the emulator stops; the deployment goes on when it is back
        revision = self._state.revision(name)
        revisions.finish(revision, failure)
        self._state.revisions.put(name, revision)
        return failure

    async def _settle(self, name: str, generation: int, failure: Failure | None) -> Any:
        service = self._state.service(name)
        if service.HasField("delete_time"):
            raise aborted(f"Service '{name}' was deleted while it was being changed.")
        service.latest_created_revision = self._state.wanted(name)
        if revisions.is_ready(self._state.revision(service.latest_created_revision)):
            service.latest_ready_revision = service.latest_created_revision
        if service.generation == generation:  # else a newer change waits, and settles the routes
            failure = failure or self._unroutable(service)
            await self._route(service, failure)
        self._state.services.put(name, service)
        if failure is not None:
            raise RpcError(Code.INTERNAL, failure.message)
        return service

    def _unroutable(self, service: Any) -> Failure | None:
        """The first reason why the wanted traffic cannot be routed; None if it can."""
        for name in self._targets(service, service.latest_created_revision):
            revision = self._state.revisions.get(name)
            if revision is None:
                return revision_gone(name).failure
            if failure := revisions.failure_of(revision):
                return failure
        return None

    async def _route(self, service: Any, failure: Failure | None) -> None:
        service.observed_generation = service.generation
        service.ClearField("reconciling")
        state = State.CONDITION_SUCCEEDED if failure is None else State.CONDITION_FAILED
        service.terminal_condition.CopyFrom(condition("Ready", state, failure))
        del service.conditions[:]
        service.conditions.append(condition("RoutesReady", state, failure))
        service.conditions.append(condition("ConfigurationsReady", State.CONDITION_SUCCEEDED))
        if failure is None:
            await self._publish(service)
        elif not service.traffic_statuses:  # nothing served before
            service.traffic_statuses.extend(statuses(service.traffic, {}))
        self._mark_active(service)
        self._instances.want(service.name, routes_of(service).revisions)

    async def _publish(self, service: Any) -> None:
        """Opens the addresses that the wanted traffic asks for and sends their requests there from now on."""
        tags = sorted({target.tag for target in service.traffic if target.tag})
        uris = await self._doors.open(service.name, tags)
        service.uri = uris[""]
        service.urls[:] = [service.uri]
        del service.traffic_statuses[:]
        service.traffic_statuses.extend(statuses(service.traffic, uris))
        await self._doors.route(service.name, routes_of(service))

    def _mark_active(self, service: Any) -> None:
        serving = routes_of(service).revisions
        for revision in self._state.revisions_of(service.name):
            if revisions.is_ready(revision) and revisions.set_active(revision, revision.name in serving):
                self._state.revisions.put(revision.name, revision)
