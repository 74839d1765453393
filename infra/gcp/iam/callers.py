"""Whom an ID token of Google's speaks for: the other side of `identity.py`.

https://cloud.google.com/docs/authentication/token-types#id
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.auth import exceptions
from google.auth.transport.requests import Request
from google.oauth2 import id_token

from infra.gcp.calls.errors import GoogleError

NAME = "oauth2.certs"
SKEW_S = 10  # by which clocks may differ
KEPT = 1000  # tokens whose proof is remembered


class NotGenuine(Exception):
    """It is no token of Google's for us, or its time is over."""


@dataclass
class Callers:
    """Of one audience. A token is proven once, as Google's keys are fetched for that, and believed until it ends."""

    audience: str
    _proven: OrderedDict[str, tuple[str, float]] = field(default_factory=OrderedDict)  # e-mail, end in Unix time
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def email_of(self, token: str) -> str:
        """Blocks. Raises NotGenuine, and GoogleError UNAVAILABLE where Google's keys cannot be fetched."""
        with self._lock:
            known = self._proven.get(token)
        if known and known[1] > time.time():
            return known[0]
        claims = self._proof(token)
        email = str(claims.get("email", ""))
        if not email or not claims.get("email_verified"):
            raise NotGenuine("the token does not tell whose it is: ask for one with the e-mail in it")
        with self._lock:
            self._proven[token] = (email, float(claims["exp"]))
            while len(self._proven) > KEPT:
                self._proven.popitem(last=False)
        return email

    def _proof(self, token: str) -> Mapping[str, Any]:
        try:
            return id_token.verify_oauth2_token(token, Request(), self.audience, SKEW_S)  # type: ignore[no-any-return]
        except exceptions.TransportError as error:
            raise GoogleError(NAME, "UNAVAILABLE", f"Google's keys cannot be fetched: {error}") from error
        except (exceptions.GoogleAuthError, ValueError) as error:
            raise NotGenuine(str(error)) from error
