"""How every call to Cloud Storage is made. The official client is synchronous, so each call runs in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from google.api_core.client_info import ClientInfo
from google.auth.credentials import Credentials
from google.cloud import storage

from infra.gcp.calls.attempts import READ, Attempts, attempted, current_caller
from infra.gcp.calls.clients import current_credentials
from infra.gcp.calls.sessions import session

T = TypeVar("T")
CLIENT_INFO = ClientInfo(user_agent="slipway")
OPTIONS: dict[str, Any] = {"timeout": READ.timeout_s, "retry": None}  # of each request: attempts are counted by us


async def call(name: str, work: Callable[[storage.Client], T], attempts: Attempts = READ) -> T:
    """What `work` answers; `name` is what errors and circuits call it. Raises GoogleError.

    Every call may be repeated: reads by nature, writes because they name the generation that they replace.
    """
    reason = current_caller().reason
    return await attempted(
        name, lambda: asyncio.to_thread(lambda: work(_client(current_credentials(), reason))), attempts
    )


@lru_cache(maxsize=16)
def _client(credentials: Credentials, reason: str) -> storage.Client:
    """One client per request reason: the reason is a header of all its requests."""
    return storage.Client(
        project="-",
        credentials=credentials,
        client_info=CLIENT_INFO,
        extra_headers={"X-Goog-Request-Reason": reason} if reason else {},
        _http=session(credentials),
    )
