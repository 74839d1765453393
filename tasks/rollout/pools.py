"""Deploys the worker pools of a release: a revision without instances first, then instances of it, step by step.

Nobody can ask a pool whether it is healthy. What can be known of a new revision is that Cloud Run calls it ready, and
that its instances do not end by themselves while they are watched; so that is what it is proven by.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from prefect.logging import get_run_logger

from infra.gcp import logs
from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import worker_pools
from infra.gcp.run.revisions import Revision, get_revision, list_revisions
from infra.gcp.run.worker_pools import RunPool, Split
from tasks.analysis.tail import in_lines, last_lines
from tasks.failures.catalogue.blanks import Known
from tasks.failures.cause import Cause
from tasks.failures.errors import NOT_MOVED, CandidateFailed, ProofFailed, TrafficConflict
from tasks.history.ledger import Ledger
from tasks.history.pool_record import PoolRecord
from tasks.model import Image, Outcome, Request, Verdict, Version
from tasks.names.labels import MANAGED_BY
from tasks.orchestration.gather import all_of
from tasks.orchestration.stage import stage
from tasks.orchestration.step import step
from tasks.rollout.dark import DEPLOY_TIMEOUT_S, pinned_versions
from tasks.rollout.failed_start import failed_start
from tasks.rollout.jobs import changed_meanwhile
from tasks.rollout.pool import (
    as_it_is,
    desired_pool,
    split_for,
    splits_of,
    steps_in_instances,
    whole_body,
)

LOOK_S = 5.0  # so often the log is read while a revision is watched
DARK, WATCH_TIMEOUT_S = {"manualInstanceCount": 0}, 24 * 3600.0


@stage("deploy")
async def deploy_pools(request: Request, version: Version, images: Sequence[Image], ledger: Ledger) -> None:
    """A new revision of each, without instances; what each pool was is recorded before the first of them is written."""
    image_of = images_of_pools(request, images)
    live = await all_of([read_pool(request, name) for name in request.pools])
    known = [planned(request, name, image_of[name], pool) for name, pool in zip(request.pools, live, strict=True)]
    await ledger.beside(*known)
    await ledger.beside(*await all_of([deploy_pool(request, version, image_of[each.pool], each) for each in known]))


def images_of_pools(request: Request, images: Sequence[Image]) -> dict[str, Image]:
    """By pool. CandidateFailed where a release that is shipped again has been built before the pool was there."""
    by_name = {image.service: image for image in images}
    whose = {name: request.manifest.image_of(request.pool(name)) for name in request.pools}
    if missing := [name for name, image in whose.items() if image not in by_name]:
        raise CandidateFailed(
            f"This release has no image of the worker pool {', '.join(missing)}: it was built before that was there.",
            "ship the version with the deploy flow, which builds it.",
            Cause.NOT_FOUND,
            state=NOT_MOVED,
        )
    return {name: by_name[image] for name, image in whose.items()}


@step("look at the worker pool", run_name="look at the worker pool {name}", attempts=3, state=NOT_MOVED)
async def read_pool(request: Request, name: str) -> RunPool | None:
    pool = await worker_pools.get_pool(request.run_pool(name))
    theirs = {key: pool.labels.get(key, "") for key in request.labels} if pool else {}
    if pool and theirs["managed-by"] == MANAGED_BY and theirs != request.labels:
        raise TrafficConflict(
            f"The Cloud Run worker pool {pool.name} is {theirs['slipway-app']}'s in {theirs['slipway-environment']}, "
            f"not {request.app}'s in {request.environment}.",
            "give the pool another name in slipway.yaml, or each environment a project or a region of its own.",
            state=NOT_MOVED,
        )
    return pool


def planned(request: Request, name: str, image: Image, live: RunPool | None) -> PoolRecord:
    return PoolRecord(pool=name, name=request.run_pool(name), image=image.reference, **as_it_is(live))


@step("deploy the worker pool", run_name="deploy the worker pool {known.pool}", attempts=3, timeout_s=1200,
      state=NOT_MOVED)  # fmt: skip
async def deploy_pool(request: Request, version: Version, image: Image, known: PoolRecord) -> PoolRecord:
    """Its revision, ready and without instances; an earlier attempt's if there is one."""
    live = await worker_pools.get_pool(known.name)
    live = live and await worker_pools.until_settled(live, DEPLOY_TIMEOUT_S)
    versions = await pinned_versions(request, known.pool, request.pool(known.pool).secret_refs)
    wanted = desired_pool(request, version, image, known.pool, versions, over(live, known))
    revisions = await list_revisions(known.name) if live else []
    name = unused_name(wanted.revision, revisions)
    existing = next((each for each in revisions if each.name == name), None)
    template = worker_pools.template_from(existing) if existing else {**wanted.template, "revision": name}
    body: dict[str, Any] = {"template": template}
    if live is None:
        body |= {**whole_body(wanted.whole), "scaling": DARK}
    elif shares := dark_shares(live, known, name):
        body["instanceSplits"] = [worker_pools.split_body(each) for each in pinned(shares)]
    else:  # no revision of it was ever ready
        body["scaling"] = DARK
    if live is None or not (existing and live.latest_created == name and live.ready):
        await _write_dark(request, known, name, body, live, existing)
    get_run_logger().info("the worker pool %s: revision %s is ready and has no instances yet", known.pool, name)
    return known.model_copy(
        update={"revision": name, "template": template, "whole": dict(wanted.whole), "outcome": Outcome.DARK}
    )


def over(live: RunPool | None, known: PoolRecord) -> RunPool | None:
    """What the release is made over: a pool as it was before, whatever an earlier attempt has made of it."""
    if live is None or not known.existed:
        return None
    rest = {key: value for key, value in live.body.items() if key not in worker_pools.WHOLE}
    return replace(live, body={**rest, **known.was_whole})


def unused_name(wanted: str, revisions: Sequence[Revision]) -> str:
    """A revision that failed keeps its name for ever, so the next try of the same thing gets a number."""
    failed = {revision.name for revision in revisions if not revision.ready}
    name, attempt = wanted, 1
    while name in failed:
        attempt += 1
        name = f"{wanted[:59]}-r{attempt}"
    return name


def dark_shares(live: RunPool, known: PoolRecord, name: str) -> dict[str, int]:
    """Where the instances are: a revision that is new gets none, one that had some before the release keeps them."""
    had = name in dict(known.before) or (name == known.stands_for and "" in dict(known.before))
    return {revision: percent for revision, percent in live.asked.items() if had or revision != name}


def pinned(shares: dict[str, int]) -> tuple[Split, ...]:
    """All instances where they are, by the names of their revisions, so that a new one gets none."""
    total = sum(shares.values())
    parts = {name: percent * 100 // total for name, percent in shares.items()}
    parts[max(shares, key=lambda name: (shares[name], name))] += 100 - sum(parts.values())
    return tuple(Split(name, percent) for name, percent in sorted(parts.items()) if percent)


async def _write_dark(
    request: Request, known: PoolRecord, name: str, body: dict[str, Any], live: RunPool | None, made_of: Revision | None
) -> None:
    try:
        await worker_pools.write_pool(known.name, body, live, DEPLOY_TIMEOUT_S, made_of)
    except GoogleError as error:
        if error.status in ("ABORTED", "ALREADY_EXISTS"):
            raise changed_meanwhile(known.name) from error
        if await get_revision(known.name, name) is None:
            raise
        lines = await _last_lines(request, known, name)
        what = f"The worker pool {known.pool} did not start (revision {name})"
        raise failed_start(what, error, Known(project=request.project, revision=name), lines) from error


async def _last_lines(request: Request, known: PoolRecord, revision: str) -> list[str]:
    return await last_lines(request.project, known.name.rpartition("/")[2], revision, logs.WORKER_POOL)


@stage("shift")
async def move_pools(request: Request, ledger: Ledger) -> None:
    """The instances of every pool to its new revision, step by step; a failure ends the steps of the others too."""
    ready = [each for each in ledger.release.pools if each.outcome is Outcome.DARK]
    if ready:
        await ledger.beside(*await all_of([move_pool(request, each) for each in ready], stop_on_failure=True))


@step("give it the instances", run_name="give {known.pool} its instances", attempts=3, timeout_s=WATCH_TIMEOUT_S,
      state="Its instances are being given back.")  # fmt: skip
async def move_pool(request: Request, known: PoolRecord) -> PoolRecord:
    """All instances are of the new revision, and none of them ended by itself while they were watched."""
    live = await worker_pools.get_pool(known.name)
    if live is None:
        raise changed_meanwhile(known.name)
    _refuse_strangers(live, known)
    settings, began = request.pool(known.pool), datetime.now(UTC)
    others = [revision for revision in live.asked if revision != known.revision]
    steps = steps_in_instances(request.settings.steps, live.instances) if others and known.existed else ()
    before, watch_s = splits_of(known.before), settings.watch_s
    for many in steps:
        splits = split_for(before, known.stands_for, known.revision, many, live.instances)
        live = await write_splits(live, {"instanceSplits": [worker_pools.split_body(each) for each in splits]})
        _tell(known, many, live.instances)
        await watch(request, known, began, max(watch_s, request.settings.bake_s))
    body = {**whole_body(known.whole), "instanceSplits": [worker_pools.split_body(Split(known.revision, 100))]}
    live = await write_splits(live, body)
    _tell(known, live.instances, live.instances)
    reason = await watch(request, known, began, watch_s) if live.instances else "it has no instances"
    verdict = Verdict.HEALTHY if live.instances else Verdict.INCONCLUSIVE
    return known.model_copy(update={"outcome": Outcome.LIVE, "verdict": verdict, "reason": reason})


def _tell(known: PoolRecord, many: int, instances: int) -> None:
    get_run_logger().info(
        "the worker pool %s: %d of %d instances are of %s", known.pool, many, instances, known.revision
    )


def _refuse_strangers(live: RunPool, known: PoolRecord) -> None:
    if strangers := foreign_revisions(live, known):
        raise TrafficConflict(
            f"Somebody else has given instances of {known.name} to {', '.join(sorted(strangers))} meanwhile.",
            "look at who changed it (gcloud beta run worker-pools describe), then start the run again.",
            state="Their change was not overwritten.",
        )


def foreign_revisions(live: RunPool, known: PoolRecord) -> set[str]:
    """Revisions with instances that neither had any before the release nor are its own."""
    return set(live.asked) - {known.revision, known.stands_for, *(revision for revision, _ in known.before)}


async def write_splits(live: RunPool, body: dict[str, Any]) -> RunPool:
    try:
        return await worker_pools.write_pool(live.name, body, live, DEPLOY_TIMEOUT_S)
    except GoogleError as error:
        if error.status == "ABORTED":
            raise changed_meanwhile(live.name) from error
        raise


async def watch(request: Request, known: PoolRecord, began: datetime, watch_s: float) -> str:
    """Looks for instances that ended by themselves since; says what was seen. Raises ProofFailed."""
    loop = asyncio.get_running_loop()
    until = loop.time() + watch_s
    short = known.name.rpartition("/")[2]
    while True:
        left_s = until - loop.time()
        await asyncio.sleep(max(0.0, min(LOOK_S, left_s)))
        ends = await logs.ended_instances(request.project, short, known.revision, began)
        pool = await worker_pools.get_pool(known.name)
        if ends:
            raise await _unproven(request, known, f"{len(ends)} of its instances ended by themselves: {ends[-1]}")
        if pool is None or (pool.settled and not pool.ready):
            raise await _unproven(request, known, pool.message if pool else "it was deleted meanwhile")
        if left_s <= LOOK_S:
            return f"ready, and no instance ended by itself in {watch_s:.0f} s"


async def _unproven(request: Request, known: PoolRecord, why: str) -> ProofFailed:
    lines = await _last_lines(request, known, known.revision)
    return ProofFailed(
        f"The worker pool {known.pool} (revision {known.revision}): {why}{in_lines(lines)}",
        "read the revision's log, correct the worker and ship again.",
        Cause.CONTAINER_CRASH,
        state="Its instances are being given back.",
    )
