"""After a release: its service's own old revisions, by the rules of the clean-up flow, which does all the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from prefect.logging import get_run_logger

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import revisions as run_revisions
from infra.gcp.run import services
from infra.gcp.run.revisions import Revision
from infra.gcp.run.services import RunService
from tasks.cleanup.engine.model import Listing, Plan, Policy, RetentionRule, World
from tasks.cleanup.engine.plan import plan
from tasks.cleanup.kinds.adapter import Reference
from tasks.cleanup.kinds.releases import claims_of
from tasks.cleanup.kinds.revisions import REVISION, Revisions, revision_item, traffic
from tasks.failures.errors import SlipwayError
from tasks.history.record import ReleaseRecord
from tasks.history.store import read_history
from tasks.model import Candidate, Release, Request
from tasks.names import resources
from tasks.orchestration.gather import all_of
from tasks.orchestration.stage import stage
from tasks.orchestration.step import step
from tasks.rollout.dark import write_own_tags
from tasks.rollout.live import read_live


@stage("clean up")
async def clean_up(request: Request, release: Release) -> None:
    """Every service at once. What cannot be cleaned up is tried again after the next release; this one stands."""
    try:
        history = await read_history(request.settings.bucket, request.app, request.environment)
        await all_of([clean_up_service(request, candidate, history) for candidate in release.candidates])
    except (SlipwayError, GoogleError) as error:
        get_run_logger().warning("released, but not cleaned up: %s", error)


@step("clean up", run_name="clean up {candidate.place}", timeout_s=300)
async def clean_up_service(request: Request, candidate: Candidate, history: Sequence[ReleaseRecord]) -> int:
    """Takes our tags off what no longer needs one; answers how many revisions went."""
    name = request.run_service(candidate.place)
    live = await read_live(request, candidate.place)
    await write_own_tags(live, keep={candidate.revision, candidate.before.serving})
    service, revisions = await asyncio.gather(services.get_service(name), run_revisions.list_revisions(name))
    if service is None:
        return 0
    decided = old_revisions(request, service, revisions, history, datetime.now(UTC))
    for reason in decided.refusals:
        get_run_logger().info("old revisions are left to the clean-up flow: %s", reason)
    for each in decided.steps:
        await Revisions().delete(each.item)
        get_run_logger().info("deleted %s: %s", each.item.name.rpartition("/")[2], each.why)
    return len(decided.steps)


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
