"""What a release has sent: splits of traffic by place, and what else of a service it has changed.

What was sent counts, whatever became of it: an answer may be lost, and a write come late.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping

from infra.gcp.run.traffic import TrafficTarget
from tasks.model import Place

# The split that this run wrote last. Two while nobody knows whether the newer one has arrived.
Splits = tuple[tuple[TrafficTarget, ...], ...]
Written = MutableMapping[Place, Splits]


def begin(written: Written, places: Iterable[Place]) -> None:
    """Before a first split is planned: from here on a release may have changed what is set of the service, too."""
    for place in places:
        written[place] = (*written[place], written[place][-1])


class Sent:
    """By place, the callers and the fields of the service of which a change was sent."""

    def __init__(self) -> None:
        self._sent: dict[Place, frozenset[str]] = {}

    def add(self, place: Place, what: Iterable[str]) -> None:
        """Told before it is sent."""
        self._sent[place] = self.of(place) | set(what)

    def of(self, place: Place) -> frozenset[str]:
        return self._sent.get(place, frozenset())
