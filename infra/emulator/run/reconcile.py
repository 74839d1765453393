"""Brings what runs to what a service asks for: starts its revision, then moves its routes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from google.rpc.code_pb2 import Code

from infra.emulator.kernel.behaviour import Behaviour
from infra.emulator.kernel.errors import RpcError, aborted
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

    async def apply(self, name: str, generation: int, revision: str) -> Any:
        """Returns the settled service; raises the RpcError that its operation ends with.

        generation: of the service that the operation made. revision: full name of the one its template stands for.
        """
        async with self._turns[name]:
            failure = None
            if self._must_start(revision):
                await self._behaviour.pause("run.service")
                failure = await self._start(revision)
            else:
                await self._behaviour.pause("run.traffic")
            return await self._settle(name, generation, revision, failure)

    async def remove(self, name: str) -> Any:
        """Takes a deleted service away: its doors, its instances, and then its state."""
        await self._behaviour.pause("run.traffic")
        await self._doors.close(name)
        await self._stop_instances(name)  # a deployment that is under way is given up
        async with self._turns[name]:
            await self._stop_instances(name)
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
        if self._state.service(name).uri:
            tags = routes_of(self._state.service(name)).tags
            uris = await self._doors.open(name, sorted(tags))
            service = self._state.service(name)
            _show_addresses(service, uris)
            self._state.services.put(name, service)
            await self._send(service)

    async def _stop_instances(self, service: str) -> None:
        await asyncio.gather(*(self._instances.stop(revision.name) for revision in self._state.revisions_of(service)))

    def _must_start(self, name: str) -> bool:
        """A revision that failed before is tried again only if traffic is to reach it."""
        revision = self._state.revision(name)
        if revisions.is_ready(revision):
            return False
        return bool(revision.reconciling) or name in self._targets(self._service_of(name), name)

    def _service_of(self, revision: str) -> Any:
        return self._state.service(str(ServiceName.parse(revision)))

    @staticmethod
    def _targets(service: Any, latest: str) -> list[str]:
        """The full names of the revisions that the wanted traffic is for; `latest` stands for LATEST."""
        name = ServiceName.parse(service.name)
        return [latest if target.type_ == LATEST else name.revision(target.revision) for target in service.traffic]

    async def _start(self, name: str) -> Failure | None:
        """Starts the revision's instance and writes down how that went."""
        service = self._service_of(name)
        _check_still_wanted(service)
        service.latest_created_revision = name
        self._state.services.put(service.name, service)
        failure = None
        try:
            await self._instances.prove(name)
        except Unready as unready:
            failure = unready.failure
        except Abandoned:
            _check_still_wanted(self._service_of(name))
            raise asyncio.CancelledError from None  # the emulator stops; the deployment goes on when it is back
        revision = self._state.revision(name)
        revisions.finish(revision, failure)
        self._state.revisions.put(name, revision)
        return failure

    async def _settle(self, name: str, generation: int, revision: str, failure: Failure | None) -> Any:
        """Moves the routes, unless a newer change waits to do so."""
        service = self._state.service(name)
        if failure is None and service.generation == generation:
            failure = self._unroutable(service, revision)
        tags = sorted({target.tag for target in service.traffic if target.tag})
        uris = {} if failure else await self._doors.open(name, tags)
        service = self._state.service(name)  # it may have been changed meanwhile; from here on it cannot be
        _check_still_wanted(service)
        service.latest_created_revision = revision
        if revisions.is_ready(self._state.revision(revision)):
            service.latest_ready_revision = revision
        if service.generation == generation:
            _conclude(service, failure, uris)
        self._state.services.put(name, service)
        await self._send(service)
        if failure is not None:
            raise RpcError(Code.INTERNAL, failure.message)
        return service

    def _unroutable(self, service: Any, latest: str) -> Failure | None:
        """The first reason why the wanted traffic cannot be routed; None if it can."""
        for name in self._targets(service, latest):
            revision = self._state.revisions.get(name)
            if revision is None:
                return revision_gone(name).failure
            if failure := revisions.failure_of(revision):
                return failure
        return None

    async def _send(self, service: Any) -> None:
        """Sends requests where the service's statuses say, and keeps instances for them."""
        routes = routes_of(service)
        self._instances.want(service.name, routes.revisions)
        self._mark_active(service.name, routes.revisions)
        await self._doors.route(service.name, routes)

    def _mark_active(self, service: str, serving: set[str]) -> None:
        for revision in self._state.revisions_of(service):
            if revisions.is_ready(revision) and revisions.set_active(revision, revision.name in serving):
                self._state.revisions.put(revision.name, revision)


def _check_still_wanted(service: Any) -> None:
    if service.HasField("delete_time"):
        raise aborted(f"Service '{service.name}' was deleted while it was being deployed.")


def _conclude(service: Any, failure: Failure | None, uris: Mapping[str, str]) -> None:
    """Writes into the service how its change ended."""
    service.observed_generation = service.generation
    service.ClearField("reconciling")
    state = State.CONDITION_SUCCEEDED if failure is None else State.CONDITION_FAILED
    service.terminal_condition.CopyFrom(condition("Ready", state, failure))
    del service.conditions[:]
    service.conditions.append(condition("RoutesReady", state, failure))
    service.conditions.append(condition("ConfigurationsReady", State.CONDITION_SUCCEEDED))
    if failure is None or not service.traffic_statuses:  # a failure leaves the routes as they were
        del service.traffic_statuses[:]
        service.traffic_statuses.extend(statuses(service.traffic))
    if failure is None:
        _show_addresses(service, uris)


def _show_addresses(service: Any, uris: Mapping[str, str]) -> None:
    """`uris`: by tag; the service's own is under ''."""
    service.uri = uris[""]
    service.urls[:] = [service.uri]
    for status in service.traffic_statuses:
        if status.tag:
            status.uri = uris[status.tag]
