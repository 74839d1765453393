"""What a release has set of a service besides its traffic: no more than that is given back when it does not stand.

Somebody may have set the same by hand before it came to it. What was sent counts, whatever became of it: an answer may
be lost, and a write come late.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tasks.model import Candidate, Place
from tasks.rollout.access import changing, coming
from tasks.rollout.whole import to_change


class Sent:
    """By place, the callers and the fields of the service of which a change was sent."""

    def __init__(self) -> None:
        self._sent: dict[Place, set[str]] = {}

    def add(self, place: Place, what: Iterable[str]) -> None:
        self._sent.setdefault(place, set()).update(what)

    def narrowed(self, candidate: Candidate) -> Candidate:
        """The candidate, as if what its release has not sent had been so before it."""
        sent, before = self._sent.get(candidate.place, set()), candidate.before
        callers, fields = changing(candidate) - sent, {*to_change(candidate)} - sent
        there = None if before.callers is None else {who: x for who, x in before.callers.items() if who not in callers}
        if there is not None:
            there |= dict.fromkeys(coming(candidate) & callers, False)
        whole = {key: value for key, value in before.whole.items() if key not in fields}
        whole |= {key: candidate.whole[key] for key in fields if key in candidate.whole}
        return replace(
            candidate, before=replace(before, callers=there, whole=whole), unsent=frozenset(callers | fields)
        )
