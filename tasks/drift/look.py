"""Looks for drift in one environment, reports it, and where it is asked for ships the recorded release again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prefect.events import emit_event
from prefect.logging import get_run_logger

from infra.gcp.run import services
from tasks.drift.compare import Drift
from tasks.drift.judge import Finding, Latest, judge, released_targets, rows, unreleased
from tasks.failures.errors import Cause, RepairRefused
from tasks.history.record import ReleaseRecord, TargetRecord, read_history, recorded
from tasks.model import Request
from tasks.names import resources
from tasks.orchestration.artifacts import table
from tasks.orchestration.gather import all_of
from tasks.orchestration.step import step
from tasks.preflight.create import create_missing
from tasks.preflight.preflight import preflight
from tasks.release.promote import check_images
from tasks.release.release import release
from tasks.release.rollback import images_of, version_of
from tasks.request.request import read_request
from tasks.request.versioning import version_for
from tasks.source.source import Source
from tasks.source.version import read_version

EVENT = "slipway.drift.found"
REPAIRED = frozenset({Drift.CHANGED, Drift.TRAFFIC})  # a person's rollback is left alone


@step("look for drift", attempts=3)
async def look(request: Request) -> tuple[Finding, ...]:
    """One finding per service and region that was ever released here."""
    history = await read_history(request.settings.bucket, request.app, request.environment)
    targets = released_targets(history)
    chosen = [each for (service, _), each in sorted(targets.items()) if service in request.services]
    return await all_of([_look_at(request, history, each) for each in chosen])


async def _look_at(
    request: Request, history: Sequence[ReleaseRecord], released: tuple[ReleaseRecord, TargetRecord]
) -> Finding:
    target = released[1]
    name = request.run_service(target.service, target.region)
    service = await services.get_service(name)
    latest = await services.get_revision(name, service.latest_created) if service and service.latest_created else None
    return judge(
        resources.last(name),
        history,
        released,
        service.body if service else None,
        Latest(latest.name, latest.labels) if latest else None,
        request.manifest.drift.ignore,
    )


@step("read the repository's version")
async def repository_version(request: Request) -> str | None:
    """The version that the repository holds for the environment; None if it has none to ship there."""
    return version_for(request, await read_version(request.folder))


@step("report drift", attempts=3)
async def report_drift(request: Request, findings: Sequence[Finding], repository: str | None) -> int:
    """A table of every service, and an event if anything drifted; answers how many did.

    repository: the version that the repository holds; one that was not released yet is reported, and is no drift.
    """
    drifted = [finding for finding in findings if finding.drift is not Drift.NONE]
    differences = rows(drifted, repository)
    title = f"{request.app} in {request.environment}: {len(drifted)} of {len(findings)} differ from what was released"
    await table(request, "drift", rows(findings, repository), title)
    get_run_logger().info("%s", title)
    for service in unreleased(findings, repository):
        get_run_logger().warning("%s: the repository is at %s, which was not released here", service, repository)
    for row in differences:
        get_run_logger().warning(
            "%(service)s in %(region)s, %(drift)s: %(setting)s is %(live)s, was released as %(as released)s", row
        )
    if drifted:
        resource = f"slipway.{request.app}.{request.environment}"
        emit_event(EVENT, {"prefect.resource.id": resource}, payload={"title": title, "differences": differences})
    return len(drifted)


async def ship_drifted(request: Request, source: Source, findings: Sequence[Finding]) -> None:
    """Ships each drifted service again as it was released: same commit, same images, with the proof of any release."""
    for record in _to_repair(findings):
        drifted = [f.service for f in findings if f.drift in REPAIRED and f.released is record]
        refuse_dirty(record)
        then = Source(repository=source.repository, ref=record.commit)
        folder = Path(request.scratch / f"refresh-{record.run_id}-{record.version}")
        again = await read_request(then, request.environment, sorted(set(drifted)), folder)
        await ship_again(again, record)


def _to_repair(findings: Sequence[Finding]) -> list[ReleaseRecord]:
    """The releases that have to be shipped again, the oldest first."""
    found = {f.released.started: f.released for f in findings if f.drift in REPAIRED}
    return [found[started] for started in sorted(found)]


async def ship_again(request: Request, record: ReleaseRecord) -> None:
    """The record's release under the lock that the caller holds. Nothing is built."""
    wanted = {service: record.images[service] for service in request.services}
    record = record.model_copy(update={"images": wanted})
    readiness = await preflight(request)
    await check_images(request, record)
    await create_missing(request, readiness)
    version = version_of(record)
    async with recorded(request, version, action="refresh", images=wanted) as ledger:
        await release(request, version, images_of(record, version), ledger)


def refuse_dirty(record: ReleaseRecord) -> None:
    """A version that no commit stands for cannot be shipped again from its repository."""
    if ".dirty-" in record.version:
        raise RepairRefused(
            f"{record.version} was built from a work tree that differs from commit {record.commit[:12]}.",
            "commit the changes and ship that commit; or put the service right by hand.",
            Cause.CONFLICT,
        )
