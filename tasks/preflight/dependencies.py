"""Whether what a service depends on, and is not shipped along, answers: users of the one need the other."""

from __future__ import annotations

import asyncio

from infra.gcp.run import services
from infra.gcp.run.services import RunService
from tasks.analysis.probes import asked_for, probe_service
from tasks.analysis.reach import closing, is_declared
from tasks.failures.cause import Cause
from tasks.model import Place, Readiness, Request
from tasks.names import resources
from tasks.preflight.findings import CONSOLE, merge, refuse
from tasks.preflight.reach import closed_by

# A stranger's answer below 500 is one; only what fails every time is ill beyond doubt.
QUICKLY = {"tries": 3, "samples": 1, "backoff_min_s": 0.5, "backoff_max_s": 1.0, "timeout_s": 10.0}
BROKEN = 500
DEPENDENCIES = "dependencies"


async def check_dependencies(request: Request) -> Readiness:
    """That nothing of it serves yet is told where it is deployed, as another release may be bringing it."""
    shipped = [name for name in request.services if name in request.manifest.services]
    needed = sorted({other for name in shipped for other in request.service(name).needs} - set(request.services))
    places = [request.place(name, region) for region in request.settings.regions for name in needed]
    return merge(await asyncio.gather(*(_check(request, place) for place in places)))


async def _check(request: Request, place: Place) -> Readiness:
    service = await services.get_service(request.run_service(place))
    if service is None or not service.routed or _is_closed(request, place, service):
        return Readiness()
    health = asked_for(request, place, None).model_copy(
        update={**QUICKLY, "path": request.service(place.service).health.path}
    )
    probes = await probe_service(service.name, service.uri, service.uri, health)
    if any(probe.status is None or probe.status < BROKEN for probe in probes):
        return Readiness()
    short = resources.last(service.name)
    return refuse(
        DEPENDENCIES,
        Cause.SERVICE_UNAVAILABLE,
        f"{place} fails, and {_who(request, place)} it: {len(probes)} of {len(probes)} requests to {health.path} were "
        f"answered with {probes[-1]}.",
        f"put it right first, or ship it along: slipway rollback --environment {request.environment}, or start the run "
        f"with services {', '.join([place.service, *request.services])}, or with `override` where it is no hindrance",
        f"{CONSOLE}/run/detail/{place.region}/{short}/logs?project={request.project}",
    )


def _is_closed(request: Request, place: Place, service: RunService) -> bool:
    """Whether nobody can ask it from here; then nothing is known against it."""
    settings = request.service(place.service)
    closed = closed_by(service) or closing(settings)
    return bool(closed) or is_declared(settings, closed)


def _who(request: Request, place: Place) -> str:
    names = [name for name in request.services if place.service in request.service(name).needs]
    return f"{' and '.join(names)} {'depends' if len(names) == 1 else 'depend'} on"
