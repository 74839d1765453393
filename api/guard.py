"""Who is answered: with a token of ours or of Google's, or from this machine; so many requests a minute by address."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fastapi import Request, Response
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse

from api.refused import Refused
from api.settings import Settings, is_one_of
from infra.gcp.calls.errors import GoogleError
from infra.gcp.iam.callers import Callers, NotGenuine
from tasks.failures.redact import redact

ADDRESSES = 10_000  # remembered at once; the ones that asked longest ago are forgotten
UNLIMITED = ("/health",)  # what a load balancer asks
OWN_NAMES = ("localhost", "127.0.0.1", "[::1]")
WHO = {"WWW-Authenticate": 'Basic realm="Slipway", Bearer'}  # a browser asks for a password: that is the token


@dataclass
class Limit:
    """A bucket for each address, which holds a minute's worth of requests and fills evenly. Pure."""

    per_minute: int
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)  # requests left, at which time

    def wait_s(self, address: str, now: float) -> float:
        """0 if the address may ask now, which takes one; else when it may ask again."""
        left, then = self._left.pop(address, (float(self.per_minute), now))
        left = min(self.per_minute, left + (now - then) * self.per_minute / 60)
        wait = 0.0 if left >= 1 else (1 - left) * 60 / self.per_minute
        self._left[address] = (left if wait else left - 1, now)
        while len(self._left) > ADDRESSES:
            self._left.popitem(last=False)
        return wait


Next = Callable[[Request], Awaitable[Response]]


def limiting(limit: Limit) -> Callable[[Request, Next], Awaitable[Response]]:
    """The middleware that answers 429."""

    async def limited(request: Request, call_next: Next) -> Response:
        try:
            refuse_often(limit, request)
        except Refused as often:
            return JSONResponse({"detail": often.said}, often.status, headers=often.headers)
        return await call_next(request)

    return limited


def refuse_often(limit: Limit, asked: HTTPConnection) -> None:
    """Raises Refused, with when to ask again."""
    address = asked.client.host if asked.client else ""
    wait = 0.0 if asked.url.path in UNLIMITED else limit.wait_s(address, time.monotonic())
    if wait:
        raise Refused(429, "Too many requests.", {"Retry-After": str(int(wait) + 1)})


class Guard:
    """Knows who is let in."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._google = settings, Callers(settings.audience)

    def caller(self, asked: HTTPConnection) -> str:
        """The e-mail that an ID token has proven, '' for who has one of our own tokens. Blocks.

        Raises Refused for anybody else; without tokens and callers, for who does not ask from this machine.
        """
        _refuse_other_sites(asked)
        if not self._settings.is_closed:
            _refuse_elsewhere(asked)
            return ""
        given = token_in(asked.headers.get("authorization", ""))
        if is_one_of(given, self._settings.tokens):
            return ""
        if self._settings.callers and given.count(b".") == 2:
            return self._known(given.decode(errors="replace"))
        raise Refused(401, "Give a token: Authorization: Bearer TOKEN.", WHO)

    def _known(self, token: str) -> str:
        try:
            email = self._google.email_of(token)
        except NotGenuine as error:
            raise Refused(401, f"The ID token is not accepted: {redact(str(error))[:300]}", WHO) from None
        except GoogleError as error:
            raise Refused(503, f"The ID token cannot be checked: {redact(str(error))[:300]}") from None
        if email.lower() not in self._settings.callers:
            raise Refused(403, f"{email} is none of those who may call.")
        return email


def token_in(authorization: str) -> bytes:
    """Of `Bearer TOKEN`, or the password of `Basic …`; b'' of anything else."""
    kind, _, given = authorization.partition(" ")
    if kind.lower() == "bearer":
        return given.strip().encode()
    if kind.lower() != "basic":
        return b""
    try:
        return base64.b64decode(given.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""


def _refuse_other_sites(request: HTTPConnection) -> None:
    """A browser sends its password with requests that a foreign page makes it send, too; of a WebSocket it would even
    let that page read the answers.
    """
    if request.scope.get("method") != "GET" and request.headers.get("sec-fetch-site", "none") not in (
        "none",
        "same-origin",
    ):
        raise Refused(403, "A page of another site may not do that.")
    origin = request.headers.get("origin") if request.scope["type"] == "websocket" else None
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host", ""):
        raise Refused(403, "A page of another site may not do that.")


def _refuse_elsewhere(request: HTTPConnection) -> None:
    """By the address, and by the name: a foreign page's name may lead to this machine."""
    host = request.headers.get("host", "")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if name not in OWN_NAMES or not _is_here(request.client.host if request.client else ""):
        raise Refused(403, "No token is set, so only this machine is answered: set SLIPWAY_API_TOKENS.")


def _is_here(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
