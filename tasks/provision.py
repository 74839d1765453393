"""Creates what preflight found missing, and nothing else; each creation is repeatable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from infra.gcp import project, registry, run, storage
from infra.gcp.errors import GoogleError
from tasks.model import Gap, Missing, Readiness, Request
from tasks.naming import label_value
from tasks.progress import stage
from tasks.steps import step

CREATE_TIMEOUT_S = 180.0
PROPAGATION_TIMEOUT_S = 120.0  # Google: "wait a few minutes for the action to propagate"
MANAGED_BY = "slipway"
# Google's own public image holds a new service's traffic until the first release is proven: Cloud Run takes no
# traffic split when a service is created, so the first candidate could not be kept dark otherwise.
PLACEHOLDER_IMAGE = "us-docker.pkg.dev/cloudrun/container/hello"


@stage("create")
async def create_missing(request: Request, readiness: Readiness) -> None:
    """APIs first, as everything else needs them; then the rest at once."""
    apis = [gap for gap in readiness.gaps if gap.kind == Missing.API]
    others = [gap for gap in readiness.gaps if gap.kind != Missing.API]
    if apis:
        await enable_apis(request, tuple(gap.name for gap in apis))
    await asyncio.gather(*(create(request, gap) for gap in others))


@step("enable APIs", attempts=3)
async def enable_apis(request: Request, apis: tuple[str, ...]) -> None:
    """Enables them and waits until calls are let through."""
    await project.enable_apis(request.project, apis, CREATE_TIMEOUT_S)
    await _settled(lambda: run.list_services(request.project, request.build_region))


@step("create", run_name="create {gap.kind} {gap.name}", attempts=3, timeout_s=400, state="What was created stays.")
async def create(request: Request, gap: Gap) -> None:
    await _CREATE[gap.kind](request, gap.name)


async def _create_repository(request: Request, name: str) -> None:
    await _unless_there(registry.create_repository(name, labels(request), CREATE_TIMEOUT_S))


async def _create_bucket(request: Request, name: str) -> None:
    await _unless_there(storage.create_bucket(name, request.project, request.build_region, labels(request)))


async def _create_service(request: Request, name: str) -> None:
    """The service with nobody allowed in and a placeholder for traffic: its URL is known from now on."""
    await _unless_there(run.create_service(name, placeholder_body(request), CREATE_TIMEOUT_S))


def placeholder_body(request: Request) -> dict[str, object]:
    template: dict[str, object] = {
        "containers": [{"image": PLACEHOLDER_IMAGE}],
        "labels": labels(request),
        "scaling": {"minInstanceCount": 0, "maxInstanceCount": 1},
    }
    if request.settings.service_account:
        template["serviceAccount"] = request.settings.service_account
    return {"labels": labels(request), "template": template}


def labels(request: Request) -> dict[str, str]:
    """What marks a resource as ours: without the first, clean-up never touches it."""
    return {
        "managed-by": MANAGED_BY,
        "slipway-app": label_value(request.app),
        "slipway-environment": label_value(request.environment),
    }


async def _unless_there(creation: Awaitable[object]) -> None:
    try:
        await creation
    except GoogleError as error:
        if error.status != "ALREADY_EXISTS" and error.http_status != 409:
            raise


async def _settled(probe: Callable[[], Awaitable[object]]) -> None:
    """Repeats a read until it is no longer refused: enabling takes a while to be known everywhere."""
    async with asyncio.timeout(PROPAGATION_TIMEOUT_S):
        while True:
            try:
                await probe()
                return
            except GoogleError as error:
                if error.reason != "SERVICE_DISABLED":
                    raise
            await asyncio.sleep(1.0)


_CREATE: dict[Missing, Callable[[Request, str], Awaitable[None]]] = {
    Missing.REPOSITORY: _create_repository,
    Missing.BUCKET: _create_bucket,
    Missing.SERVICE: _create_service,
}
