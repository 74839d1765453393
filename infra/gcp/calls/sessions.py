"""The HTTPS connections of Google's synchronous libraries: kept open, with authorities that are read once."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Any

from google.auth.credentials import Credentials
from google.auth.transport.requests import AuthorizedSession
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssl_ import create_urllib3_context

AT_ONCE = 32  # connections to one host that are kept; more than there are threads to use them


@lru_cache(maxsize=4)
def session(credentials: Credentials) -> AuthorizedSession:
    """For all who call with these: a process that sees many runs would else keep the connections of each run open."""
    made = AuthorizedSession(credentials)
    made.mount("https://", _Trusting(pool_maxsize=AT_ONCE))
    return made


class _Trusting(HTTPAdapter):
    """By itself requests has every connection read all authorities anew, which takes 40 ms of CPU each."""

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if verify is not False:
            pool["ssl_context"] = _trusted(pool.pop("ca_certs", None), pool.pop("ca_cert_dir", None))
        return host, pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
        conn.ca_certs = conn.ca_cert_dir = None  # they are in the context


def read_ahead() -> None:
    """Reads the authorities that connections will trust, so that processes forked from this one have them."""
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    bundle, folder = (None, named) if named and Path(named).is_dir() else (named or None, None)
    _trusted(bundle, folder)


@lru_cache(maxsize=4)
def _trusted(bundle: str | None, folder: str | None) -> ssl.SSLContext:
    """bundle, folder: as $REQUESTS_CA_BUNDLE names them; without either, the authorities of the web."""
    context = create_urllib3_context()
    context.load_verify_locations(bundle or (None if folder else DEFAULT_CA_BUNDLE_PATH), folder)
    return context
