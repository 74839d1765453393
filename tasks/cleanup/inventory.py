"""What an app has in the cloud, for clean-up to decide about: everything listed anew, and who needs what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from tasks.cleanup.engine.model import Item, Kind, Listing, Policy, Use, World
from tasks.cleanup.engine.plan import unlisted
from tasks.cleanup.kinds.adapter import Found, Keys, Look, Reference
from tasks.cleanup.kinds.registry import BY_KIND, CONSUMERS, KINDS
from tasks.cleanup.kinds.releases import Releases, read_histories
from tasks.cleanup.memory import Memory
from tasks.cleanup.scope import Scope


class Names:
    """Leads from what others call things to the keys of listed items; remembers what led to each key."""

    def __init__(self, keys: Mapping[Kind, Keys], listed: Iterable[Item] = ()) -> None:
        self.called: dict[str, dict[Reference, None]] = {}
        self._keys = keys
        self._listed: dict[Kind, dict[str, None]] = {}
        for item in listed:
            self._listed.setdefault(item.kind, {})[item.key] = None

    def keys(self, references: Iterable[Reference]) -> tuple[str, ...]:
        found = []
        for reference in references:
            for key in self._keys[reference.kind](reference.name):
                self.called.setdefault(key, {})[reference] = None
                found.append(key)
        return tuple(dict.fromkeys(found))

    def items(self, found: Found) -> tuple[Item, ...]:
        """With what they need."""
        parts = {name: self.keys(references) for name, references in found.parts.items()}
        return tuple(replace(item, needs=parts[item.name]) if item.name in parts else item for item in found.items)

    def uses(self, found: Found) -> tuple[Use, ...]:
        return tuple(claim.use(self.keys, self.every) for claim in found.claims)

    def every(self, kinds: Iterable[Kind]) -> Iterable[str]:
        return (key for kind in kinds for key in self._listed.get(kind, ()))


@dataclass(frozen=True, slots=True)
class Inventory:
    """The world that a plan rests on, and what is needed to look at parts of it again."""

    world: World
    look: Look
    names: Names
    standing: tuple[Use, ...]  # uses that only releases and slipway.yaml change
    released: tuple[Use, ...]  # those of them that releases change
    memory: Memory  # for the next clean-up


async def take_inventory(scope: Scope, memory: Memory, clock: Callable[[], datetime]) -> Inventory:
    """Whatever cannot be listed is said in the world's listings; raises only where even that cannot be told."""
    now = clock()
    memory = memory.trusting(now)
    look = Look(scope.requests, await read_histories(scope.requests, clock), memory, clock)
    answers = await asyncio.gather(*(each.list(look) for each in CONSUMERS))
    found = dict(zip(CONSUMERS, answers, strict=True))
    listed = [item for each in KINDS for item in found[each].items]
    names = Names({each.kind: each.keys(look, found[each].items) for each in KINDS}, listed)
    uses = {each: names.uses(found[each]) for each in CONSUMERS}
    seen = memory.seeing([item for each in KINDS if each.dated_by_us for item in found[each].items], now)
    world = World(
        items=tuple(seen.heeding(item) for each in CONSUMERS for item in names.items(found[each])),
        uses=tuple(use for each in CONSUMERS for use in uses[each]),
        listings=tuple(listing for each in CONSUMERS for listing in found[each].listings),
        required=tuple(source for each in CONSUMERS for source in each.required(scope.requests)),
        kinds={each.kind: each.traits for each in KINDS},
    )
    return Inventory(
        world,
        look,
        names,
        standing=tuple(use for each in CONSUMERS if not each.live for use in uses[each]),
        released=tuple(use for each in CONSUMERS if isinstance(each, Releases) for use in uses[each]),
        memory=seen.counting(world.listings, now),
    )


async def standing_anew(inventory: Inventory) -> tuple[tuple[Use, ...], list[str]]:
    """What releases need by now, and why that cannot be believed, if so."""
    first = inventory.look
    look = Look(first.requests, await read_histories(first.requests, first.clock), Memory(), first.clock, earlier=first)
    found = await Releases().list(look)
    others = (use for use in inventory.standing if use not in inventory.released)
    return (*others, *inventory.names.uses(found)), [each.doubt for each in found.listings if each.doubt]


async def look_again(inventory: Inventory, going: Iterable[str]) -> tuple[tuple[Item, ...], tuple[Use, ...], list[str]]:
    """What lives is listed anew: the items and uses as they are now, and why that cannot be believed, if so.

    going: names of what this run takes away, some of which may be gone.
    """
    first = inventory.look
    look = Look(first.requests, first.histories, Memory(), first.clock, earlier=first, going=frozenset(going))
    found = Found.merged(await asyncio.gather(*(each.list(look) for each in CONSUMERS if each.live)))
    items, uses = inventory.names.items(found), inventory.names.uses(found)
    return items, uses, list(doubts(items, uses, found.listings))


def doubts(items: Iterable[Item], uses: Iterable[Use], listings: Iterable[Listing]) -> Iterable[str]:
    """Why an answer about what lives cannot be believed: it failed, is too short, or lacks what is used right now."""
    there = {item.key for item in items}
    yield from (listing.doubt for listing in listings if listing.doubt)
    for use in (use for use in uses if use.live):
        yield from (f"{use.by} needs {key}, which no listing has." for key in use.needs if key not in there)


async def with_gone(inventory: Inventory, policy: Policy) -> World:
    """The world with what is needed, was not listed, and is not found either when it is asked for by itself."""
    world, called = inventory.world, inventory.names.called
    keys = sorted(unlisted(world, policy))
    if not keys or len(keys) > policy.max_items:
        return world  # so many are no accident: the plan will be refused
    holders = _holders(world.items, set(keys))

    async def gone(key: str) -> bool:
        kind = next((each.kind for each in (*called.get(key, ()), *holders.get(key, ()))), None)
        names = [reference.name for reference in called.get(key, ())]
        return kind is not None and await BY_KIND[kind].is_gone(key, names, holders.get(key, ()))

    answers = await asyncio.gather(*(gone(key) for key in keys))
    return replace(world, gone=frozenset(key for key, is_gone in zip(keys, answers, strict=True) if is_gone))


def _holders(items: Iterable[Item], keys: set[str]) -> dict[str, list[Item]]:
    """Who names each of these keys as a part of itself, or as what it is attached to."""
    holders: dict[str, list[Item]] = {}
    for item in items:
        for key in keys.intersection((*item.needs, item.subject)):
            holders.setdefault(key, []).append(item)
    return holders
