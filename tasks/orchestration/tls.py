"""Whom HTTPS connections trust."""

from __future__ import annotations

import functools
import os
import ssl

import httpx

from infra.gcp.calls import sessions


def trusted() -> ssl.SSLContext:
    """For every client of httpx's that is made: to read the authorities anew takes each of them 80 ms or more."""
    return _read(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


def read_ahead() -> None:
    """What all processes that are forked from this one would read each for itself."""
    trusted()
    sessions.read_ahead()


@functools.lru_cache(maxsize=4)
def _read(*_places: str | None) -> ssl.SSLContext:
    """httpx looks at these variables itself; here they only tell when to read again."""
    return httpx.create_ssl_context()
