"""What somebody meant who wrote a name that does not exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def closest(name: str, known: Iterable[str], most: int = 1) -> list[str]:
    """Known names that are close to this one, the closest first."""
    return get_close_matches(name, list(known), n=most)


def hint(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'port'?` when a known name is close, else nothing."""
    return "".join(f"; did you mean '{meant}'?" for meant in closest(name, known))
