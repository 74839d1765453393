"""Brings an environment back to a recorded state after a run that died in the middle of a release.

Every release holds its environment's lock from before its record is written until after it is closed. So a record
that still says `started` while we hold the lock belongs to a run that is dead, whatever Prefect thinks of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterStartTime
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger

from infra.gcp.run import services
from infra.gcp.run.services import RunService
from infra.gcp.run.traffic import TrafficTarget
from tasks.builds.build import stop_builds
from tasks.failures.errors import Cause, NotReconciled
from tasks.history.ledger import Ledger, open_releases
from tasks.history.record import ReleaseRecord, State, TargetRecord
from tasks.model import Candidate, Ending, Outcome, Request, Snapshot
from tasks.orchestration.gather import all_of
from tasks.orchestration.step import step
from tasks.rollout.restore import give_back
from tasks.source.source import Source

LOOK_BACK = timedelta(days=7)
SHIPPING_FLOWS = ("deploy", "promote", "rollback", "drift", "ship")  # the last two by way of others


@dataclass(frozen=True, slots=True)
class Destination:
    """What a run of the flows that ship was shipping, and to where."""

    source: Source
    environment: str


async def unfinished() -> list[Destination]:
    """Where runs ended otherwise than well lately, or have not ended, as far as Prefect knows."""
    flows = FlowFilter(name=FlowFilterName(any_=list(SHIPPING_FLOWS)))
    since = FlowRunFilterStartTime(after_=datetime.now(UTC) - LOOK_BACK)
    async with get_client() as client:
        found = await client.read_flow_runs(
            flow_filter=flows,
            flow_run_filter=FlowRunFilter(start_time=since),
            sort=FlowRunSort.START_TIME_DESC,
            limit=200,
        )
    return distinct([each for each in found if each.state is None or not each.state.is_completed()])


def destination_of(flow_run: FlowRun) -> Destination | None:
    """Where a run of a flow that ships was at work; None when its parameters do not tell."""
    source, environment = flow_run.parameters.get("source"), flow_run.parameters.get("environment")
    return Destination(Source.model_validate(source), environment) if source and environment else None


def distinct(runs: Sequence[FlowRun]) -> list[Destination]:
    """Each one once, with the source of its newest run; `runs` are newest first."""
    found: dict[tuple[str, str], Destination] = {}
    for each in filter(None, map(destination_of, runs)):
        found.setdefault((each.source.repository, each.environment), each)
    return list(found.values())


@step("look for abandoned releases", attempts=3)
async def is_settled(request: Request) -> bool:
    """Whether no record is open: a cheap look, without the lock."""
    return not await open_releases(request.settings.bucket, request.app, request.environment)


@step("settle abandoned releases", attempts=3, timeout_s=600, state="The next reconcile run tries again.")
async def settle_abandoned(request: Request) -> int:
    """Closes every open record of the environment, after its traffic is as it was and its builds have ended.

    Only for whoever holds the environment's lock. Answers how many there were. Raises SlipwayError, and leaves the
    record open, when traffic could not be given back.
    """
    ledgers = await open_releases(request.settings.bucket, request.app, request.environment)
    for ledger in ledgers:
        await _settle(request, ledger)
    return len(ledgers)


async def _settle(request: Request, ledger: Ledger) -> None:
    record = ledger.release
    get_run_logger().warning("%s was left in the middle by run %s", record.version, record.run_id)
    state, reason = await why(record)
    if record.run_id != request.run_id:  # a run that is resumed adopts its own builds
        await stop_builds(request, record.run_id)
    touched = [target for target in record.targets if target.revision]
    endings = await all_of([_give_back(request, target) for target in touched])
    for each in endings:
        get_run_logger().warning("%s", each)
    failed = [each for each in endings if each.outcome is Outcome.FAILED]
    if failed:
        raise NotReconciled(
            "\n".join(f"{each.place} could not be given back: {each.said}" for each in failed),
            "correct that, then start the reconcile flow for this environment.",
            Cause.SERVICE_UNAVAILABLE,
            state="Traffic is where the dead run left it.",
        )
    await ledger.settled(endings, state, reason)


async def why(record: ReleaseRecord) -> tuple[State, str]:
    """How the release is recorded whose run is gone, and the reason as far as Prefect knows it."""
    async with get_client() as client:
        try:
            found = await client.read_flow_run(UUID(record.run_id))
        except (ObjectNotFound, ValueError):
            return State.FAILED, "Its run is gone, and Prefect does not know it any more."
    state = found.state
    if state is not None and (state.is_cancelled() or state.is_cancelling()):
        return State.CANCELLED, "Its run was cancelled and killed before it had tidied up."
    return State.FAILED, f"Its run was killed in the middle ({state.name if state else 'no state'})."


async def _give_back(request: Request, target: TargetRecord) -> Ending:
    """Traffic as the record says it was before, unless it is, or somebody else has taken it in hand since."""
    service = await services.get_service(request.run_service(target.place))
    if service is None:
        return Ending(target.place, Outcome.UNTOUCHED, "the service is gone")
    strangers = foreign_revisions(service, target)
    if strangers:
        said = f"somebody else has given traffic to {', '.join(sorted(strangers))} since"
        return Ending(target.place, Outcome.LEFT, said)
    return await give_back(request, candidate_of(service, target), (service.traffic,), careful=True)


def foreign_revisions(service: RunService, target: TargetRecord) -> set[str]:
    """Revisions with traffic that neither had any before the release nor are its own."""
    known = {target.revision, *(revision for revision, _ in target.before)}
    return {t.revision or service.latest_ready for t in service.traffic if t.percent} - known


def candidate_of(service: RunService, target: TargetRecord) -> Candidate:
    """The candidate that the dead run was releasing, as far as its record tells."""
    tags = {t.revision: t.tag for t in service.traffic if t.tag}
    before = Snapshot(
        place=target.place,
        traffic=tuple(TrafficTarget(revision, percent) for revision, percent in target.before),
        latest_ready="",
        serving=target.serving,
        serving_url=service.uri_of(target.serving),
    )
    return Candidate(
        revision=target.revision,
        tag=tags.get(target.revision, ""),
        url=service.uri_of(target.revision),
        service_url=service.uri,
        before=before,
        split=service.traffic,
    )
