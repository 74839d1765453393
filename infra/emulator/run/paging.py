"""Pages of a list, as all of Cloud Run's lists have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from infra.emulator.kernel.errors import invalid
from infra.emulator.kernel.store import Table
from infra.emulator.projects.locations import check_location

DEFAULT_PAGE, MAX_PAGE = 100, 1000
LATEST_NS = 10**19


def page_of(table: Table[Any], request: Any, collection: str) -> tuple[Sequence[Any], str]:
    """One page of `{parent}/{collection}/*`; a parent's `-` stands for any location or service."""
    prefix, keep = _within(request, collection)
    return table.page(prefix, _size(request), request.page_token, keep)


def newest_first(table: Table[Any], request: Any, collection: str) -> tuple[Sequence[Any], str]:
    """`page_of` in the order of creation; the token is the last item's place in it, which stays when others go."""
    prefix, keep = _within(request, collection)
    found = sorted((item for item in table.list(prefix) if keep(item.name)), key=_place)
    rest = [item for item in found if _place(item) > request.page_token]
    page = rest[: _size(request)]
    return page, _place(page[-1]) if len(rest) > len(page) else ""


def _place(item: Any) -> str:
    """Sorts before those of items that were made earlier."""
    return f"{LATEST_NS - int(item.create_time.ToNanoseconds()):020d}/{item.name}"


def _size(request: Any) -> int:
    if request.page_size < 0:
        raise invalid("page_size must not be negative.", "page_size")
    return min(request.page_size or DEFAULT_PAGE, MAX_PAGE)


def _within(request: Any, collection: str) -> tuple[str, Callable[[str], bool]]:
    """How the names in the parent begin, and which of those are in it. Raises what Google says of no such place."""
    if "/locations/-" not in request.parent:
        check_location("/".join(request.parent.split("/")[:4]))
    wanted = f"{request.parent}/{collection}/".split("/")
    known = [*wanted[: wanted.index("-")], ""] if "-" in wanted else wanted

    def keep(name: str) -> bool:
        parts = name.split("/")
        return len(parts) == len(wanted) and all(w in ("-", "", p) for w, p in zip(wanted, parts, strict=True))

    return "/".join(known), keep
