"""Puts drift right: ships the recorded release again, with the care of any release."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect.logging import get_run_logger

from infra.gcp.run import access, services
from infra.gcp.run.members import EVERYONE
from infra.gcp.run.services import WHOLE
from tasks.cleanup.carry_out import close_own
from tasks.drift.compare import Difference, DriftKind
from tasks.drift.jobs import look_at_jobs
from tasks.drift.judge import ACCESS, SECRET, Comparison, public_after, said_by
from tasks.drift.pools import look_at_pools
from tasks.failures.cause import Cause
from tasks.failures.errors import RepairRefused
from tasks.history.record import Beside, Intent, ReleaseRecord, State, images_of, version_of
from tasks.history.recorded import recorded
from tasks.history.store import read_history
from tasks.model import Request
from tasks.orchestration.gather import all_of
from tasks.orchestration.step import step
from tasks.preflight.create import create_missing
from tasks.preflight.preflight import preflight
from tasks.release.promote import check_images, under_todays_rules
from tasks.release.release import release
from tasks.request.request import read_request
from tasks.rollout.beside import jobs_released
from tasks.source.source import Source

PUT_BACK_S = 120.0
REPAIRED = frozenset({DriftKind.CHANGED, DriftKind.TRAFFIC})  # a person's rollback is left alone


async def ship_drifted(
    request: Request, source: Source, compared: Sequence[Comparison], beside: Sequence[tuple[ReleaseRecord, Beside]]
) -> None:
    """Ships each drifted service again as it was released: same commit, same images, with the proof of any release.

    beside: `drifted_beside`. A job or a worker pool is shipped with the service whose image it runs, or with all.

    What a release does not write, such as ingress or who may call, is written back first; where nothing else differs
    nothing is shipped. Raises RepairRefused for what cannot be put right.
    A service that a person went back with is left alone, in every region, and so is what could only be shipped with it.
    """
    gone_back = {each.place.service for each in compared if each.kind is DriftKind.ROLLED_BACK}
    compared = [without_others(each) for each in compared if each.kind is not DriftKind.ROLLED_BACK]
    for name in sorted(gone_back):
        get_run_logger().warning("%s is left alone: a person went back to an earlier release of it", name)
    refuse_unusable(request, compared)
    await all_of([put_back(request, each) for each in compared if each.kind in REPAIRED])
    compared = [replace(each, differences=shipped_again(each)) for each in compared if shipped_again(each)]
    for record, names in to_repair(compared, beside, gone_back):
        refuse_dirty(record)
        then = source.model_copy(update={"ref": record.commit})
        folder = Path(request.scratch / f"refresh-{record.run_id}-{record.version}")
        again = await read_request(then, request.environment, names, folder)
        await ship_again(replace(under_todays_rules(again, request.settings), builds=False), record)


def without_others(compared: Comparison) -> Comparison:
    """What slipway.yaml never said is not put right."""
    ours = said_by(next(each for each in compared.released.targets if each.place == compared.place))
    return replace(compared, differences=tuple(each for each in compared.differences if ours(each.path)))


def shipped_again(compared: Comparison) -> tuple[Difference, ...]:
    """What only a release puts right."""
    return tuple(each for each in compared.differences if _field(each) not in {ACCESS, *WHOLE})


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
    differs = [each.path for each in compared.differences if _field(each) == ACCESS]
    if differs:
        everybody = {EVERYONE} if ACCESS in differs else set()
        public = everybody if public_after(target) else set()
        await access.let_in(name, {*public, *(target.invokers or ())}, everybody - public)


def wanted_whole(recorded: Mapping[str, Any], live: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """These fields as recorded; of the labels those that Slipway writes stay as they are."""
    wanted = {field: recorded[field] for field in fields if field in recorded}
    if "labels" in fields:
        ours = {key: text for key, text in live.get("labels", {}).items() if key.startswith("slipway-")}
        wanted["labels"] = {**recorded.get("labels", {}), **ours}
    return wanted


async def drifted_beside(request: Request) -> list[tuple[ReleaseRecord, Beside]]:
    """The jobs and worker pools that differ from what was released, with the release that has brought each."""
    jobs, pools = await look_at_jobs(request), await look_at_pools(request)
    drifted: list[Beside] = [job for job, found in jobs if found]
    drifted += [pool for pool, found in pools if found]
    history = await read_history(request.settings.bucket, request.app, request.environment) if drifted else []
    return [(next(r for r in history if r.state is State.RELEASED and each in r.beside), each) for each in drifted]


def to_repair(
    compared: Sequence[Comparison],
    beside: Sequence[tuple[ReleaseRecord, Beside]],
    gone_back: Collection[str] = (),
) -> list[tuple[ReleaseRecord, list[str]]]:
    """The releases that have to be shipped again, the oldest first, and which of their services.

    gone_back: services that a person gave back to an earlier release somewhere: to ship them would undo that.
    """
    records: dict[datetime, ReleaseRecord] = {}
    names: dict[datetime, set[str]] = {}
    found = [(each.released, {each.place.service}) for each in compared if each.kind in REPAIRED]
    found += [(record, goes_with(record, each)) for record, each in beside]
    for record, services_of in found:
        if not services_of.isdisjoint(gone_back):
            continue
        records[record.started] = record
        names.setdefault(record.started, set()).update(services_of)
    return [(records[started], sorted(names[started])) for started in sorted(records)]


def goes_with(record: ReleaseRecord, part: Beside) -> set[str]:
    """The services that a job or a worker pool is shipped with: whose image it runs, or all where it has its own."""
    shipped = {target.service for target in record.targets}
    return {name for name in shipped if part.image and record.images.get(name) == part.image} or shipped


async def ship_again(request: Request, record: ReleaseRecord) -> None:
    """The record's release under the lock that the caller holds. Nothing is built."""
    wanted = {name: record.images[name] for name in request.image_names if name in record.images}
    record, request = record.model_copy(update={"images": wanted}), replace(request, images=wanted)
    await close_own(request)
    readiness = await preflight(request)
    await check_images(request, record)
    await create_missing(request, readiness)
    version = version_of(record)
    async with recorded(request, Intent(version, "refresh", images=wanted)) as ledger:
        images = images_of(record, version)
        async with jobs_released(request, version, images, ledger):
            await release(request, version, images, ledger)


def refuse_dirty(record: ReleaseRecord) -> None:
    """A version that no commit stands for cannot be shipped again from its repository."""
    if ".dirty-" in record.version:
        raise RepairRefused(
            f"{record.version} was built from a work tree that differs from commit {record.commit[:12]}.",
            "commit the changes and ship that commit; or put the service right by hand.",
            Cause.CONFLICT,
        )
