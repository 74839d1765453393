"""After a release: its service's own old revisions, by the rules of the clean-up flow, which does all the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from prefect.logging import get_run_logger

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import workloads
from infra.gcp.run.workloads import Workload
from tasks.cleanup.engine.model import Kind, Listing, Plan, Policy, Rule, World
from tasks.cleanup.engine.plan import plan
from tasks.cleanup.kinds.run import revision_item, traffic_use
from tasks.cleanup.uses import history_uses
from tasks.failures.errors import SlipwayError
from tasks.history.record import ReleaseRecord
from tasks.history.store import read_history
from tasks.model import Candidate, Release, Request
from tasks.orchestration.gather import all_of
from tasks.orchestration.stage import stage
from tasks.orchestration.step import step
from tasks.rollout.dark import write_own_tags
from tasks.rollout.live import read_live

DELETE_TIMEOUT_S = 60.0


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
    service, revisions = await asyncio.gather(workloads.get_service(name), workloads.list_revisions_of(name))
    if service is None:
        return 0
    decided = old_revisions(request, service, revisions, history, datetime.now(UTC))
    for reason in decided.refusals:
        get_run_logger().info("old revisions are left to the clean-up flow: %s", reason)
    for each in decided.steps:
        await workloads.delete_revision(each.item.name, each.item.etag, DELETE_TIMEOUT_S)
        get_run_logger().info("deleted %s: %s", each.item.name.rpartition("/")[2], each.why)
    return len(decided.steps)


def old_revisions(
    request: Request, service: Workload, revisions: Sequence[Workload], history: Sequence[ReleaseRecord], now: datetime
) -> Plan:
    """Which of one service's revisions may go. Of a service that seems to route nothing, none."""
    retention = request.manifest.retention
    prefix = f"{service.name}/revisions/"
    environments = {(request.project, service.region): request.environment}
    uses = [
        replace(use, needs=tuple(need for need in use.needs if need.startswith(prefix)))
        for use in history_uses(request, history, retention.keep, None)
    ]
    world = World(
        items=tuple(revision_item(each, request.app, environments, None) for each in revisions),
        uses=(traffic_use(service, revisions), *uses),
        listings=(Listing(f"revisions of {service.id}", now, len(revisions), floor=1),),
    )
    rule = Rule(keep=retention.keep, max_age_s=retention.max_age_s, max_percent=retention.max_percent)
    return plan(world, Policy(request.app, now, {Kind.REVISION: rule}, retention.protect, retention.max_items))
