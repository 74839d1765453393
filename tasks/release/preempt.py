"""An emergency is never in a queue: a rollback cancels the release that is under way, lets it give back, takes over."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.states import Cancelling

from infra.gcp.calls.polling import until
from tasks.failures.errors import SlipwayError
from tasks.history.record import State
from tasks.history.store import read_open
from tasks.model import Request
from tasks.orchestration.step import step
from tasks.release.reconcile import settle_abandoned

LIMIT_S = 60.0  # a cancelled run gives back in seconds; Prefect kills it after 30
POLL_S = 0.25


@step("take over", timeout_s=LIMIT_S + 30)  # once: a second look would not find what the first has cancelled
async def take_over(request: Request) -> tuple[str, ...]:
    """Cancels the runs that are releasing to this environment, and waits until they have ended.

    Answers the versions that are being released, or could not be given back: what a rollback turns away from. Runs
    that this Prefect server does not know cannot be cancelled from here: their lock is waited for.
    """
    found = await read_open(request.settings.bucket, request.app, request.environment)
    releasing = [each.release.run_id for each in found if each.release.state is State.STARTED]
    async with get_client() as client:
        runs = [await _outermost(client, UUID(run_id)) for run_id in releasing if run_id != request.run_id]
        known = {run.id: run for run in runs if run is not None and run.state is not None and not run.state.is_final()}
        for run in known.values():
            get_run_logger().warning("cancelling %s: a rollback does not wait for a release", run.name)
            await client.set_flow_run_state(run.id, Cancelling(message="A rollback takes over."))
        try:
            await until(lambda: _all_ended(client, known), limit_s=LIMIT_S, pause_s=POLL_S)
        except TimeoutError:
            get_run_logger().warning("a cancelled release has not ended after %.0f s: its lock is waited for", LIMIT_S)
    return tuple(each.release.version for each in found if each.release.run_id != request.run_id)


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


async def _all_ended(client: PrefectClient, runs: Collection[UUID]) -> bool:
    states = [(await client.read_flow_run(run)).state for run in runs]
    return all(state is not None and state.is_final() for state in states)


async def settle_what_can_be(request: Request) -> None:
    """What earlier releases could not give back keeps no rollback from its work: reconcile goes on with it."""
    try:
        await settle_abandoned(request)
    except SlipwayError as error:
        get_run_logger().error("left to reconcile: %s", error.problem)
