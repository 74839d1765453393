"""All that runs on Cloud Run in an app's projects: services and revisions as items, everything as who needs what."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from infra.gcp.run import workloads as fleet
from infra.gcp.run.workloads import Workload
from tasks.cleanup.engine.model import Item, Kind, Listing, Use
from tasks.cleanup.found import Found, Memory, listed, projects_of
from tasks.cleanup.kinds.images import References
from tasks.model import Place, Request
from tasks.names.labels import label_value, owner_of

AT_ONCE = 16
_REVISIONS = "Cloud Run revisions"


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything on Cloud Run in some projects, in every region that it has."""

    services: tuple[Workload, ...] = ()
    revisions: tuple[Workload, ...] = ()
    others: tuple[Workload, ...] = ()  # jobs, worker pools and their revisions
    listings: tuple[Listing, ...] = ()

    @property
    def holders(self) -> dict[str, str]:
        """Who runs as each service account, by e-mail, and who mounts each bucket."""
        running = (*self.services, *self.revisions, *self.others)
        return {held: each.name for each in running for held in (each.account, *each.buckets) if held}

    @property
    def busy(self) -> tuple[tuple[str, str], ...]:
        """(project, region) where anything is."""
        return tuple(dict.fromkeys((each.project, each.region) for each in (*self.services, *self.others)))


@dataclass(frozen=True, slots=True)
class _Kind:
    label: str
    lister: Callable[[str, str], Awaitable[Sequence[Workload]]]


_SERVICES = _Kind("Cloud Run services", fleet.list_services)
_OTHERS = (
    _Kind("Cloud Run jobs", fleet.list_jobs),
    _Kind("Cloud Run worker pools", fleet.list_worker_pools),
)


def required_regions(requests: Iterable[Request]) -> tuple[tuple[str, str], ...]:
    """(project, region) of every environment."""
    return tuple(
        dict.fromkeys((request.project, region) for request in requests for region in request.settings.regions)
    )


def required_sources(requests: Sequence[Request]) -> tuple[str, ...]:
    kinds = (_SERVICES.label, _REVISIONS, *(kind.label for kind in _OTHERS))
    return tuple(_source(kind, *where) for where in required_regions(requests) for kind in kinds)


async def find_fleet(requests: Sequence[Request], memory: Memory, services: Mapping[tuple[str, str], int]) -> Fleet:
    """Looks into every region that Cloud Run has, not only the manifest's: what runs elsewhere needs images, too.

    services: how many services there must be at least in a (project, region).
    """
    where = list(required_regions(requests))
    failed: list[Listing] = []
    for project in projects_of(requests):
        regions, listing = await listed(f"Cloud Run regions of {project}", _regions(project), floor=1)
        failed += [listing] if listing.error or not listing.count else []
        where += [(project, region) for region in regions if (project, region) not in where]
    least = {_source(_SERVICES.label, *place): count for place, count in services.items()}
    floors = {source: memory.floor(source) for source in memory.counts}
    found = await survey(where, floors | {source: max(n, floors.get(source, 0)) for source, n in least.items()})
    return replace(found, listings=(*failed, *found.listings))


async def _regions(project: str) -> Sequence[str]:
    return await fleet.list_regions(project)


async def survey(where: Sequence[tuple[str, str]], floors: Mapping[str, int]) -> Fleet:
    """Everything in these (project, region)s, side by side. floors: by source, how many there must be at least."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(kind: _Kind, place: tuple[str, str], floor: int = 0) -> tuple[Sequence[Workload], Listing]:
        source = _source(kind.label, *place)
        async with gate:
            return await listed(source, _list(kind, place), max(floor, floors.get(source, 0)))

    async def look(place: tuple[str, str]) -> Fleet:
        services, *others = await asyncio.gather(ask(_SERVICES, place), *(ask(kind, place) for kind in _OTHERS))
        revisions = await ask(_Kind(_REVISIONS, fleet.list_revisions), place, len(services[0]))
        return Fleet(
            tuple(services[0]),
            tuple(revisions[0]),
            tuple(each for found, _ in others for each in found),
            (services[1], revisions[1], *(listing for _, listing in others)),
        )

    parts = await asyncio.gather(*(look(place) for place in where))
    return Fleet(
        tuple(each for part in parts for each in part.services),
        tuple(each for part in parts for each in part.revisions),
        tuple(each for part in parts for each in part.others),
        tuple(each for part in parts for each in part.listings),
    )


def floors_of(found: Fleet, going: Collection[str]) -> dict[str, int]:
    """By source, how many of what was found there must still be when those in `going`, by name, are gone."""
    staying = Counter((each.project, each.region) for each in found.services if each.name not in going)
    services = {_source(_SERVICES.label, *place): count for place, count in staying.items()}
    others = tuple(kind.label for kind in _OTHERS)
    return services | {each.source: min(each.count, 1) for each in found.listings if each.source.startswith(others)}


async def _list(kind: _Kind, place: tuple[str, str]) -> Sequence[Workload]:
    return await kind.lister(*place)


def _source(label: str, project: str, region: str) -> str:
    return f"{label} in {project}, {region}"


def run_found(found: Fleet, requests: Sequence[Request], references: References) -> Found:
    """The services as items, the revisions of the app's own services as well; who leads where; what each image runs."""
    app = requests[0].app
    ours = {service.name for service in found.services if owner_of(service.labels, app) == app}
    environments = {
        (request.project, region): request.environment for request in requests for region in request.settings.regions
    }
    items = [service_item(service, app) for service in found.services]
    items += [revision_item(each, app, environments, references) for each in found.revisions if each.service in ours]
    uses = [traffic_use(service, found.revisions) for service in found.services if service.name in ours]
    others = [each for each in (*found.revisions, *found.services) if each.service not in ours]
    uses += list(image_uses([*others, *found.others], references))
    uses += list(image_uses([each for each in found.services if each.name in ours], references))
    uses += list(_manifest_uses(requests, {service.name for service in found.services}))
    uses += list(_undefined_uses(found, requests, ours))
    return Found(tuple(items), tuple(uses), found.listings)


def service_item(found: Workload, app: str) -> Item:
    owner = owner_of(found.labels, app)
    return Item(Kind.SERVICE, found.name, "", owner, found.created, labels=found.labels, etag=found.etag)


def revision_item(
    found: Workload, app: str, environments: Mapping[tuple[str, str], str], references: References | None
) -> Item:
    """`references` None leaves out what it needs: where only revisions are decided about."""
    environment = environments.get((found.project, found.region), found.project)
    return Item(
        Kind.REVISION,
        found.name,
        group=f"{found.service.rpartition('/')[2]}/{environment} in {found.region}",
        owner=owner_of(found.labels, app),
        uploaded=found.created,
        needs=references.keys(found.images) if references else (),
        labels=found.labels,
        etag=found.etag,
    )


def traffic_use(service: Workload, revisions: Iterable[Workload]) -> Use:
    """Where traffic, tags and the newest revision lead. Of a service that routes nothing all revisions are in use."""
    where = f"{service.id} in {service.region}"
    if service.routed:
        what = ", ".join(dict.fromkeys(service.routes.values()))
        return Use(f"{where}: {what}", tuple(service.routes))
    names = tuple(each.name for each in revisions if each.service == service.name)
    return Use(f"{where}, whose traffic is not known", (*service.routes, *names), live=False)


def image_uses(workloads: Iterable[Workload], references: References) -> Iterable[Use]:
    for each in workloads:
        keys = references.keys(each.images)
        if keys:
            yield Use(f"{each.id} in {each.region}", keys, live=False)


def _manifest_uses(requests: Sequence[Request], there: set[str]) -> Iterable[Use]:
    """Services that slipway.yaml defines and that exist."""
    for request in requests:
        names = (
            Place(name, region).run_service(request.project, request.app)
            for name in request.manifest.services
            for region in request.settings.regions
        )
        yield Use("slipway.yaml", tuple(name for name in names if name in there), live=False)


def _undefined_uses(found: Fleet, requests: Sequence[Request], ours: Collection[str]) -> Iterable[Use]:
    """The app's services in environments that this slipway.yaml lacks: nobody knows what they can go back to."""
    known = {label_value(request.environment) for request in requests}
    for service in found.services:
        environment = service.labels.get("slipway-environment", "")
        if service.name in ours and environment and environment not in known:
            names = tuple(each.name for each in found.revisions if each.service == service.name)
            by = f"{service.id} in {service.region}, of environment {environment}, which slipway.yaml does not define"
            yield Use(by, names, live=False)


def held_uses(found: Fleet, names: Mapping[str, str]) -> Iterable[Use]:
    """The accounts that anything runs as and the buckets that anything mounts; `names`: of those that are listed."""
    return [Use(who, (names[held],), live=False) for held, who in found.holders.items() if held in names]


def doubts(found: Found) -> Iterable[str]:
    """Why an answer about what runs cannot be believed: it failed, is too short, or lacks what gets traffic."""
    there = {item.name for item in found.items}
    yield from (listing.doubt for listing in found.listings if listing.doubt)
    for use in (use for use in found.uses if use.live):
        yield from (f"{use.by} needs {key}, which no listing has." for key in use.needs if key not in there)


async def revision_again(before: Item) -> Item | None:
    """The item as it is now; None if it is gone."""
    found = await fleet.get_revision(before.name)
    return None if found is None else replace(before, labels=found.labels, etag=found.etag, uploaded=found.created)


async def service_again(before: Item) -> Item | None:
    found = await fleet.get_service(before.name)
    return None if found is None else replace(before, labels=found.labels, etag=found.etag, uploaded=found.created)


async def is_gone(name: str) -> bool:
    """Whether a revision, asked for by itself, is not found. Raises GoogleError when that cannot be told."""
    return await fleet.get_revision(name) is None
