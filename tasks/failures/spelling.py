"""What somebody meant who wrote a name that does not exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def meant(name: str, known: Iterable[str], at_most: int = 1) -> str:
    """`did you mean 'port'?` when known names are close, the closest first, else ''."""
    close = get_close_matches(name, list(known), n=at_most)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else ""


def hint(name: str, known: Iterable[str]) -> str:
    """The same at the end of a sentence, `; did you mean 'port'?`, or nothing."""
    return f"; {found}" if (found := meant(name, known)) else ""
