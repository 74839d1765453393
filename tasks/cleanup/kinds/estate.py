"""What stands in an app's projects beside it: secrets, keys, databases, rules, load balancers, logs.

Such a kind is judged for itself. Its API may be off, or its role not given: then nothing of it goes, and all else does.
The same holds where an answer cannot be believed. Of what is not labelled as an app's nothing goes unless `foreign` of
slipway.yaml names the kind.

Where it names it, Cloud Asset Inventory is asked as well: what it knows, the list lacks and a read of its own finds
means that the list is not whole. What it knows and nobody finds is gone: it forgets within a day or two.
"""

from __future__ import annotations

import asyncio
import functools
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import ClassVar, TypeVar

from infra.gcp.assets import search
from infra.gcp.calls.errors import GoogleError
from tasks.cleanup.engine.model import Item, Listing
from tasks.cleanup.kinds.adapter import Claim, Found, Look, ResourceKind
from tasks.model import Request

T = TypeVar("T")
LOOKED_UP = 50  # so many that only the inventory knows are read one by one; more are no accident


class EstateKind(ResourceKind):
    assets: ClassVar[tuple[str, ...]]  # its types in Cloud Asset Inventory

    @abstractmethod
    async def items(self, project: str, look: Look) -> Sequence[Item]:
        """All of the project's. Raises GoogleError."""

    def claims(self, look: Look) -> Iterable[Claim]:
        """Who needs things of this kind that its own list does not tell."""
        return ()

    async def uses(self, project: str, look: Look) -> Iterable[Claim]:
        """Who is seen to use them; whoever cannot be asked counts as one who does. Raises GoogleError."""
        return ()

    def goes(self, look: Look) -> bool:
        """Whether what no app owns may be taken away."""
        return look.requests[0].manifest.retention.foreign_of(self.kind) == "delete"

    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        return ()

    async def list(self, look: Look) -> Found:
        found = Found.merged(await asyncio.gather(*(self._in(project, look) for project in look.projects)))
        return replace(found, claims=(*found.claims, *self.claims(look)))

    async def _in(self, project: str, look: Look) -> Found:
        claims: list[Claim] = []

        async def whole(project: str) -> Sequence[Item]:
            found = await self.items(project, look)
            claims.extend(await self.uses(project, look) if found else ())
            return found

        found, listing = await look.listed(f"{self.kind}s of {project}", unless_off, whole, project)
        doubt = listing.doubt or (await self._missed(project, found, look) if self.goes(look) else "")
        if doubt and self.goes(look):
            look.notes.append(f"{doubt} No {self.kind} there is judged.")
        elif doubt:
            look.unseen.append(listing.source)
        if self.goes(look):
            items = [replace(item, locked=item.locked or doubt) for item in found]
        else:
            items = [item for item in found if not item.locked]  # what nobody may take away is nothing to report
        return Found(tuple(items), tuple(claims), believable(listing))

    async def _missed(self, project: str, found: Sequence[Item], look: Look) -> str:
        """What the inventory knows and the list lacks, if that is so; '' where the inventory cannot be asked."""
        try:
            answers = await asyncio.gather(*(look.once(inventory(project, each)) for each in self.assets))
            known = [each for some in answers for each in some or ()]
            listed = {item.name for item in found} | await self.besides(project, look)
            lacking = sorted({name for each in known if (name := self.named(each, project))} - listed)
            if len(lacking) > LOOKED_UP:
                return f"Cloud Asset Inventory knows of {len(lacking)} {self.kind}s of {project} that no list has."
            there = await asyncio.gather(*(self.again(Item(self.kind, name, "", None)) for name in lacking))
        except GoogleError as error:
            if error.reason == "SERVICE_DISABLED":
                return ""
            return f"It cannot be told whether all {self.kind}s of {project} are listed: {error}"
        missed = next((each.name for each in there if each is not None), "")
        return f"{missed} is there, and is not listed." if missed else ""

    async def besides(self, project: str, look: Look) -> frozenset[str]:
        """Names of what the list has as well and that is nothing to judge."""
        return frozenset()

    def named(self, asset: str, project: str) -> str:
        """`Item.name` of an asset; '' for what is none of this kind's to list."""
        _, _, path = asset.removeprefix("//").partition("/")
        _, _, rest = path.removeprefix("projects/").partition("/")
        return f"projects/{project}/{rest}"


async def unless_off(ask: Callable[[str], Awaitable[Sequence[Item]]], project: str) -> Sequence[Item]:
    """Nothing where the API is off: nobody uses what it does not serve, nor could it be deleted."""
    try:
        return await ask(project)
    except GoogleError as error:
        if error.reason == "SERVICE_DISABLED":
            return ()
        raise


@functools.cache
def inventory(project: str, asset: str) -> Callable[[Look], Awaitable[Sequence[str] | None]]:
    """For `Look.once`: what Cloud Asset Inventory knows of one type. Raises GoogleError."""
    return asked(search, project, asset)


def asked(ask: Callable[..., Awaitable[T]], *arguments: object) -> Callable[[Look], Awaitable[T]]:
    """For `Look.once`: what `ask(*arguments)` answers."""

    async def once(_: Look) -> T:
        return await ask(*arguments)

    return once


def believable(listing: Listing) -> tuple[Listing, ...]:
    """What a doubtful answer leaves for the next clean-up to know; what failed says nothing."""
    return () if listing.error or not listing.complete else (replace(listing, floor=0),)
