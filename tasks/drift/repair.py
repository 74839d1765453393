"""Puts drift right: ships the recorded release again, with the care of any release."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tasks.drift.compare import DriftKind
from tasks.drift.judge import Comparison
from tasks.failures.errors import Cause, RepairRefused
from tasks.history.ledger import recorded
from tasks.history.record import Intent, ReleaseRecord, images_of, version_of
from tasks.model import Request
from tasks.preflight.create import create_missing
from tasks.preflight.preflight import preflight
from tasks.release.promote import check_images
from tasks.release.release import release
from tasks.request.request import read_request
from tasks.source.source import Source

REPAIRED = frozenset({DriftKind.CHANGED, DriftKind.TRAFFIC})  # a person's rollback is left alone


async def ship_drifted(request: Request, source: Source, compared: Sequence[Comparison]) -> None:
    """Ships each drifted service again as it was released: same commit, same images, with the proof of any release."""
    for record in _to_repair(compared):
        drifted = [each.place.service for each in compared if each.kind in REPAIRED and each.released is record]
        refuse_dirty(record)
        then = Source(repository=source.repository, ref=record.commit)
        folder = Path(request.scratch / f"refresh-{record.run_id}-{record.version}")
        again = await read_request(then, request.environment, sorted(set(drifted)), folder)
        await ship_again(again, record)


def _to_repair(compared: Sequence[Comparison]) -> list[ReleaseRecord]:
    """The releases that have to be shipped again, the oldest first."""
    found = {each.released.started: each.released for each in compared if each.kind in REPAIRED}
    return [found[started] for started in sorted(found)]


async def ship_again(request: Request, record: ReleaseRecord) -> None:
    """The record's release under the lock that the caller holds. Nothing is built."""
    wanted = {service: record.images[service] for service in request.services}
    record = record.model_copy(update={"images": wanted})
    readiness = await preflight(request)
    await check_images(request, record)
    await create_missing(request, readiness)
    version = version_of(record)
    async with recorded(request, Intent(version, "refresh", images=wanted)) as ledger:
        await release(request, version, images_of(record, version), ledger)


def refuse_dirty(record: ReleaseRecord) -> None:
    """A version that no commit stands for cannot be shipped again from its repository."""
    if ".dirty-" in record.version:
        raise RepairRefused(
            f"{record.version} was built from a work tree that differs from commit {record.commit[:12]}.",
            "commit the changes and ship that commit; or put the service right by hand.",
            Cause.CONFLICT,
        )
