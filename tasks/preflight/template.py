"""Whether Google takes the services as slipway.yaml describes them: asked before anything is built."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import services
from infra.gcp.run.services import RunService
from tasks.failures.catalogue.blanks import Known
from tasks.failures.explain import explain
from tasks.model import Image, Place, Readiness, Request
from tasks.names.references import PLACEHOLDER_IMAGE
from tasks.preflight.findings import merge, refuse
from tasks.rollout.base import base_of
from tasks.rollout.said import Where
from tasks.rollout.service import NEW, template_body

REFUSED = ("INVALID_ARGUMENT", "OUT_OF_RANGE")  # of the request itself, whatever the state of the world


async def check_templates(request: Request) -> Readiness:
    """Each service in each region, as not all have the same to offer; what is refused everywhere is said once."""
    found = await asyncio.gather(*(_check(request, place) for place in request.places))
    merged = merge(found)
    return replace(merged, problems=tuple({each.problem: each for each in reversed(merged.problems)}.values())[::-1])


async def _check(request: Request, place: Place) -> Readiness:
    try:
        live = await services.get_service(request.run_service(place))
        await services.validate_service(asked_for(request, place, live), ["labels", "template"])
    except GoogleError as error:
        if error.status in REFUSED:
            run_service = request.run_service(place)
            known = Known(project=request.project, region=place.region, service=run_service.rsplit("/", 1)[1])
            return judge_refusal(request, error, known, place.service, f"services.{place.service}")
        return Readiness(notes=(f"Google could not be asked whether it takes {place}: {error.status}.",))
    return Readiness()


def judge_refusal(request: Request, error: GoogleError, known: Known, what: str, key: str) -> Readiness:
    """what: which of the app's parts, as people say; key: where slipway.yaml describes it."""
    explanation = explain(error, known)
    said = "; ".join(each.description for each in error.violations) or error.message
    return refuse(
        "settings",
        explanation.cause,
        f"Cloud Run does not take {what} as slipway.yaml describes it: {said}",
        f"correct {key}, or what environments.{request.environment} says of it, in slipway.yaml",
        explanation.link,
    )


def asked_for(request: Request, place: Place, live: RunService | None) -> dict[str, Any]:
    """What a release writes over what is there, with an image that exists and what is not known yet made up."""
    settings = request.service(place.service)
    urls = dict.fromkeys(settings.upstreams, "https://example.com")
    versions = {reference: reference.version or 1 for reference in settings.secret_refs}
    image = Image(place.service, PLACEHOLDER_IMAGE, "", "")
    where, base = Where(request.project, place.region), NEW if live is None else base_of(live)
    template = template_body(settings, image, urls, versions, where, base)
    containers = [
        {**each, "image": PLACEHOLDER_IMAGE} if each.get("image") == image.reference else each
        for each in template["containers"]
    ]
    asked = {**template, "containers": containers}
    return {"name": request.run_service(place), "labels": request.labels, "template": asked}
