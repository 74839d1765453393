"""Lists of any length, page by page; a list of which one page fails is an error, never a shorter list."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

from infra.gcp.calls.clients import READ, call
from infra.gcp.calls.errors import GoogleError

PAGE_SIZE = 1000  # as many as the APIs give at once


async def each(
    name: str, method: Callable[..., Awaitable[Any]], request: Mapping[str, Any], field: str, unreachable: str = ""
) -> AsyncIterator[Any]:
    """Everything that `method` lists in `field` of its answers, as plain protobuf messages. Raises GoogleError.

    unreachable: the field in which an answer names places that could not be asked; then it is no answer.
    """
    token = ""
    while True:
        page = await call(name, method, {"page_size": PAGE_SIZE, **request, "page_token": token}, retry=READ)
        async with aclosing(page.pages) as answers:
            answer = await anext(answers)
        message = type(answer).pb(answer)  # wrapping each of 100 000 items in a proto-plus object costs seconds
        if unreachable and (places := getattr(message, unreachable)):
            raise GoogleError(name, "UNAVAILABLE", f"Not all could be listed: {', '.join(places)} did not answer.")
        for item in getattr(message, field):
            yield item
        token = message.next_page_token
        if not token:
            return
