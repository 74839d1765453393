"""Cloud Run services: those that slipway.yaml does not define any more, and that nobody calls."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

from infra.gcp import monitoring
from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import services
from infra.gcp.run.services import RunService
from tasks.cleanup.engine.model import DAY_S, Action, Item, Kind, Traits
from tasks.cleanup.kinds.adapter import TIMEOUT_S, Claim, Found, Look, Reference, ResourceKind, refuse_another
from tasks.cleanup.kinds.cloud_run import SERVICES, all_services, in_words, runs, sources
from tasks.cleanup.memory import Memory
from tasks.failures.roles import Need
from tasks.model import Request
from tasks.names import resources
from tasks.names.labels import owner_of

SERVICE = Kind("service")
DISABLE = Action("disable")  # no instances: whoever calls gets an error, and automatic scaling undoes it
QUIET = timedelta(days=30)  # what nobody called for so long is unused; Cloud Monitoring keeps six weeks


class Services(ResourceKind):
    kind = SERVICE
    traits = Traits(standing=True, first=DISABLE, settle_s=DAY_S)
    dated_by_us = True
    live = True
    needs = (Need("monitoring.timeSeries.list", "roles/monitoring.viewer", "see whether anybody calls a service"),)

    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        return sources(SERVICES, requests)

    async def list(self, look: Look) -> Found:
        survey = await look.once(all_services)
        items = tuple(service_item(each, look.app, look.memory) for each in survey.everything)
        claims = (runs(each.name, each.template) for each in survey.everything)
        called = await asyncio.gather(*(_called(each, look) for each in self._undefined(survey.everything, look)))
        return Found(items, (*_defined(look.requests), *claims, *filter(None, called)), survey.listings)

    def _undefined(self, found: Iterable[RunService], look: Look) -> Iterable[RunService]:
        """What might go, were it not called."""
        known = {reference.name for claim in _defined(look.requests) for reference in claim.needs}
        return [each for each in found if each.name not in known]

    async def again(self, before: Item) -> Item | None:
        found = await services.get_service(before.name)
        if found is None:
            return None
        prepared = before.prepared if found.disabled else None
        return replace(before, labels=found.labels, etag=_state(found), uploaded=found.created, prepared=prepared)

    async def first(self, item: Item) -> bool:
        etag = await _etag(item)
        return etag is not None and await services.disable_service(item.name, etag, TIMEOUT_S)

    async def delete(self, item: Item) -> bool:
        etag = await _etag(item)
        return etag is not None and await services.delete_service(item.name, etag, TIMEOUT_S)

    def undo_first(self, item: Item) -> str:
        parts = resources.parts(item.name)
        return (
            f"gcloud beta run services update {parts['services']} --scaling=auto --region={parts['locations']} "
            f"--project={parts['projects']}"
        )


async def _etag(item: Item) -> str | None:
    """What a step on the service as it was planned must name; None if it is gone. Raises GoogleError ABORTED."""
    found = await services.get_service(item.name)
    if found is None:
        return None
    refuse_another(item, found.created, _state(found))
    return found.etag


def _state(found: RunService) -> str:
    """What only changes that somebody wants do change; the etag changes with the status, too.

    https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services#Service.FIELDS.generation
    """
    return str(found.generation)


async def _called(service: RunService, look: Look) -> Claim | None:
    """Who routes traffic without being ours is used, asked or not; of ours, what was called of late."""
    by = await _caller(service, look)
    return Claim(f"{in_words(service.name)}: {by}", (Reference(SERVICE, service.name),)) if by else None


async def _caller(service: RunService, look: Look) -> str:
    """'' if nobody is known to call it."""
    if owner_of(service.labels, look.app) != look.app:
        return "it has traffic" if service.routed else ""
    if look.requests[0].manifest.retention.foreign_of(SERVICE) != "delete":
        return ""
    now = look.clock()
    try:
        count = await monitoring.requests(service.name, now - QUIET, now)
    except GoogleError as error:
        return f"it cannot be told whether anybody calls it ({error.status})"
    return f"called {count} times in {QUIET.days} days" if count else ""


def service_item(found: services.RunService, app: str, memory: Memory) -> Item:
    """No API tells when a service was disabled, or by whom: what counts is when clean-up has done it."""
    return Item(
        SERVICE,
        found.name,
        "",
        owner_of(found.labels, app),
        found.created,
        labels=found.labels,
        etag=_state(found),
        prepared=memory.taken.get(found.name) if found.disabled else None,
    )


def _defined(requests: Sequence[Request]) -> Iterable[Claim]:
    """The services that slipway.yaml defines; some may not be there yet."""
    for request in requests:
        yield Claim("slipway.yaml", tuple(Reference(SERVICE, request.run_service(place)) for place in request.places))
