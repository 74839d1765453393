"""Looks for drift in one environment, and reports it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from prefect.events import emit_event
from prefect.logging import get_run_logger

from infra.gcp import secrets
from infra.gcp.run import access, services
from infra.gcp.run.members import EVERYONE
from infra.gcp.run.revisions import get_revision
from infra.gcp.run.services import RunService
from tasks.drift.compare import DriftKind
from tasks.drift.judge import Around, Comparison, Latest, Released, judge, pinned, released_targets, rows, unreleased
from tasks.history.record import ReleaseRecord
from tasks.history.store import read_history
from tasks.model import Request
from tasks.names import resources
from tasks.orchestration.artifacts import table
from tasks.orchestration.gather import all_of
from tasks.orchestration.step import step
from tasks.request.versioning import version_for
from tasks.source.version import read_version

EVENT = "slipway.drift.found"


@step("look for drift", attempts=3)
async def look(request: Request) -> tuple[Comparison, ...]:
    """One for each place where anything was ever released."""
    history = await read_history(request.settings.bucket, request.app, request.environment)
    released = released_targets(history)
    chosen = [released[place] for place in sorted(released) if place.service in request.services]
    return await all_of([_look_at(request, history, each) for each in chosen])


async def _look_at(request: Request, history: Sequence[ReleaseRecord], released: Released) -> Comparison:
    name = request.run_service(released.target.place)
    service = await services.get_service(name)
    latest = await get_revision(name, service.latest_created) if service and service.latest_created else None
    return judge(
        resources.last(name),
        history,
        released,
        service.body if service else None,
        Latest(latest.name, latest.labels) if latest else None,
        request.manifest.drift.ignore,
        await _around(request, service) if service else Around(),
    )


async def _around(request: Request, service: RunService) -> Around:
    async def usable(name: str) -> bool:
        """Another project's secret is not asked for."""
        secret, _, version = name.rpartition(":")
        if "/" in secret:
            return True
        return await secrets.enabled_version(request.project, secret, int(version)) is not None

    names = pinned(service.body)
    callers, answers = await asyncio.gather(access.invokers(service.name), all_of([usable(name) for name in names]))
    unusable = tuple(name for name, is_usable in zip(names, answers, strict=True) if not is_usable)
    return Around(EVERYONE in callers, callers - {EVERYONE}, unusable)


@step("read the repository's version")
async def repository_version(request: Request) -> str | None:
    """The version that the repository holds for the environment; None if it has none to ship there."""
    return version_for(request, await read_version(request.folder))


@step("report drift", attempts=3)
async def report_drift(request: Request, compared: Sequence[Comparison], repository: str | None) -> int:
    """A table of every service, and an event if anything drifted; answers how many did.

    repository: the version that the repository holds; one that was not released yet is reported, and is no drift.
    """
    drifted = [each for each in compared if each.kind is not DriftKind.NONE]
    differences = rows(drifted, repository)
    title = f"{request.app} in {request.environment}: {len(drifted)} of {len(compared)} differ from what was released"
    await table(request, "drift", rows(compared, repository), title)
    get_run_logger().info("%s", title)
    for service in unreleased(compared, repository):
        get_run_logger().warning("%s: the repository is at %s, which was not released here", service, repository)
    for row in differences:
        get_run_logger().warning(
            "%(service)s in %(region)s, %(drift)s: %(setting)s is %(live)s, was released as %(as released)s", row
        )
    if drifted:
        resource = f"slipway.{request.app}.{request.environment}"
        emit_event(EVENT, {"prefect.resource.id": resource}, payload={"title": title, "differences": differences})
    return len(drifted)
