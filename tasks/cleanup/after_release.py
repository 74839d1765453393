"""After a release: its service's own old revisions, by the rules of the clean-up flow, which does all the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from prefect.logging import get_run_logger

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run.revisions import Revision
from infra.gcp.run.services import RunService
from infra.gcp.storage.objects import StoredObject
from tasks.cleanup.engine.model import Listing, Plan, Policy, RetentionRule, World
from tasks.cleanup.engine.plan import plan
from tasks.cleanup.kinds.adapter import Reference
from tasks.cleanup.kinds.releases import claims_of
from tasks.cleanup.kinds.revisions import REVISION, Revisions, revision_item, traffic
from tasks.cleanup.known import remember
from tasks.cleanup.memory import skew
from tasks.cost.limit import Estimate
from tasks.failures.errors import SlipwayError
from tasks.failures.explain import explain
from tasks.history.record import ReleaseRecord
from tasks.history.store import are_plenty, list_records, read_some
from tasks.model import Candidate, Release, Request
from tasks.names import resources
from tasks.orchestration.gather import all_of, both
from tasks.orchestration.lock import LetGo, is_held
from tasks.orchestration.stage import Progress, stage
from tasks.orchestration.step import step
from tasks.release.summary import report, report_stages
from tasks.rollout.dark import write_own_tags
from tasks.rollout.live import read_live


async def conclude(
    request: Request, released: Release, let_go: LetGo, progress: Progress, cost: Estimate | None
) -> Release:
    """What is left to do once a release stands: lets others go on, cleans up after it, and tells of it meanwhile."""
    await let_go()
    await both(_cleaned_up(request, released), report(request, released, progress, cost))
    await report_stages(request, progress)
    return released


async def _cleaned_up(request: Request, released: Release) -> None:
    """A release that stands does not fail by what comes after it, nor by how long that takes."""
    try:
        await clean_up(request, released)
    except Exception as error:
        get_run_logger().warning("released, but not cleaned up: %s", explain(error).said)


@stage("clean up")
async def clean_up(request: Request, release: Release) -> None:
    """Every service at once. What cannot be cleaned up is tried again after the next release; this one stands.

    It does not hold the environment's lock, as no clean-up does: right before each change it asks whether anybody ships
    or wants to go back, and leaves what is left to the next one.
    """
    where = request.settings.bucket, request.app, request.environment
    try:
        _, listed = await asyncio.gather(remember(request), list_records(*where))
        if trouble := clock_trouble(listed, datetime.now(UTC)):
            get_run_logger().warning("released, but not cleaned up: %s", trouble)
            return
        history = await read_some(request.settings.bucket, listed, are_plenty)
        await all_of([clean_up_service(request, candidate, history) for candidate in release.candidates])
    except (SlipwayError, GoogleError) as error:
        get_run_logger().warning("released, but not cleaned up: %s", error)


def clock_trouble(records: Sequence[StoredObject], now: datetime) -> str:
    """Why ages cannot be told, if so: the release has just written its record, and Google dates what it wrote."""
    return skew(max(each.created for each in records), now) if records else ""


@step("clean up", run_name="clean up {candidate.place}", timeout_s=300)
async def clean_up_service(request: Request, candidate: Candidate, history: Sequence[ReleaseRecord]) -> int:
    """Takes our tags off what no longer needs one; answers how many revisions went."""
    live = await read_live(request, candidate.place)
    newer = candidate.revision not in live.service.routed
    if newer or await steps_aside(request):  # what is shipped from now on changes the etag of that look
        return 0
    if await write_own_tags(live, keep={candidate.revision, candidate.before.serving}):
        live = await read_live(request, candidate.place)
    service, revisions = live.service, live.revisions
    decided = old_revisions(request, service, revisions, history, datetime.now(UTC))
    for reason in decided.refusals:
        get_run_logger().info("old revisions are left to the clean-up flow: %s", reason)
    for number, each in enumerate(decided.steps):
        if await steps_aside(request):
            return number
        await Revisions().delete(each.item)
        get_run_logger().info("deleted %s: %s", each.item.name.rpartition("/")[2], each.why)
    return len(decided.steps)


async def steps_aside(request: Request) -> bool:
    if busy := await is_held(request):
        get_run_logger().info("somebody ships %s: the next clean-up goes on", request.app)
    return busy


def old_revisions(
    request: Request,
    service: RunService,
    revisions: Sequence[Revision],
    history: Sequence[ReleaseRecord],
    now: datetime,
) -> Plan:
    """Which of one service's revisions may go. Of a service that seems to route nothing, none."""
    retention = request.manifest.retention
    environments = {(request.project, service.region): request.environment}
    claims = (traffic(service, revisions), *claims_of(request, history, retention.keep))

    def keys(references: Iterable[Reference]) -> tuple[str, ...]:
        """Of this service's revisions: nothing else is looked at."""
        names = (each.name for each in references if each.kind == REVISION)
        return tuple(name for name in names if name.startswith(resources.revision(service.name, "")))

    world = World(
        items=tuple(revision_item(each, request.app, environments) for each in revisions),
        uses=tuple(claim.use(keys) for claim in claims),
        listings=(Listing(f"revisions of {service.id}", now, len(revisions), floor=1),),
        kinds={REVISION: Revisions.traits},
    )
    rule = RetentionRule(keep=retention.keep, max_age_s=retention.max_age_s, max_percent=retention.max_percent)
    return plan(world, Policy(request.app, now, {REVISION: rule}, retention.protect, retention.max_items))
