"""Which services go before which. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from graphlib import TopologicalSorter


def dependency_waves(services: Mapping[str, Collection[str]]) -> Iterator[tuple[str, ...]]:
    """Services whose dependencies are all in the waves before, in the order they are given.

    Dependencies outside `services` do not count. graphlib.CycleError when they go in circles.
    """
    sorter = TopologicalSorter({name: [d for d in needed if d in services] for name, needed in services.items()})
    sorter.prepare()
    while sorter.is_active():
        ready = set(sorter.get_ready())
        yield tuple(name for name in services if name in ready)
        sorter.done(*ready)
