"""Whether the services can be asked from here at all: a release is proven by requests to its own URL."""

from __future__ import annotations

import asyncio

import httpx

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import services
from infra.gcp.run.services import RunService
from tasks.failures.errors import Cause
from tasks.model import Place, Readiness, Request
from tasks.preflight.findings import CONSOLE, merge, refuse

OPEN = ("", "INGRESS_TRAFFIC_UNSPECIFIED", "INGRESS_TRAFFIC_ALL")
TIMEOUT_S = 20.0
INGRESS = "ingress"
SETTINGS = {
    INGRESS: ("its ingress lets in requests from inside or from the load balancer only", "--ingress=all"),
    "iap": ("Identity-Aware Proxy stands before it", "--no-iap"),
    "default URL": ("its default URL is off, and with it those of its revisions", "--default-url"),
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
    closed = closed_by(service) if service else ""
    if not service or not closed:
        return Readiness()
    if closed == INGRESS and await _answers(service.uri):  # whoever runs inside the network gets through
        return Readiness()
    return _unreachable(request, place, service, closed)


def closed_by(service: RunService) -> str:
    """The setting that keeps requests from outside away, '' if none does.

    https://cloud.google.com/run/docs/securing/ingress, /run/docs/securing/identity-aware-proxy-cloud-run,
    /run/docs/securing/disable-default-url
    """
    if service.body.get("defaultUriDisabled"):
        return "default URL"
    if service.body.get("iapEnabled"):
        return "iap"
    return INGRESS if service.body.get("ingress", "") not in OPEN else ""


async def _answers(url: str) -> bool:
    """Whether requests from here pass the ingress: those that do not are answered 404 by Google's front end.

    A service that answers 404 itself is one that nobody can tell from that; it is taken for closed.
    """
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            return (await client.get(url)).status_code != httpx.codes.NOT_FOUND
    except httpx.HTTPError:
        return False


def _unreachable(request: Request, place: Place, service: RunService, closed: str) -> Readiness:
    why, flag = SETTINGS[closed]
    where = f"--region={place.region} --project={request.project}"
    inside = ", or run Slipway inside the service's network" if closed == INGRESS else ""
    return refuse(
        "reach",
        Cause.INVALID_CONFIG,
        f"{place} cannot be proven from here: {why}. A release that nobody can ask gets no traffic.",
        f"gcloud run services update {service.id} {where} {flag}{inside}",
        f"{CONSOLE}/run/detail/{place.region}/{service.id}/networking?project={request.project}",
    )
