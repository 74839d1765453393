"""What an app has in the cloud, for clean-up to decide about: everything listed anew, and who needs what.

Each kind has an adapter of its own (`tasks.inventory_*`) that turns what an API answers into `Item`s, and says with a
`Listing` how well that went. An adapter never guesses: what it could not read is an error in its listing.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from infra.gcp.calls.errors import GoogleError
from tasks.cleanup.engine.model import Item, Listing, Use, World
from tasks.model import Request

T = TypeVar("T")
EMPTY_BELIEVED = timedelta(hours=20)  # nearly a day: one that runs daily believes it the second time


@dataclass(frozen=True, slots=True)
class Found:
    """What one adapter answers."""

    items: tuple[Item, ...] = ()
    uses: tuple[Use, ...] = ()
    listings: tuple[Listing, ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """What earlier clean-ups saw, for what no API tells; kept in the bucket."""

    seen: Mapping[str, datetime] = field(default_factory=dict)  # name -> when it was first listed
    disabled: Mapping[str, datetime] = field(default_factory=dict)  # name -> since when it was seen disabled
    counts: Mapping[str, int] = field(default_factory=dict)  # source -> how many things it had
    empty: Mapping[str, datetime] = field(default_factory=dict)  # source that had some -> since when it has none

    def floor(self, source: str) -> int:
        """Whoever had something and suddenly has nothing is not believed."""
        return min(self.counts.get(source, 0), 1)

    def trusting(self, now: datetime) -> Memory:
        """Without the counts of what has had nothing for so long that it must be true."""
        over = {source for source, since in self.empty.items() if now - since >= EMPTY_BELIEVED}
        return replace(
            self,
            counts={source: count for source, count in self.counts.items() if source not in over},
            empty={source: since for source, since in self.empty.items() if source not in over},
        )

    def counting(self, listings: Iterable[Listing], now: datetime) -> Memory:
        """With what was listed. An answer that failed tells nothing, and one that is suddenly empty not yet."""
        counts, empty = dict(self.counts), dict(self.empty)
        for listing in listings:
            if listing.count and not listing.error:
                counts[listing.source] = listing.count
                empty.pop(listing.source, None)
            elif not listing.error and counts.get(listing.source):
                empty.setdefault(listing.source, now)
        return replace(self, counts=counts, empty=empty)


async def listed(source: str, work: Coroutine[Any, Any, Sequence[T]], floor: int = 0) -> tuple[Sequence[T], Listing]:
    """The things and how listing them went; none when it failed."""
    read = datetime.now(UTC)
    try:
        things = await work
    except GoogleError as error:
        return (), Listing(source, read, 0, complete=False, error=str(error), floor=floor)
    return things, Listing(source, read, len(things), floor=floor)


def projects_of(requests: Iterable[Request]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(request.project for request in requests))


def combined(parts: Iterable[Found], required: Iterable[str]) -> World:
    """One world of all that was found; `required` names every source that must be among it."""
    parts = tuple(parts)
    return World(
        items=tuple(item for part in parts for item in part.items),
        uses=tuple(use for part in parts for use in part.uses),
        listings=tuple(listing for part in parts for listing in part.listings),
        required=tuple(dict.fromkeys(required)),
    )
