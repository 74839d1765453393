"""Cloud Run services: those that slipway.yaml does not define any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from infra.gcp.run import services
from tasks.cleanup.engine.model import Item, Kind, Traits
from tasks.cleanup.kinds.adapter import TIMEOUT_S, Claim, Found, Look, Reference, ResourceKind
from tasks.cleanup.kinds.cloud_run import SERVICES, all_services, runs, sources
from tasks.model import Request
from tasks.names.labels import owner_of

SERVICE = Kind("service")


class Services(ResourceKind):
    kind = SERVICE
    traits = Traits(standing=True)
    live = True

    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        return sources(SERVICES, requests)

    async def list(self, look: Look) -> Found:
        survey = await look.once(all_services)
        items = tuple(service_item(each, look.app) for each in survey.everything)
        claims = (runs(each.name, each.template) for each in survey.everything)
        return Found(items, (*_defined(look.requests), *claims), survey.listings)

    async def again(self, before: Item) -> Item | None:
        found = await services.get_service(before.name)
        return None if found is None else replace(before, labels=found.labels, etag=found.etag, uploaded=found.created)

    async def delete(self, item: Item) -> bool:
        return await services.delete_service(item.name, item.etag, TIMEOUT_S)


def service_item(found: services.RunService, app: str) -> Item:
    owner = owner_of(found.labels, app)
    return Item(SERVICE, found.name, "", owner, found.created, labels=found.labels, etag=found.etag)


def _defined(requests: Sequence[Request]) -> Iterable[Claim]:
    """The services that slipway.yaml defines; some may not be there yet."""
    for request in requests:
        yield Claim("slipway.yaml", tuple(Reference(SERVICE, request.run_service(place)) for place in request.places))
