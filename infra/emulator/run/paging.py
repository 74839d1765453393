"""Pages of a list, as all of Cloud Run's lists have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infra.emulator.kernel.errors import invalid
from infra.emulator.kernel.store import Table

DEFAULT_PAGE, MAX_PAGE = 100, 1000


def page_of(table: Table[Any], request: Any, collection: str) -> tuple[Sequence[Any], str]:
    """One page of `{parent}/{collection}/*`; a parent's `-` stands for any location or service."""
    if request.page_size < 0:
        raise invalid("page_size must not be negative.", "page_size")
    size = min(request.page_size or DEFAULT_PAGE, MAX_PAGE)
    wanted = f"{request.parent}/{collection}/".split("/")
    known = [*wanted[: wanted.index("-")], ""] if "-" in wanted else wanted

    def keep(name: str) -> bool:
        parts = name.split("/")
        return len(parts) == len(wanted) and all(w in ("-", "", p) for w, p in zip(wanted, parts, strict=True))

    return table.page("/".join(known), size, request.page_token, keep)
