"""An emergency is never in a queue: a rollback cancels the release that is under way, lets it give back, takes over."""

from __future__ import annotations

import asyncio
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.states import Cancelling

from tasks.failures.errors import SlipwayError
from tasks.history.record import ReleaseRecord, State
from tasks.history.store import read_history, read_open
from tasks.model import Request
from tasks.names.tags import SHIPPING_FLOWS
from tasks.orchestration.lock import slot_of
from tasks.orchestration.step import step
from tasks.release.reconcile import settle_abandoned

SETTLE_S = 30.0  # within which a give-back that meets no trouble has ended
TAKEN_OVER = "A rollback takes over."  # in the state of a run: how a later rollback knows why it was cancelled


class TakeOver:
    """Cancels the runs that are releasing to an environment; to be called until its slot is free.

    One that has not ended by then, or that this Prefect server does not know, is waited for.
    """

    def __init__(self, request: Request) -> None:
        self._request, self._recorded, self._told = request, False, set[str]()

    async def __call__(self) -> None:
        """Raises nothing: what cannot be asked now is asked again."""
        try:
            async with get_client() as client:
                for run_id in await self._releasing(client):
                    await self._cancel(client, run_id)
        except Exception as error:  # whatever Prefect's client, or Google's, says
            self._tell(f"it cannot be told yet who is releasing: {error or type(error).__name__}")

    async def _releasing(self, client: PrefectClient) -> list[UUID]:
        """Runs that have the slot; and those with an open record, which a Slipway without tags may have begun."""
        found = await client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=list(SHIPPING_FLOWS))),
            flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[slot_of(self._request)])),
        )
        runs = {each.id for each in found if each.state is None or not each.state.is_final()}
        if not self._recorded:
            where = self._request.settings.bucket, self._request.app, self._request.environment
            records = [each.release for each in await read_open(*where)]
            runs |= {UUID(each.run_id) for each in records if each.state is State.STARTED}
            self._recorded = True
        return [each for each in runs if str(each) != self._request.run_id]

    async def _cancel(self, client: PrefectClient, run_id: UUID) -> None:
        run = await _outermost(client, run_id)
        if run is None or run.state is None or run.state.is_final() or run.state.is_cancelling():
            return
        self._tell(f"cancelling {run.name}: a rollback does not wait for a release")
        await client.set_flow_run_state(run.id, Cancelling(message=TAKEN_OVER))

    def _tell(self, what: str) -> None:
        if what not in self._told:
            get_run_logger().warning("%s", what)
        self._told.add(what)


async def _outermost(client: PrefectClient, run_id: UUID) -> FlowRun | None:
    """The run that a process stands for: a release by tag is a run within another. None if Prefect does not know it."""
    try:
        run = await client.read_flow_run(run_id)
        while run.parent_task_run_id is not None:
            parent = (await client.read_task_run(run.parent_task_run_id)).flow_run_id
            if parent is None:
                break
            run = await client.read_flow_run(parent)
    except ObjectNotFound:
        return None
    return run


@step("look for what was stopped", attempts=3)
async def stopped_runs(request: Request) -> tuple[str, ...]:
    """The run of the newest release if that did not come to its end: what this rollback turns away from; else nothing.

    The records and Prefect tell, so that it does not matter which rollback has cancelled it.
    """
    for newest in await read_history(request.settings.bucket, request.app, request.environment, limit=1):
        if is_stopped(newest, request.run_id, taken_over=await _was_taken_over(newest)):
            return (newest.run_id,)
    return ()


def is_stopped(newest: ReleaseRecord, own_run: str, *, taken_over: bool) -> bool:
    """Whether it had not come to its end, or was cancelled by a rollback that has not come about itself.

    own_run: a rollback that Prefect starts anew goes where it was going. taken_over: a rollback has cancelled its run.
    A release that had come to its end before that is gone back from like any other; a rollback had been wanted twice.
    """
    owes = newest.state is not State.RELEASED and any(target.is_owed for target in newest.targets)
    if newest.run_id == own_run or newest.state is State.STARTED or owes:
        return True
    return taken_over and (newest.state is not State.RELEASED or newest.action == "rollback")


async def _was_taken_over(record: ReleaseRecord) -> bool:
    async with get_client() as client:
        try:
            run = await _outermost(client, UUID(record.run_id))
        except ValueError:  # no run of Prefect's
            return False
        states = await client.read_flow_run_states(run.id) if run else []
    return any(state.message == TAKEN_OVER for state in states)


async def settle_what_can_be(request: Request) -> None:
    """What earlier releases could not give back keeps no rollback from its work: reconcile goes on with it."""
    try:
        async with asyncio.timeout(SETTLE_S):
            await settle_abandoned(request, hurries=True)
    except SlipwayError as error:
        get_run_logger().error("left to reconcile: %s", error.problem)
    except TimeoutError:
        get_run_logger().error("left to reconcile: what is open could not be settled within %.0f s", SETTLE_S)
