"""Brings a worker pool back to how it was before a release that does not stand, or to how an earlier one had it.

Its revisions are still there, so nothing new is made: instances are given to them, and the template is named again.
"""

from __future__ import annotations

import asyncio
import secrets
from functools import partial

from prefect.logging import get_run_logger

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import worker_pools
from infra.gcp.run.revisions import get_revision
from infra.gcp.run.services import FENCE
from infra.gcp.run.worker_pools import RunPool, Split
from tasks.failures.explain import explain
from tasks.history.pool_record import PoolRecord
from tasks.model import Outcome
from tasks.names.labels import label_value
from tasks.rollout.owed import settled
from tasks.rollout.pool import as_it_is, body_before, is_as_before, named, whole_body, whole_then
from tasks.rollout.pools import DARK, foreign_revisions, write_splits

GIVE_BACK_LIMIT_S = 30.0


async def give_pool_back(known: PoolRecord, run_id: str) -> PoolRecord:
    """As it was before the release, unless somebody else has changed it since; how that went is in the record."""
    return await settled(known, partial(_before, known, run_id), GIVE_BACK_LIMIT_S)


async def bring_pool(known: PoolRecord) -> PoolRecord:
    """To the revision that its record wants, as a rollback does."""
    return await settled(known, partial(_wanted, known), GIVE_BACK_LIMIT_S)


async def _before(known: PoolRecord, run_id: str) -> tuple[Outcome, str]:
    live = await worker_pools.get_pool(known.name)
    if live is None:
        return Outcome.UNTOUCHED, "it is not there"
    made = live.template.get("labels", {}).get("slipway-run") == label_value(run_id)
    ours = made or (bool(known.revision) and live.template.get("revision") == known.revision)
    touched = ours or known.revision in live.asked
    if known.unread or not (known.existed or made):
        if not touched:
            return Outcome.UNTOUCHED, "it was not written"
        why = "could not be read" if known.unread else "was not there"
        return Outcome.LEFT, f"nobody knows what it was before: it {why} then"
    if not known.existed:
        if live.instances:
            await write_splits(live, {"scaling": DARK})
        return Outcome.LEFT, "there was none before, so it stays, without instances; it can be deleted"
    if is_as_before(live, known):
        await write_splits(live, {"labels": {**live.labels, FENCE: secrets.token_hex(4)}})  # what is under way is late
        return Outcome.UNTOUCHED, "it is as it was"
    if strangers := foreign_revisions(live, known):
        return Outcome.LEFT, f"somebody else has given instances to {', '.join(sorted(strangers))} since"
    if not touched:
        return Outcome.UNTOUCHED, "it has no instances of this release"
    revision = await get_revision(known.name, known.stands_for)
    body = body_before(live, known, revision if ours else None)
    await worker_pools.write_pool(live.name, body, live, GIVE_BACK_LIMIT_S, revision if "template" in body else None)
    said = "its instances are as they were before"
    if ours and revision is None:
        said += f"; its template stays that of {known.revision}, as {known.stands_for} is gone"
    return Outcome.TAKEN_BACK, said


async def _wanted(known: PoolRecord) -> tuple[Outcome, str]:
    live = await worker_pools.get_pool(known.name)
    if live is None:
        return Outcome.LEFT, "it is gone; ship a version with the deploy flow to have it again"
    if live.asked == {known.revision: 100} and named(live) == known.revision:
        return Outcome.LIVE, "it is of this release already"
    strangers = set() if known.unread else foreign_revisions(live, known)
    if strangers:
        return Outcome.LEFT, f"somebody else, or a later release, has given instances to {', '.join(sorted(strangers))}"
    revision = await get_revision(known.name, known.revision)
    if revision is None or not revision.ready:
        return Outcome.LEFT, f"its revision {known.revision} is gone; ship the version again to have it so"
    body = {
        **whole_body(whole_then(live, known.template, known.whole)),
        "template": worker_pools.template_from(revision),
        "instanceSplits": [worker_pools.split_body(Split(known.revision, 100))],
    }
    await worker_pools.write_pool(live.name, body, live, GIVE_BACK_LIMIT_S, revision)
    return Outcome.LIVE, "it is of this release again"


async def owed_pool(wanted: PoolRecord) -> PoolRecord:
    """What a rollback is to make of a pool, and what it is now."""
    try:
        async with asyncio.timeout(GIVE_BACK_LIMIT_S):
            return _from_now(wanted, await worker_pools.get_pool(wanted.name))
    except (GoogleError, TimeoutError) as error:
        get_run_logger().warning("what %s is now cannot be read: %s", wanted, explain(error).said)
        return _from_now(wanted, None).model_copy(update={"unread": True})


def _from_now(wanted: PoolRecord, live: RunPool | None) -> PoolRecord:
    fresh = {"outcome": Outcome.GIVING_BACK, "verdict": None, "reason": "", "said": "", "unread": False}
    return wanted.model_copy(update=as_it_is(live) | fresh)
