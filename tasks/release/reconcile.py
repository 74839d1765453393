"""Brings an environment back to a recorded state after a run that died in the middle of a release.

Every release holds its environment's lock from before its record is written until after it is closed. So a record
that still says `started` while we hold the lock should belong to a dead run. Where Prefect does not say that the run
has ended, it may be one of another Prefect server, with a lock of its own: then the record's heartbeat decides
(`Ledger.is_alive`), and ReleaseBusy leaves a release that is under way alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prefect import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.logging import get_run_logger
from pydantic import ValidationError

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import services
from tasks.analysis.proof import prove, refuse_unproven
from tasks.builds.build import stop_builds
from tasks.failures.cause import Cause
from tasks.failures.errors import ManifestError, NotReconciled, ParameterError, ReleaseBusy, SlipwayError, SourceError
from tasks.failures.explain import explain
from tasks.history.beside import later_than, newest_of
from tasks.history.ledger import Ledger, open_releases
from tasks.history.record import Beside, ReleaseRecord, State, TargetRecord
from tasks.history.run import why_gone
from tasks.history.store import read_until
from tasks.model import Ending, Outcome, Request, Verdict
from tasks.names.tags import REGISTERED, SHIPPING_FLOWS
from tasks.orchestration.gather import all_of, first_of
from tasks.orchestration.step import step
from tasks.release.left_behind import before_of, candidate_of, foreign_revisions, unless_said
from tasks.release.recall import PAGE, is_remembered
from tasks.release.unfinished import passes, refuse_unproven_elsewhere
from tasks.rollout.beside import settle
from tasks.rollout.restore import give_back, give_template, settings_back
from tasks.rollout.sent import Sent, Written
from tasks.rollout.shift import close_as_then, shift_at_once
from tasks.rollout.traffic import verify
from tasks.source.source import Source

LOOK_BACK, KNOWN_BACK = timedelta(days=7), timedelta(days=90)
BROUGHT = "a later release has brought it"


@dataclass(frozen=True, slots=True)
class Destination:
    """What a run of the flows that ship was shipping, and to where."""

    source: Source
    environment: str


async def unfinished() -> list[Destination]:
    """Where runs ended otherwise than well lately, or have not ended, as far as Prefect knows."""
    otherwise = FlowRunFilterStateType(not_any_=[StateType.COMPLETED])
    return distinct(await _runs(LOOK_BACK, FlowRunFilterState(type=otherwise)))


async def shipped(flow: str) -> list[Destination]:
    """Where anything was shipped to within months: what a schedule that names no repository goes through.

    flow: what it does there; an app whose own deployment of that flow does it by itself is left to that one.
    """
    own = FlowFilter(name=FlowFilterName(any_=[flow]))
    tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=[REGISTERED]))
    async with get_client() as client:
        looked_after = await client.read_deployments(flow_filter=own, deployment_filter=tagged, limit=200)
    well, others = told_apart(await _runs(KNOWN_BACK))
    released = [each for each in others if await is_remembered(each.source, each.environment)]
    return unattended([*well, *released], looked_after)


def told_apart(runs: Sequence[FlowRun]) -> tuple[list[Destination], list[Destination]]:
    """Where any of the runs has ended well; and where none has: somebody may have mistyped a folder."""
    well = distinct([run for run in runs if run.state_type is StateType.COMPLETED])
    places = {(each.source.place, each.environment) for each in well}
    return well, [each for each in distinct(runs) if (each.source.place, each.environment) not in places]


def unattended(found: Sequence[Destination], own: Sequence[DeploymentResponse]) -> list[Destination]:
    """Those that no deployment of its app looks at by itself; one without an environment is for all of them."""
    active = [each.parameters for each in own if not each.paused and any(s.active for s in each.schedules)]
    places = {
        (Source.model_validate(said["source"]).place, said.get("environment")) for said in active if said.get("source")
    }
    return [each for each in found if not {(each.source.place, each.environment), (each.source.place, None)} & places]


async def _runs(back: timedelta, state: FlowRunFilterState | None = None) -> list[FlowRun]:
    """Of the flows that ship, the newest first."""
    flows = FlowFilter(name=FlowFilterName(any_=list(SHIPPING_FLOWS)))
    since = FlowRunFilterStartTime(after_=datetime.now(UTC) - back)
    wanted, order = FlowRunFilter(start_time=since, state=state), FlowRunSort.START_TIME_DESC
    found: list[FlowRun] = []
    async with get_client() as client:
        while len(found) % PAGE == 0:
            some = await client.read_flow_runs(
                flow_filter=flows, flow_run_filter=wanted, sort=order, limit=PAGE, offset=len(found)
            )
            if not some:
                break
            found += some
    return found


def destination_of(flow_run: FlowRun) -> Destination | None:
    """Where a run of a flow that ships was at work; None when its parameters do not tell."""
    source, environment = flow_run.parameters.get("source"), flow_run.parameters.get("environment")
    try:
        return Destination(Source.model_validate(source), environment) if source and environment else None
    except ValidationError:  # it has failed by that, or a Slipway of another version started it
        return None


def may_owe(error: SlipwayError, *, remembered: bool) -> bool:
    """Whether traffic may have to be given back although that could not be looked at, or not be done.

    remembered: a release was recorded there. Where none is, and the repository or what it names cannot be read, no run
    has come so far.
    """
    if isinstance(error, SourceError | ManifestError | ParameterError):
        return False
    return remembered or isinstance(error, NotReconciled)


def distinct(runs: Sequence[FlowRun]) -> list[Destination]:
    """Each one once, with the source of its newest run; `runs` are newest first."""
    found: dict[tuple[str, str], Destination] = {}
    for each in filter(None, map(destination_of, runs)):
        found.setdefault((each.source.place, each.environment), each)
    return list(found.values())


@step("look for abandoned releases", attempts=3)
async def is_settled(request: Request) -> bool:
    """Whether no record is open: a cheap look, without the lock."""
    return not await open_releases(request.settings.bucket, request.app, request.environment)


@step("settle abandoned releases", attempts=3, timeout_s=600, state="The next reconcile run tries again.")
async def settle_abandoned(request: Request, *, deploys: bool = False, hurries: bool = False) -> int:
    """Closes every open record of the environment, after its traffic is as it was and its builds have ended.

    Only for whoever holds the environment's lock. Answers how many there were. Raises SlipwayError, and leaves the
    record open, when traffic could not be given back, or a job could not be made what it is to be; but for whoever
    deploys, and so writes the jobs anew, a job is no reason not to.

    hurries: has users on a bad version, and so waits neither for jobs and pools alone, nor to see who is alive.
    """
    found, failures = await open_releases(request.settings.bucket, request.app, request.environment), []
    ledgers = [each for each in found if not hurries or serves_users(each.release)]
    for ledger in ledgers:
        try:
            await _settle(request, ledger, deploys=deploys, hurries=hurries)
        except ReleaseBusy:
            raise
        except (SlipwayError, GoogleError) as failure:  # what one of them owes keeps no other from being settled
            failures.append(failure)
    if failures:
        raise first_of(failures)
    return len(ledgers)


async def _settle(request: Request, ledger: Ledger, *, deploys: bool, hurries: bool) -> None:
    record = ledger.release
    get_run_logger().warning("%s was left in the middle by run %s", record.version, record.run_id)
    state, reason = await why_gone(record)
    if state is None and (hurries or await ledger.is_alive()):
        raise ReleaseBusy(
            f"Run {record.run_id} is releasing {record.version}, though this Prefect server does not say so.",
            "wait for it to end; let all workers of an environment use one Prefect server.",
        )
    if record.run_id != request.run_id:  # a run that is resumed adopts its own builds
        await stop_builds(request, record.run_id)
    if is_moving(record) and await _is_finished(request, ledger, deploys=deploys):
        return
    later = await _later(request, record)
    if record.state is State.RELEASED:
        beside = await settle(ledger, await _still_owed(ledger, later), forward=True)
        _refuse_owed([], () if deploys else beside)
        return
    brought = newest_of(later, lambda each: ((target.place, target) for target in each.targets))
    work = [_give_back(request, each, record.version, brought.get(each.place)) for each in owed(record)]
    endings = await all_of(work)
    for each in endings:
        get_run_logger().warning("%s", each)
    beside = await settle(ledger, await _still_owed(ledger, later), forward=False)
    failed = [each for each in endings if each.outcome is Outcome.FAILED]
    if failed:
        await ledger.found(endings)
        _refuse_owed(failed, beside)
    await ledger.settled(endings, state or State.FAILED, reason)
    _refuse_owed([], () if deploys else beside)


async def _later(request: Request, record: ReleaseRecord) -> list[ReleaseRecord]:
    """The releases that stand and came after it: what they have brought is as it is to be."""
    where = request.settings.bucket, request.app, request.environment
    history = await read_until(*where, lambda found: found[-1].started <= record.started)
    return later_than(record, history)


async def _still_owed(ledger: Ledger, later: Sequence[ReleaseRecord]) -> list[Beside]:
    """Without the jobs and pools that a later release has brought."""
    debts = owed_beside(ledger.release)
    brought = {each.name for release in later for each in release.beside}
    void = [each for each in debts if each.name in brought]
    if void:
        said = {"outcome": Outcome.LEFT, "said": BROUGHT}
        await ledger.beside(*(each.model_copy(update=said) for each in void))
    return [each for each in debts if each not in void]


def _refuse_owed(failed: Sequence[Ending], beside: Sequence[Beside]) -> None:
    """Raises NotReconciled unless there is none."""
    owing = [f"{each.place} could not be given back: {each.said}" for each in failed]
    owing += [f"{each} could not be made what it is to be: {each.said}" for each in beside]
    if owing:
        raise NotReconciled(
            "\n".join(owing),
            "correct that; the reconcile flow tries again by itself until it is done.",
            Cause.SERVICE_UNAVAILABLE,
            state="Traffic is where the dead run left it." if failed else "Traffic is as it is to be.",
        )


def is_moving(record: ReleaseRecord) -> bool:
    """Whether it is a rollback, under way, all of whose targets were proven: traffic may be where somebody wants it."""
    if record.action != "rollback" or record.state is not State.STARTED or not record.targets:
        return False
    return all(t.revision and t.verdict is Verdict.HEALTHY and not t.is_owed for t in record.targets)


async def _is_finished(request: Request, ledger: Ledger, *, deploys: bool) -> bool:
    """Finishes a rollback whose run died when it had moved traffic: to undo it would give users what is bad.

    False where nothing was moved, a target is not healthy any more, or somebody else has taken traffic in hand. Raises
    SlipwayError where that cannot be told or done now.
    """
    targets = ledger.release.targets
    found = await all_of([services.get_service(request.run_service(each.place)) for each in targets])
    there = [(each, service) for each, service in zip(targets, found, strict=True) if service]
    moved = any(service.asked.get(t.revision, 0) > dict(t.before).get(t.revision, 0) for t, service in there)
    if not moved or len(there) < len(targets) or any(foreign_revisions(service, target) for target, service in there):
        return False
    candidates = [candidate_of(request, service, target) for target, service in there]
    written: Written = {target.place: (service.traffic,) for target, service in there}
    try:
        proofs = await prove(request, candidates, compared=False)
        if not deploys:  # who does moves traffic anyway
            refuse_unproven_elsewhere(proofs, [each.place for each, service in there if each.revision in service.asked])
        refuse_unproven(proofs)
        await shift_at_once(request, candidates, written, Sent())
        live = await all_of([verify(request, candidate) for candidate in candidates])
        await close_as_then(request, candidates, Sent())
    except SlipwayError as error:
        if passes(error):
            raise
        get_run_logger().warning("the rollback to %s is undone: %s", ledger.release.version, error.problem)
        return False
    ledger.live(live)
    await settle(ledger, owed_beside(ledger.release), forward=True)
    await ledger.settled((), State.RELEASED, "Its run died when traffic had moved; reconcile has finished it.")
    get_run_logger().warning("the rollback to %s is finished", ledger.release.version)
    return True


def owed(record: ReleaseRecord) -> list[TargetRecord]:
    """Where traffic may have to be given back: all that a dead run has touched, or what a run could not give back."""
    if record.state is State.STARTED:
        return [target for target in record.targets if target.revision or target.stands_for]
    return [target for target in record.targets if target.is_owed]


def serves_users(record: ReleaseRecord) -> bool:
    """Whether users may be served by what is to be given back."""
    return record.state is not State.RELEASED and bool(owed(record))


def owed_beside(record: ReleaseRecord) -> list[Beside]:
    """The same of jobs and pools."""
    return [each for each in record.beside if each.is_owed or record.state is State.STARTED]


async def _give_back(request: Request, target: TargetRecord, version: str, later: TargetRecord | None) -> Ending:
    """FAILED, which is owed still, where it does not even answer: that keeps nothing else from being given back.

    later: what a later release that stands has brought there.
    """
    try:
        return await (_but_for(request, target, later) if later else _as_before(request, target, version))
    except (SlipwayError, GoogleError) as error:
        return Ending(target.place, Outcome.FAILED, explain(error).said)


async def _but_for(request: Request, target: TargetRecord, later: TargetRecord) -> Ending:
    """Traffic as the later release has it; whom that does not let in, and what it does not say, it only met."""
    service = await services.get_service(request.run_service(target.place))
    if service is None or not target.revision:
        return Ending(target.place, Outcome.LEFT, BROUGHT)
    settings = await settings_back(request, unless_said(candidate_of(request, service, target), later))
    return Ending(target.place, Outcome.LEFT, f"{BROUGHT}{settings}")


async def _as_before(request: Request, target: TargetRecord, version: str) -> Ending:
    """Traffic as the record says it was before, unless it is, or somebody else has taken it in hand since."""
    service = await services.get_service(request.run_service(target.place))
    if service is None:
        return Ending(target.place, Outcome.UNTOUCHED, "the service is gone")
    if not target.revision:
        return await give_template(request, before_of(service, target), version, careful=True)
    candidate, strangers = candidate_of(request, service, target), foreign_revisions(service, target)
    if strangers:
        access = await settings_back(request, candidate)
        said = f"somebody else has given traffic to {', '.join(sorted(strangers))} since{access}"
        return Ending(target.place, Outcome.LEFT, said)
    return await give_back(request, candidate, (service.traffic,), careful=True, doubtful=True)
