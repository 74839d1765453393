"""Whether the services can be asked from here at all: a release is proven by requests to it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import httpx

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import services
from infra.gcp.run.services import RunService
from tasks.analysis.permitted import permitted_at, refused_audience
from tasks.analysis.reach import DEFAULT_URL, IAP, INGRESS, an_example, asks_dark, closing, is_declared, to_declare
from tasks.failures.cause import Cause
from tasks.manifest.settings import ServiceSettings
from tasks.manifest.values import TAG
from tasks.model import Place, Readiness, Request
from tasks.names import resources
from tasks.orchestration.tls import trusted
from tasks.preflight.findings import CONSOLE, merge, refuse

OPEN = ("", "INGRESS_TRAFFIC_UNSPECIFIED", "INGRESS_TRAFFIC_ALL")
TIMEOUT_S = 20.0
SETTINGS = {
    INGRESS: ("its ingress lets in requests from inside or from the load balancer only", "--ingress=all"),
    IAP: ("Identity-Aware Proxy stands before it", "--no-iap"),
    DEFAULT_URL: ("its default URL is off, and with it those of its revisions", "--default-url"),
}


async def check_reach(request: Request) -> Readiness:
    return merge(await asyncio.gather(*(_check(request, place) for place in request.places)))


async def _check(request: Request, place: Place) -> Readiness:
    try:
        service = await services.get_service(request.run_service(place))
    except GoogleError as error:
        if error.status == "PERMISSION_DENIED":  # told by the permissions
            return Readiness()
        raise
    settings = request.service(place.service)
    if (kept := await _not_permitted(place, settings, service)) != Readiness():
        return kept
    live = closed_by(service)
    closed = live or closing(settings)
    if not closed or is_declared(settings, closed):
        return _late(place, settings)
    if live == INGRESS and service and await _answers(service.uri):  # whoever runs inside the network gets through
        return Readiness()
    return _unreachable(request, place, closed, by_release=not live)


async def _not_permitted(place: Place, settings: ServiceSettings, service: RunService | None) -> Readiness:
    """What slipway.yaml would have asked that the operator of this worker does not let it."""
    health, url, why = settings.health, an_example(settings.health, place), ""
    with suppress(OSError):  # a name without an address here: the proof will tell
        why = refused_audience(health, service) or ((await permitted_at(httpx.URL(url), health))[0] if url else "")
    if not why:
        return Readiness()
    what = f"services.{place.service}.health"
    fix = f"have the operator of the worker list it there, or correct {what} in slipway.yaml"
    return refuse("reach", Cause.PERMISSION, f"{place.service} is not asked as {what} says: {why}.", fix)


def closed_by(service: RunService | None) -> str:
    """The setting that keeps requests from outside away, '' if none does.

    https://cloud.google.com/run/docs/securing/ingress, /run/docs/securing/identity-aware-proxy-cloud-run,
    /run/docs/securing/disable-default-url
    """
    body = service.body if service else {}
    if body.get("defaultUriDisabled"):
        return DEFAULT_URL
    if body.get("iapEnabled"):
        return IAP
    return INGRESS if body.get("ingress", "") not in OPEN else ""


def _late(place: Place, settings: ServiceSettings) -> Readiness:
    if asks_dark(settings.health):
        return Readiness()
    url = settings.health.url
    note = f"{place} is asked at {url} once it has traffic, and not before: with {TAG} in that URL it would be."
    return Readiness(notes=(note,))


async def _answers(url: str) -> bool:
    """Whether requests from here pass the ingress: those that do not are answered 404 by Google's front end.

    A service that answers 404 itself is one that nobody can tell from that; it is taken for closed.
    """
    try:
        async with httpx.AsyncClient(verify=trusted(), timeout=TIMEOUT_S) as client:
            return (await client.get(url)).status_code != httpx.codes.NOT_FOUND
    except httpx.HTTPError:
        return False


def _unreachable(request: Request, place: Place, closed: str, *, by_release: bool) -> Readiness:
    why, flag = SETTINGS[closed]
    name = resources.last(request.run_service(place))
    where = f"--region={place.region} --project={request.project}"
    track = "" if closed == INGRESS else "beta "  # in gcloud itself these flags are newer than many installations
    inside = ", or run Slipway inside the service's network" if closed == INGRESS else ""
    other = "" if by_release else f"; or: gcloud {track}run services update {name} {where} {flag}{inside}"
    return refuse(
        "reach",
        Cause.INVALID_CONFIG,
        f"{place} cannot be proven from here: {why}. A release that nobody can ask gets no traffic.",
        f"{to_declare(place.service, closed)}{other}",
        f"{CONSOLE}/run/detail/{place.region}/{name}/networking?project={request.project}",
    )
