"""The few things of Google that no client package describes: plain HTTPS with our credentials."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests
from google.auth.credentials import Credentials
from google.auth.transport.requests import Request

from infra.gcp.calls.attempts import ONCE, READ, Attempts, attempted, current_caller, in_thread
from infra.gcp.calls.clients import current_credentials
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.polling import until
from infra.gcp.calls.sessions import session

FIRST_POLL_S = 0.1


async def get_json(name: str, url: str, accept: str = "application/json") -> Any:
    """The JSON at `url`; `name` is what errors call it. Raises GoogleError."""
    return (await _asked("GET", name, url, accept)).json()


async def post_repeatably(name: str, url: str, body: object) -> Any:
    """Sends JSON, which must be harmless to send again, and answers what comes back. Raises GoogleError."""
    return (await _asked("POST", name, url, "application/json", body)).json()


async def find_json(name: str, url: str) -> Any | None:
    """As `get_json`; None where there is nothing."""
    try:
        return await get_json(name, url)
    except GoogleError as error:
        if error.status == "NOT_FOUND":
            return None
        raise


async def ended(called: str, asked: str, url: str, timeout_s: float, longest_s: float) -> None:
    """Waits for the operation at `url`, of Compute Engine or Cloud SQL, that a call has started.

    called: that call, asked: the one that reads the operation, as errors name them. longest_s: the longest pause
    between two looks. Raises GoogleError, also for what the operation failed by.
    """

    async def look() -> Any:
        return await get_json(asked, url)

    def done(found: Any) -> bool:
        return bool(found["status"] == "DONE")

    try:
        operation = await until(look, done, limit_s=timeout_s, pause_s=FIRST_POLL_S, longest_s=longest_s)
    except TimeoutError:
        late = f"The operation has not ended after {timeout_s:.0f} s."
        raise GoogleError(called, "DEADLINE_EXCEEDED", late) from None
    for error in operation.get("error", {}).get("errors", ()):
        raise GoogleError(called, "FAILED_PRECONDITION", error.get("message", ""), reason=error.get("code", ""))


async def head(name: str, url: str, accept: str) -> Mapping[str, str]:
    """The headers of what is at `url`, by names in any case. Raises GoogleError."""
    return (await _asked("HEAD", name, url, accept)).headers


async def change(name: str, method: str, url: str, body: object = None) -> Any:
    """The JSON answer to a call that is made once, as it may change something. Raises GoogleError."""
    answer = await _asked(method, name, url, "application/json", body, ONCE)
    return answer.json() if answer.content else {}


async def post_json(name: str, url: str, body: object) -> Any:
    """What is answered to this JSON, once; `name` is what errors call it. Raises GoogleError."""
    return await change(name, "POST", url, body)


async def _asked(
    method: str, name: str, url: str, accept: str, body: object = None, attempts: Attempts = READ
) -> requests.Response:
    reason = current_caller().reason
    headers = {"Accept": accept} | ({"X-Goog-Request-Reason": reason} if reason else {})

    def ask() -> requests.Response:
        asking = session(_credentials(url))
        response: requests.Response = asking.request(
            method, url, headers=headers, json=body, timeout=attempts.timeout_s
        )
        response.raise_for_status()
        return response

    return await attempted(name, lambda: asyncio.to_thread(ask), attempts)


def _credentials(url: str) -> Credentials:
    """Registries know access tokens, which Google's APIs can do without where a service account signs its own.

    https://cloud.google.com/artifact-registry/docs/docker/authentication#token
    """
    is_api = (urlsplit(url).hostname or "").endswith(".googleapis.com")
    return current_credentials() if is_api else _with_tokens(current_credentials())


@lru_cache(maxsize=1)
def _with_tokens(credentials: Credentials) -> Credentials:
    with_jwt = getattr(credentials, "with_always_use_jwt_access", None)
    return credentials if with_jwt is None else with_jwt(False)


async def access_token() -> str:
    """A token for what is no API of Google's and takes Google's access tokens. Raises GoogleError."""

    def fetch() -> str:
        known = _with_tokens(current_credentials())
        if not known.valid:
            known.refresh(Request())
        return str(known.token)

    return await in_thread("google.auth.credentials", fetch)


async def listed(
    name: str, url: str, field: str, page_size: int = 500, query: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Everything that `url`, asked with `query`, lists in `field`, page by page. Raises GoogleError."""
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        asked = {**(query or {}), "pageSize": page_size, "pageToken": token}
        page = await get_json(name, f"{url}?{urlencode(asked)}")
        found += page.get(field, ())
        token = page.get("nextPageToken", "")
        if not token:
            return found


async def pages(
    name: str,
    url: str,
    field: str,
    page_size: int = 500,
    query: Mapping[str, str] | None = None,
    *,
    warnings: bool = False,
) -> list[Any]:
    """As `listed`, of APIs that call it maxResults. warnings: an answer that has some is not whole, and an error."""
    found: list[Any] = []
    token = ""
    while True:
        asked = {**(query or {}), "maxResults": page_size} | ({"pageToken": token} if token else {})
        page = await get_json(name, f"{url}?{urlencode(asked)}")
        if warnings and page.get("warnings"):
            raise GoogleError(name, "UNAVAILABLE", f"Not all could be listed: {page['warnings'][0].get('message', '')}")
        found += page.get(field, ())
        token = page.get("nextPageToken", "")
        if not token:
            return found
