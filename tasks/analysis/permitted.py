"""What the operator of a worker lets a slipway.yaml have asked in the worker's name: others write it than he.

Whoever is asked with an ID token may, for an hour, go with it wherever its audience is. So one is made for a service's
own URL, or for an audience that the operator lists in SLIPWAY_PROBE_AUDIENCES, such as
`1234-abc.apps.googleusercontent.com,https://shop.example.com`. And what is answered at `health.url` is told in the run:
of private networks it may lead into those that SLIPWAY_HOOK_NETWORKS lists.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import httpx

from infra.gcp.run.services import RunService
from tasks.manifest.settings import Health
from tasks.orchestration.addresses import (
    NETWORKS_VARIABLE,
    addresses_of,
    forbidden,
    literal,
    parse_networks,
    refusal,
)
from tasks.orchestration.pinned import is_proxied

AUDIENCES_VARIABLE = "SLIPWAY_PROBE_AUDIENCES"


def refused_audience(health: Health, service: RunService | None) -> str:
    """Why no ID token is made for what `health.audience` names, or ''."""
    if not health.audience:
        return ""
    own = (service.uri, *service.body.get("urls", ())) if service else ()
    listed = os.environ.get(AUDIENCES_VARIABLE, "").replace(",", " ").split()
    if health.audience.rstrip("/") in {each.rstrip("/") for each in (*own, *listed)}:
        return ""
    return f"no ID token is made for {health.audience}, which {AUDIENCES_VARIABLE} of the worker does not list"


async def permitted_at(url: httpx.URL, health: Health) -> tuple[str, Sequence[str]]:
    """Why nobody is asked at a URL, or ''; and the addresses there that may be asked. Raises OSError if it has none.

    No addresses: the name may be asked. What Cloud Run calls a service is its own, wherever that is, and a proxy looks
    up itself what it is asked for.
    """
    if never := forbidden(url.host, []):  # the name need not be known here
        return never, ()
    if literal(url.host):
        return _refusal(url, [url.host], health), ()
    if is_proxied(url):
        return "", ()
    addresses = await addresses_of(url.host, url.port)
    return _refusal(url, addresses, health), addresses if health.url else ()


def _refusal(url: httpx.URL, addresses: Sequence[str], health: Health) -> str:
    if (never := forbidden(url.host, addresses)) or not health.url:
        return never
    try:
        allowed = parse_networks(os.environ.get(NETWORKS_VARIABLE, ""))
    except ValueError as error:
        return f"{NETWORKS_VARIABLE} of the worker is no list of networks ({error})"
    private = refusal(url.host, addresses, allowed)
    return f"{private} that {NETWORKS_VARIABLE} of the worker does not list" if private else ""
