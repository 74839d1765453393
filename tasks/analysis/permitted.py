"""What the operator of a worker lets a slipway.yaml have asked in the worker's name: others write it than he.

Whoever is asked with an ID token may, for an hour, go with it wherever its audience is. So one is made for a service's
own URL, or for an audience that the operator lists in SLIPWAY_PROBE_AUDIENCES, such as
`1234-abc.apps.googleusercontent.com,https://shop.example.com`. And what is answered at `health.url` is told in the run:
of private networks it may lead into those that SLIPWAY_HOOK_NETWORKS lists.
"""

from __future__ import annotations

import os
from urllib.request import getproxies, proxy_bypass

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


async def refused_at(url: httpx.URL, health: Health) -> str:
    """Why nobody is asked at a URL, or ''. Raises OSError where its name has no address.

    Asked before each request, as a name may mean another address by then.
    """
    if never := forbidden(url.host, []):  # the name need not be known here
        return never
    addresses = await _addresses(url)
    never = forbidden(url.host, addresses)
    if never or not health.url:  # what Cloud Run calls a service is its own, wherever that is
        return never
    try:
        allowed = parse_networks(os.environ.get(NETWORKS_VARIABLE, ""))
    except ValueError as error:
        return f"{NETWORKS_VARIABLE} of the worker is no list of networks ({error})"
    private = refusal(url.host, addresses, allowed)
    return f"{private} that {NETWORKS_VARIABLE} of the worker does not list" if private else ""


async def _addresses(url: httpx.URL) -> list[str]:
    """None where a proxy looks the name up, which need not have an address here."""
    if literal(url.host):
        return [url.host]
    proxied = url.scheme in getproxies() and not proxy_bypass(url.host)
    return [] if proxied else await addresses_of(url.host, url.port)
