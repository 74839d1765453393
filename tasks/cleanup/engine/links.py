"""Who needs whom: what has to stay because something else does, and in which order the rest may go.

All of it works on keys, not on single items, and in time linear in items and references.
"""

from __future__ import annotations

import graphlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.cleanup.engine.model import Item


@dataclass(frozen=True, slots=True)
class Links:
    """The references between the items of a world."""

    items: Mapping[str, list[Item]]  # by key: the same image can lie in several repositories
    parents: Mapping[str, set[str]]  # of a child's key: the keys of those of its own kind that need it (indexes)
    referrers: Mapping[str, set[str]]  # of a subject's key: the keys of what is attached to it

    @classmethod
    def of(cls, items: Iterable[Item]) -> Links:
        by_key: dict[str, list[Item]] = defaultdict(list)
        for item in items:
            by_key[item.key].append(item)
        parents: dict[str, set[str]] = defaultdict(set)
        referrers: dict[str, set[str]] = defaultdict(set)
        for item in (item for same in by_key.values() for item in same):
            if item.subject:
                referrers[item.subject].add(item.key)
            for need in item.needs:
                if any(child.kind == item.kind for child in by_key.get(need, ())):
                    parents[need].add(item.key)
        return cls(dict(by_key), dict(parents), dict(referrers))

    def used_by(self, uses: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Every key that stays for the sake of the given (key, by whom), with by whom."""
        return self._spread((key, by, True) for key, by in uses)

    def needed_by(self, survivors: Iterable[Item]) -> dict[str, str]:
        """Every key that stays because these items do, with the name of one of them."""
        return self._spread((key, item.name, outside) for item in survivors for key, outside in self._neighbours(item))

    def _spread(self, start: Iterable[tuple[str, str, bool]]) -> dict[str, str]:
        """Follows needs and referrers; from a key that is used from outside its kind also the indexes that hold it.

        Whoever runs a platform's image was given the index it belongs to, and a redeploy pulls that. A child that is
        only reached through an index does not keep the other indexes that share it.
        """
        reached: dict[str, str] = {}
        raised: set[str] = set()
        queue = deque(start)
        while queue:
            key, by, outside = queue.popleft()
            if outside and key not in raised:
                raised.add(key)
                queue.extend((parent, by, True) for parent in self.parents.get(key, ()))
            if key not in reached:
                reached[key] = by
                for item in self.items.get(key, ()):
                    queue.extend((next_key, by, crosses) for next_key, crosses in self._neighbours(item))
        return reached

    def _neighbours(self, item: Item) -> Iterator[tuple[str, bool]]:
        """(key, needed by another kind) of what cannot go while the item stays."""
        for need in item.needs:
            yield need, any(needed.kind != item.kind for needed in self.items.get(need, ()))
        for referrer in self.referrers.get(item.key, ()):
            yield referrer, False


def in_order(items: Iterable[Item], rank: Callable[[Item], Any]) -> list[Item]:
    """First what nothing else needs: revisions before images, indexes before children, subjects before referrers.

    A subject goes before its signature, so that no image ever stands without the one it had. Among equals `rank`
    decides. graphlib.CycleError when items need each other in a circle, which no hash allows.
    """
    by_key: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_key[item.key].append(item)
    sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for key, same in by_key.items():
        sorter.add(key)
        for item in same:
            for need in (need for need in item.needs if need in by_key):
                sorter.add(need, key)
            if item.subject in by_key:
                sorter.add(key, item.subject)
    sorter.prepare()
    ordered: list[Item] = []
    while sorter.is_active():
        ready = sorter.get_ready()
        ordered += sorted((item for key in ready for item in by_key[key]), key=rank)
        sorter.done(*ready)
    return ordered
