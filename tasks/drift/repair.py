"""Puts drift right: ships the recorded release again, with the care of any release."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from infra.gcp.run import access, services
from infra.gcp.run.services import WHOLE
from tasks.drift.compare import Difference, DriftKind
from tasks.drift.judge import ACCESS, SECRET, Comparison, public_after
from tasks.failures.errors import Cause, RepairRefused
from tasks.history.ledger import recorded
from tasks.history.record import Intent, ReleaseRecord, images_of, version_of
from tasks.model import Request
from tasks.orchestration.gather import all_of
from tasks.orchestration.step import step
from tasks.preflight.create import create_missing
from tasks.preflight.preflight import preflight
from tasks.release.promote import check_images
from tasks.release.release import release
from tasks.request.request import read_request
from tasks.source.source import Source

PUT_BACK_S = 120.0
REPAIRED = frozenset({DriftKind.CHANGED, DriftKind.TRAFFIC})  # a person's rollback is left alone


async def ship_drifted(request: Request, source: Source, compared: Sequence[Comparison]) -> None:
    """Ships each drifted service again as it was released: same commit, same images, with the proof of any release.

    What a release does not write, such as ingress or who may call, is written back first; where nothing else differs
    nothing is shipped. Raises RepairRefused for what cannot be put right.
    """
    refuse_unusable(request, compared)
    await all_of([put_back(request, each) for each in compared if each.kind in REPAIRED])
    compared = [replace(each, differences=shipped_again(each)) for each in compared if shipped_again(each)]
    for record in _to_repair(compared):
        drifted = [each.place.service for each in compared if each.kind in REPAIRED and each.released is record]
        refuse_dirty(record)
        then = source.model_copy(update={"ref": record.commit})
        folder = Path(request.scratch / f"refresh-{record.run_id}-{record.version}")
        again = await read_request(then, request.environment, sorted(set(drifted)), folder)
        await ship_again(replace(again, builds=False), record)


def shipped_again(compared: Comparison) -> tuple[Difference, ...]:
    """What only a release puts right."""
    return tuple(each for each in compared.differences if each.path != ACCESS and _field(each) not in WHOLE)


def _field(difference: Difference) -> str:
    return re.split(r"[.\[]", difference.path, maxsplit=1)[0]


def refuse_unusable(request: Request, compared: Sequence[Comparison]) -> None:
    for each in (difference for one in compared for difference in one.differences):
        if _field(each) == SECRET:
            name, _, version = each.path.removeprefix(f"{SECRET}[").removesuffix("]").rpartition(":")
            raise RepairRefused(
                f"Version {version} of secret {name} is not enabled any more: instances that start with it fail.",
                f"gcloud secrets versions enable projects/{request.project}/secrets/{name}/versions/{version}; "
                "or ship a release that is pinned to another version.",
            )


@step("put back what no release writes", run_name="put back {compared.place}", attempts=3)
async def put_back(request: Request, compared: Comparison) -> None:
    """As recorded: what is said of the service as a whole, and who may call it."""
    name, record = request.run_service(compared.place), compared.released
    target = next(each for each in record.targets if each.place == compared.place)
    fields = sorted({_field(each) for each in compared.differences} & WHOLE.keys())
    if fields:
        live = await services.get_service(name)
        if live is None:
            return
        body = {"name": name, "etag": live.etag, **wanted_whole(target.whole or {}, live.whole, fields)}
        await services.update_service(body, [WHOLE[field] for field in fields], PUT_BACK_S)
    if any(each.path == ACCESS for each in compared.differences):
        await access.set_public(name, public=bool(public_after(target)))


def wanted_whole(recorded: Mapping[str, Any], live: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """These fields as recorded; of the labels those that Slipway writes stay as they are."""
    wanted = {field: recorded[field] for field in fields if field in recorded}
    if "labels" in fields:
        ours = {key: text for key, text in live.get("labels", {}).items() if key.startswith("slipway-")}
        wanted["labels"] = {**recorded.get("labels", {}), **ours}
    return wanted


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
