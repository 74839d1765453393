"""The few things of Google that no client package describes: plain HTTPS with our credentials."""

from __future__ import annotations

import asyncio
from typing import Any

from google.auth.transport.requests import AuthorizedSession

from infra.gcp.calls.attempts import READ, attempted, current_caller
from infra.gcp.calls.clients import current_credentials


async def get_json(name: str, url: str, accept: str = "application/json") -> Any:
    """The JSON at `url`; `name` is what errors call it. Raises GoogleError."""
    reason = current_caller().reason
    headers = {"Accept": accept} | ({"X-Goog-Request-Reason": reason} if reason else {})

    def get() -> Any:
        with AuthorizedSession(current_credentials()) as session:
            response = session.get(url, headers=headers, timeout=READ.timeout_s)
            response.raise_for_status()
            return response.json()

    return await attempted(name, lambda: asyncio.to_thread(get), READ)
