"""Whether Google takes the services as slipway.yaml describes them: asked before anything is built."""

from __future__ import annotations

import asyncio
from typing import Any

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import services
from tasks.failures.catalogue.blanks import Known
from tasks.failures.explain import explain
from tasks.model import Image, Place, Readiness, Request
from tasks.names.naming import url_variable
from tasks.names.references import PLACEHOLDER_IMAGE
from tasks.preflight.findings import merge, refuse
from tasks.rollout.service import template_body

REFUSED = ("INVALID_ARGUMENT", "OUT_OF_RANGE")  # of the request itself, whatever the state of the world


async def check_templates(request: Request) -> Readiness:
    """Each service in one region and, where it is refused there, no more of it: regions differ in names alone."""
    places = [Place(name, request.settings.regions[0]) for name in request.services]
    return merge(await asyncio.gather(*(_check(request, place) for place in places)))


async def _check(request: Request, place: Place) -> Readiness:
    try:
        await services.validate_service(asked_for(request, place), ["labels", "template"])
    except GoogleError as error:
        if error.status in REFUSED:
            return judge_refusal(request, place, error)
        return Readiness(notes=(f"Google could not be asked whether it takes {place}: {error.status}.",))
    return Readiness()


def judge_refusal(request: Request, place: Place, error: GoogleError) -> Readiness:
    run_service = request.run_service(place)
    known = Known(project=request.project, region=place.region, service=run_service.rsplit("/", 1)[1])
    explanation = explain(error, known)
    said = "; ".join(each.description for each in error.violations) or error.message
    return refuse(
        "settings",
        explanation.cause,
        f"Cloud Run does not take {place.service} as slipway.yaml describes it: {said}",
        f"correct services.{place.service}, or what environments.{request.environment} says of it, in slipway.yaml",
        explanation.link,
    )


def asked_for(request: Request, place: Place) -> dict[str, Any]:
    """What a release writes, with an image that is there already and what is not known yet made up."""
    settings = request.service(place.service)
    urls = {url_variable(other): "https://example.com" for other in settings.depends_on}
    versions = {reference: reference.version or 1 for reference in settings.secrets.values()}
    image = Image(place.service, PLACEHOLDER_IMAGE, "", "")
    template = template_body(settings, image, urls, versions)
    template["containers"][0]["image"] = PLACEHOLDER_IMAGE
    return {"name": request.run_service(place), "labels": request.labels, "template": template}
