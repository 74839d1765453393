"""How a service gets what it asks for: doors that lead to its revisions, by their shares and tags."""

from __future__ import annotations

from typing import Any

from infra.emulator.kernel.behaviour import Behaviour
from infra.emulator.run.conditions import Failure, State, condition
from infra.emulator.run.doors import Doors
from infra.emulator.run.instances import Instances
from infra.emulator.run.reconcile import Addresses, Reconciler
from infra.emulator.run.state import State as RunState
from infra.emulator.run.traffic import Routes, routes_of, statuses


class ServiceReconciler(Reconciler):
    def __init__(self, state: RunState, behaviour: Behaviour, instances: Instances, doors: Doors) -> None:
        super().__init__(state, behaviour, instances)
        self._doors = doors

    def asked(self, owner: Any) -> Any:
        return owner.traffic

    async def open(self, owner: Any) -> Addresses:
        return await self._doors.open(owner.name, sorted({target.tag for target in owner.traffic if target.tag}))

    async def close(self, name: str) -> None:
        await self._doors.close(name)

    async def restore(self, name: str) -> None:
        """After a restart: opens a service's doors again, on the same ports where they are free."""
        if self._state.service(name).uri or self._state.service(name).default_uri_disabled:
            tags = routes_of(self._state.service(name)).tags
            uris = await self._doors.open(name, sorted(tags))
            service = self._state.service(name)
            _show_addresses(service, uris)
            self._state.services.put(name, service)
            await self.send(service)

    def conclude(self, owner: Any, failure: Failure | None, uris: Addresses) -> None:
        state = State.CONDITION_SUCCEEDED if failure is None else State.CONDITION_FAILED
        del owner.conditions[:]
        owner.conditions.append(condition("RoutesReady", state, failure))
        owner.conditions.append(condition("ConfigurationsReady", State.CONDITION_SUCCEEDED))
        if failure is None or not owner.traffic_statuses:  # a failure leaves the routes as they were
            del owner.traffic_statuses[:]
            owner.traffic_statuses.extend(statuses(owner.traffic))
        if failure is None:
            _show_addresses(owner, uris)

    async def send(self, owner: Any) -> None:
        """Sends requests where the service's statuses say, and keeps instances for them."""
        routes = routes_of(owner)
        self._instances.want(owner.name, self._kept(owner, routes), routes.revisions)
        await self._doors.route(owner.name, routes)

    def _kept(self, service: Any, routes: Routes) -> set[str]:
        """Those of which an instance is to be there all the time: the service's least number is of what has a share."""
        least = service.scaling.min_instance_count or service.scaling.manual_instance_count
        there = [each for each in self._state.revisions_of(service.name) if each.name in routes.revisions]
        return {
            each.name for each in there if each.scaling.min_instance_count or (least and each.name in routes.shares)
        }


def _show_addresses(service: Any, uris: Addresses) -> None:
    """`uris`: by tag; the service's own is under ''. Without a default URL no tag has one either, and none is shown.

    https://cloud.google.com/run/docs/configuring/instances/default-url: "In the output, the URL is displayed as None"
    """
    if service.default_uri_disabled:
        service.ClearField("uri")
        del service.urls[:]
        for status in service.traffic_statuses:
            status.ClearField("uri")
        return
    service.uri = uris[""]
    service.urls[:] = [service.uri]
    for status in service.traffic_statuses:
        if status.tag:
            status.uri = uris[status.tag]
