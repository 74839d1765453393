"""What a history says of what was released last, beside the services, too, and of what came after a release. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from tasks.history.record import ReleaseRecord, State

K = TypeVar("K", bound=Hashable)
B = TypeVar("B")


def newest_of(history: Iterable[ReleaseRecord], of: Callable[[ReleaseRecord], Iterable[tuple[K, B]]]) -> dict[K, B]:
    """By name or place, what the newest release that stands has of each; `history` is newest first."""
    found: dict[K, B] = {}
    for record in history:
        for name, each in of(record) if record.state is State.RELEASED else ():
            found.setdefault(name, each)
    return found


def later_than(release: ReleaseRecord, history: Iterable[ReleaseRecord]) -> list[ReleaseRecord]:
    """Those that stand and began after it."""
    return [each for each in history if each.started > release.started and each.state is State.RELEASED]
