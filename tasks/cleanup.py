"""After a release: our own older revisions beyond what retention keeps. Never one with traffic, a tag, or not ours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from prefect.logging import get_run_logger

from infra.gcp import run
from infra.gcp.run import Revision
from infra.gcp.run import Service as RunService
from tasks.errors import SlipwayError
from tasks.model import Candidate, Release, Request
from tasks.progress import stage
from tasks.provision import MANAGED_BY
from tasks.rollout import read_service, write_own_tags
from tasks.steps import step
from tasks.together import all_of

DELETE_TIMEOUT_S = 60.0


@stage("clean up")
async def clean_up(request: Request, release: Release) -> None:
    """Every service at once. What cannot be cleaned up is tried again after the next release; this one stands."""
    try:
        await all_of([clean_up_service(request, candidate) for candidate in release.candidates])
    except SlipwayError as error:
        get_run_logger().warning("released, but not cleaned up: %s", error)


@step("clean up", run_name="clean up {candidate.service} in {candidate.region}", timeout_s=300)
async def clean_up_service(request: Request, candidate: Candidate) -> int:
    """Answers how many revisions went."""
    name = request.run_service(candidate.service, candidate.region)
    service, revisions = await read_service(name)
    await write_own_tags(service, revisions, keep={candidate.revision, candidate.before.serving})
    service, revisions = await read_service(name)
    retention = request.manifest.retention
    old = superfluous(service, revisions, retention.keep, timedelta(seconds=retention.max_age_s), datetime.now(UTC))
    for revision in old:
        await run.delete_revision(name, revision.name, DELETE_TIMEOUT_S)
        get_run_logger().info("deleted revision %s of %s", revision.name, revision.created.date())
    return len(old)


def superfluous(
    service: RunService, revisions: Sequence[Revision], keep: int, max_age: timedelta, now: datetime
) -> list[Revision]:
    """Ours, ready or not, older than `max_age`, not among the newest `keep`, and named by no traffic entry.

    A service that seems to route nothing is a service whose state is not known: nothing is superfluous then.
    """
    used = {target.revision for target in (*service.traffic, *service.live)}
    if not any(target.percent for target in service.live):
        return []
    used |= {service.latest_ready, service.latest_created}
    newest = sorted(revisions, key=lambda revision: revision.created, reverse=True)
    return [
        revision
        for revision in newest[keep:]
        if revision.labels.get("managed-by") == MANAGED_BY
        and revision.name not in used
        and now - revision.created > max_age
    ]
