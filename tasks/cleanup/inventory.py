"""Takes stock of an app: lists everything that clean-up may decide about, in every environment, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from infra.gcp.artifacts import repositories
from infra.gcp.iam import identity
from tasks.cleanup.engine.model import Item, Kind, Listing, Policy, Use, World
from tasks.cleanup.engine.plan import unlisted
from tasks.cleanup.found import Found, Memory, combined, listed, projects_of
from tasks.cleanup.kinds.accounts import find_accounts, remembered, required_accounts
from tasks.cleanup.kinds.images import Place, References, find_images, places_of
from tasks.cleanup.kinds.run import Fleet, find_fleet, held_uses, is_gone, required_sources, run_found
from tasks.cleanup.kinds.storage import find_buckets, find_logs, find_sources, required_storage
from tasks.cleanup.scope import Estate
from tasks.cleanup.uses import history_uses, image_floor, service_floors
from tasks.history.record import ReleaseRecord
from tasks.history.store import read_history
from tasks.model import Request
from tasks.names.labels import label_value, owner_of

REPOSITORIES_AT_ONCE = 8

Histories = Mapping[str, Sequence[ReleaseRecord]]  # by environment, newest first


@dataclass(frozen=True, slots=True)
class Stock:
    """The world that a plan rests on, and what is needed to look at parts of it again."""

    world: World
    fleet: Fleet
    references: References
    histories: Histories
    standing: tuple[Use, ...]  # uses that only releases and slipway.yaml change: the lock keeps them as they are
    holdable: Mapping[str, str]  # accounts by e-mail and buckets by name -> names of their items
    memory: Memory


async def take_stock(estate: Estate, memory: Memory, now: datetime) -> Stock:
    """Whatever cannot be listed is said in the world's listings; raises only where even that cannot be told."""
    requests, keep = estate.requests, estate.manifest.retention.keep
    memory = memory.trusting(now)
    histories, of_history = await _histories(requests)
    places = places_of(requests)
    fleet, images, kept = await asyncio.gather(
        find_fleet(requests, memory, service_floors(requests, histories)),
        _images(places, memory, histories),
        _storage(estate, memory),
    )
    references = References.of(places, (item for part in images for item in part.items))
    running = run_found(fleet, requests, references)
    uses = [use for each in requests for use in history_uses(each, histories[each.environment], keep, references)]
    history = Found(uses=tuple(uses), listings=_believable(of_history, fleet, requests))
    accounts = await _accounts(requests, memory, now)
    holdable = _holdable(item for part in (*kept, *accounts) for item in part.items)
    held = Found(uses=tuple(held_uses(fleet, holdable)))
    required = (
        *required_sources(requests), *(place.source for place in places), *required_storage(requests),
        *required_accounts(requests), *(_history(request) for request in requests),
    )  # fmt: skip
    standing = tuple(use for part in (history, *kept, *accounts) for use in part.uses)
    world = combined((history, running, held, *images, *kept, *accounts), required)
    remember = remembered(world.items, memory).counting(world.listings, now)
    return Stock(world, fleet, references, histories, standing, holdable, remember)


async def _histories(requests: Sequence[Request]) -> tuple[Histories, list[Found]]:
    answers = await asyncio.gather(
        *(listed(_history(each), read_history(each.settings.bucket, each.app, each.environment)) for each in requests)
    )
    histories = {request.environment: found for request, (found, _) in zip(requests, answers, strict=True)}
    return histories, [Found(listings=(listing,)) for _, listing in answers]


def _history(request: Request) -> str:
    return f"release history of {request.environment}"


def _believable(parts: Iterable[Found], fleet: Fleet, requests: Sequence[Request]) -> tuple[Listing, ...]:
    """An environment that has services of ours has a history."""
    released = {
        service.labels.get("slipway-environment")
        for service in fleet.services
        if owner_of(service.labels, requests[0].app) == requests[0].app
    }
    listings = (listing for part in parts for listing in part.listings)
    return tuple(
        replace(listing, floor=1) if label_value(request.environment) in released else listing
        for request, listing in zip(requests, listings, strict=True)
    )


async def _images(places: Sequence[Place], memory: Memory, histories: Histories) -> Sequence[Found]:
    """A few at a time: a page of a thousand images takes megabytes until it is read."""
    gate = asyncio.Semaphore(REPOSITORIES_AT_ONCE)

    async def find(place: Place) -> Found:
        async with gate:
            return await find_images(place, memory, image_floor(place.prefix, histories))

    return await asyncio.gather(*(find(place) for place in places))


async def _storage(estate: Estate, memory: Memory) -> list[Found]:
    requests = estate.requests
    by_bucket = {request.settings.bucket: request for request in requests}
    deletable = estate.manifest.retention.foreign == "delete"
    return await asyncio.gather(
        *(find_sources(request, memory) for request in by_bucket.values()),
        *(find_logs(request, memory) for request in by_bucket.values()),
        *(find_buckets(project, requests, memory, deletable=deletable) for project in projects_of(requests)),
    )


async def _accounts(requests: Sequence[Request], memory: Memory, now: datetime) -> list[Found]:
    me = await asyncio.to_thread(identity.whoami)
    return await asyncio.gather(
        *(find_accounts(project, requests, memory, me, now) for project in projects_of(requests))
    )


def _holdable(items: Iterable[Item]) -> dict[str, str]:
    """Accounts and buckets by what those who use them call them."""
    kinds = (Kind.SERVICE_ACCOUNT, Kind.BUCKET)
    return {item.name.rpartition("/")[2]: item.name for item in items if item.kind in kinds}


async def with_gone(stock: Stock, policy: Policy) -> World:
    """The world with what is needed, was not listed, and is not found either when it is asked for by itself."""
    keys = sorted(unlisted(stock.world, policy))
    if not keys or len(keys) > policy.max_items:
        return stock.world  # so many are no accident: the plan will be refused
    holders = _holders(stock.world.items, set(keys))
    found = await asyncio.gather(*(_is_gone(key, stock.references, holders) for key in keys))
    return replace(stock.world, gone=frozenset(key for key, gone in zip(keys, found, strict=True) if gone))


def _holders(items: Iterable[Item], keys: set[str]) -> dict[str, list[Item]]:
    """Who names each of these keys as a part of itself, or as what it is attached to."""
    holders: dict[str, list[Item]] = {}
    for item in items:
        if item.kind is Kind.IMAGE:
            for key in keys.intersection((*item.needs, item.subject)):
                holders.setdefault(key, []).append(item)
    return holders


async def _is_gone(key: str, references: References, holders: Mapping[str, list[Item]]) -> bool:
    """Asked wherever it may be; an error is not a "not found"."""
    if "/revisions/" in key:
        return await is_gone(key)
    places = [place_of(reference) for reference in (references.asked.get(key),) if reference]
    places += [(*_package(item), key) for item in holders.get(key, ())]
    there = [await _exists(*place) for place in places]
    return bool(there) and not any(there)


async def _exists(repository: str, image: str, key: str) -> bool:
    if key.startswith("sha256:"):
        return await repositories.image_exists(repository, image, key)
    return await repositories.digest_of(repository, image, key) is not None


def place_of(reference: str) -> tuple[str, str, str]:
    """(repository, image, digest or tag) of a reference."""
    uri, _, digest = reference.partition("@")
    host, project, repository, *image = uri.split("/")
    path, _, tag = "/".join(image).partition(":")
    location = host.removesuffix("-docker.pkg.dev")
    return repositories.repository_name(project, location, repository), path, digest or tag or "latest"


def _package(item: Item) -> tuple[str, str]:
    repository, _, rest = item.name.partition("/dockerImages/")
    return repository, rest.partition("@")[0].replace("%2F", "/")
