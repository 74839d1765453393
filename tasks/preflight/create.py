"""Creates what preflight found missing, and nothing else; each creation is repeatable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from infra.gcp import builds, project, secrets
from infra.gcp.artifacts import repositories
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.polling import until
from infra.gcp.run import services
from infra.gcp.storage import buckets
from tasks.model import Gap, Missing, Readiness, Request
from tasks.names import resources
from tasks.names.labels import MANAGED_BY
from tasks.names.references import PLACEHOLDER_IMAGE
from tasks.orchestration.stage import stage
from tasks.orchestration.step import step
from tasks.preflight.preflight import check_everything
from tasks.rollout.words import INGRESSES

CREATE_TIMEOUT_S = 180.0
PROPAGATION_TIMEOUT_S = 120.0  # Google: "wait a few minutes for the action to propagate"


@stage("create")
async def create_missing(request: Request, readiness: Readiness) -> None:
    """APIs first, and what could not be checked without them after that; then the rest at once."""
    apis = tuple(gap.name for gap in readiness.gaps if gap.kind is Missing.API)
    if apis:
        await enable_apis(request, apis)
        readiness = await check_everything(request, f"In {request.project} were enabled: {', '.join(apis)}.")
    await asyncio.gather(*(create(request, gap) for gap in readiness.gaps if gap.kind is not Missing.API))


@step("enable APIs", attempts=3)
async def enable_apis(request: Request, apis: tuple[str, ...]) -> None:
    """Enables them and waits until calls are let through."""
    await project.enable_apis(request.project, apis, CREATE_TIMEOUT_S)
    reads = _reads(request)
    await asyncio.gather(*(_settled(reads[api]) for api in apis))


def _reads(request: Request) -> dict[str, Callable[[], Awaitable[object]]]:
    """A cheap call to each API that a release needs."""
    where = (request.project, request.build_region)
    repository = resources.repository(*where, request.settings.repository)
    return {
        "artifactregistry.googleapis.com": lambda: repositories.get_repository(repository),
        "cloudbuild.googleapis.com": lambda: builds.find_builds(*where, f'tags="{MANAGED_BY}"'),
        "cloudresourcemanager.googleapis.com": lambda: project.get_project(request.project),
        "run.googleapis.com": lambda: services.list_services(*where),
        "secretmanager.googleapis.com": lambda: secrets.enabled_version(request.project, MANAGED_BY),
        "storage.googleapis.com": lambda: buckets.get_bucket(request.settings.bucket),
    }


@step("create", run_name="create {gap.kind} {gap.name}", attempts=3, timeout_s=400, state="What was created stays.")
async def create(request: Request, gap: Gap) -> None:
    await _CREATE[gap.kind](request, gap.name)


async def _create_repository(request: Request, name: str) -> None:
    await unless_there(repositories.create_repository(name, request.labels, CREATE_TIMEOUT_S))


async def _create_bucket(request: Request, name: str) -> None:
    await unless_there(buckets.create_bucket(name, request.project, request.build_region, request.labels))


async def _create_service(request: Request, name: str) -> None:
    """The service with nobody allowed in and a placeholder for traffic: its URL is known from now on."""
    await unless_there(services.create_service(name, placeholder_body(request, name), CREATE_TIMEOUT_S))


def placeholder_body(request: Request, name: str = "") -> dict[str, object]:
    """Of the service with this full name, whose ingress it has: an organisation policy may allow no other."""
    template: dict[str, object] = {
        "containers": [{"image": PLACEHOLDER_IMAGE}],
        "labels": request.labels,
        "scaling": {"minInstanceCount": 0, "maxInstanceCount": 1},
    }
    if request.settings.service_account:
        template["serviceAccount"] = request.settings.service_account
    said = {request.run_service(place): request.service(place.service).ingress for place in request.places}
    ingress = {"ingress": INGRESSES[word]} if (word := said.get(name)) else {}
    return {"labels": request.labels, "template": template, **ingress}


async def unless_there(creation: Awaitable[object]) -> None:
    """What is there already need not be created. HTTP 409 does not say that it is: an aborted creation has it too."""
    try:
        await creation
    except GoogleError as error:
        if error.status != "ALREADY_EXISTS":
            raise


async def _settled(read: Callable[[], Awaitable[object]]) -> None:
    """Repeats a read while its API is said to be disabled: enabling takes a while to be known everywhere."""

    async def known() -> bool:
        try:
            await read()
        except GoogleError as error:
            return error.reason != "SERVICE_DISABLED"  # what else is wrong is told by the checks
        return True

    await until(known, limit_s=PROPAGATION_TIMEOUT_S, pause_s=1.0)


_CREATE: dict[Missing, Callable[[Request, str], Awaitable[None]]] = {
    Missing.REPOSITORY: _create_repository,
    Missing.BUCKET: _create_bucket,
    Missing.SERVICE: _create_service,
}
