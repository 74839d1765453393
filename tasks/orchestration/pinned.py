"""Requests to an address that was checked, and not to the name: that could mean another one by then (DNS rebinding)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from urllib.request import getproxies, proxy_bypass

import httpx

R = TypeVar("R")


def pinned(url: httpx.URL, address: str) -> dict[str, Any]:
    """What to send with a request: it goes to the address, and the host and its certificate are still the name's."""
    return {
        "url": url.copy_with(host=address),
        "headers": {"Host": url.netloc.decode()},
        "extensions": {"sni_hostname": url.host},
    }


async def first_of(addresses: Sequence[str], ask: Callable[[str], Awaitable[R]]) -> R:
    """What the first address answers that takes a connection. Raises httpx.ConnectError, or OSError without one."""
    for left, address in enumerate(addresses, 1 - len(addresses)):
        try:
            return await ask(address)
        except httpx.ConnectError:
            if not left:
                raise
    raise OSError("the name has no address")


def is_proxied(url: httpx.URL) -> bool:
    """Whether a proxy of this machine is asked, which looks the name up itself."""
    return not {url.scheme, "all"}.isdisjoint(getproxies()) and not proxy_bypass(url.host)
