"""What earlier clean-ups saw, for what no API tells; kept in the bucket as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pydantic import AwareDatetime, TypeAdapter

from infra.gcp.storage import objects
from tasks.cleanup.engine.model import DELETE, CleanupOutcome, Entry, Item, Listing

CLOCK_SKEW = timedelta(minutes=5)
UNDONE = timedelta(days=365)  # so long whoever has undone a first step is heeded: some work is done once a year
EMPTY_BELIEVED = timedelta(hours=20)  # nearly a day: one that runs daily believes it the second time


@dataclass(frozen=True, slots=True)
class Memory:
    seen: Mapping[str, AwareDatetime] = field(default_factory=dict)  # name -> when it was first listed
    disabled: Mapping[str, AwareDatetime] = field(default_factory=dict)  # name -> since when it is seen prepared
    counts: Mapping[str, int] = field(default_factory=dict)  # source -> how many things it had
    empty: Mapping[str, AwareDatetime] = field(default_factory=dict)  # source that had some -> since when it has none
    taken: Mapping[str, AwareDatetime] = field(default_factory=dict)  # name -> when we took its first step, if it holds
    undone: Mapping[str, AwareDatetime] = field(default_factory=dict)  # name -> when that was seen undone by somebody

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

    def taking(self, entries: Iterable[Entry]) -> Memory:
        """With first steps that have just been taken: whoever else has stopped a thing did not ask for its end."""
        steps = (each for each in entries if each.action != DELETE and each.outcome == CleanupOutcome.DONE)
        return replace(self, taken={**self.taken, **{each.name: each.at for each in steps}})

    def seeing(self, items: Iterable[Item], now: datetime) -> Memory:
        """With these items, of kinds whose age only we know; those that are gone are forgotten."""
        items = tuple(items)
        undone = {item.name: now for item in items if self.has_been_undone(item)}
        return replace(
            self,
            undone={name: when for name, when in {**self.undone, **undone}.items() if now - when < UNDONE},
            seen={item.name: item.uploaded for item in items if item.uploaded},
            disabled={item.name: item.prepared for item in items if item.prepared},
            taken={
                item.name: self.taken[item.name]
                for item in items
                if item.name in self.taken and (item.prepared or item.locked)  # a hold hides whether it was undone
            },
        )

    def has_been_undone(self, item: Item) -> bool:
        """Whether somebody has just undone our first step. What is in use again by itself has not been asked about."""
        return item.name in self.taken and item.prepared is None and not item.locked

    def heeding(self, item: Item) -> Item:
        """Whoever has undone a first step wants the thing: clean-up does not take the step again."""
        when = self.undone.get(item.name)
        if when is None or item.prepared is not None or item.locked:
            return item
        return replace(item, locked=f"somebody has undone, by {when:%Y-%m-%d}, what clean-up had done to it")


MEMORY: TypeAdapter[Memory] = TypeAdapter(Memory)


async def read_memory(bucket: str, app: str) -> Memory:
    found = await objects.read_json(bucket, _name(app))
    return Memory() if found is None else MEMORY.validate_python(found[0], strict=False)


async def write_memory(bucket: str, app: str, memory: Memory) -> None:
    await objects.write_json(bucket, _name(app), MEMORY.dump_python(memory, mode="json"), None)


async def clock_trouble(bucket: str, app: str, now: datetime) -> tuple[str, ...]:
    """Why this machine's clock is not to be believed: `write_memory` has just been, and Google dates what it wrote."""
    found = await objects.find_object(bucket, _name(app))
    return () if found is None else tuple(filter(None, (skew(found.created, now),)))


def skew(written: datetime, now: datetime) -> str:
    """'' while both clocks tell about the same."""
    if abs(now - written) <= CLOCK_SKEW:
        return ""
    return (
        f"This machine's clock says {now:%Y-%m-%d %H:%M:%S}, Google's {written:%Y-%m-%d %H:%M:%S}: ages cannot be told."
    )


def _name(app: str) -> str:
    return f"cleanup/{app}/memory.json"
