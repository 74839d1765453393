"""What is released with the services: jobs and worker pools. Deployed before they move, and given back like them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from prefect.exceptions import Pause
from prefect.logging import get_run_logger

from infra.gcp.calls.attempts import closed_circuits
from tasks.failures.errors import RecordInDoubt, SlipwayError
from tasks.history.ledger import Ledger
from tasks.history.pool_record import PoolRecord
from tasks.history.record import Beside, ReleaseRecord
from tasks.model import Image, Outcome, Request, Version
from tasks.orchestration.gather import all_of
from tasks.rollout.jobs import bring_job, deploy_jobs, give_job_back, owed_job
from tasks.rollout.pools import deploy_pools
from tasks.rollout.pools_back import bring_pool, give_pool_back, owed_pool
from tasks.rollout.restore import in_spite_of_cancels


@asynccontextmanager
async def jobs_released(
    request: Request, version: Version, images: Sequence[Image], ledger: Ledger
) -> AsyncIterator[None]:
    """Deploys the request's jobs; when the block ends and the release does not stand, jobs and pools are as before."""
    async with given_back_on_failure(ledger):
        if request.jobs:
            await deploy_jobs(request, version, images, ledger)
        yield


async def pools_deployed(request: Request, version: Version, images: Sequence[Image], ledger: Ledger) -> None:
    """New revisions of the pools, without instances. Only within `jobs_released`, which gives them back."""
    if request.pools:
        await deploy_pools(request, version, images, ledger)


@asynccontextmanager
async def given_back_on_failure(ledger: Ledger) -> AsyncIterator[None]:
    """Whatever the record has by then; also when the run is cancelled."""
    try:
        yield
    except BaseException as error:
        if _not_yet_back(ledger) and not (ledger.stands or isinstance(error, Pause | RecordInDoubt)):
            with closed_circuits():
                await in_spite_of_cancels(lambda _: give_beside_back(ledger), careful=False)
        raise


async def give_beside_back(ledger: Ledger) -> None:
    """Those of which nobody knows yet that they are."""
    ledger.owe_beside(_not_yet_back(ledger))
    await settle(ledger, _not_yet_back(ledger), forward=False)


def _not_yet_back(ledger: Ledger) -> list[Beside]:
    back = (Outcome.UNTOUCHED, Outcome.TAKEN_BACK, Outcome.LEFT)
    return [each for each in ledger.release.beside if each.outcome not in back]


async def settle(ledger: Ledger, known: Sequence[Beside], *, forward: bool) -> list[Beside]:
    """Gives them back, or brings them forward to what their records want; answers those of which that is still owed."""
    run_id = ledger.release.run_id
    endings = await all_of([_bring(each) if forward else _give_back(each, run_id) for each in known])
    for each in endings:
        level = logging.ERROR if each.outcome in (Outcome.FAILED, Outcome.LEFT) else logging.WARNING
        get_run_logger().log(level, "%s: %s, %s", each, each.outcome, each.said)
    if not endings:
        return []
    try:
        await ledger.beside(*endings)
    except SlipwayError as unwritten:
        get_run_logger().error("the release record does not say so: %s", unwritten.problem)
    return [each for each in endings if each.is_owed]


async def _bring(known: Beside) -> Beside:
    return await (bring_pool(known) if isinstance(known, PoolRecord) else bring_job(known))


async def _give_back(known: Beside, run_id: str) -> Beside:
    return await (give_pool_back(known, run_id) if isinstance(known, PoolRecord) else give_job_back(known, run_id))


async def owed_by(request: Request, target: ReleaseRecord, ledger: Ledger) -> list[Beside]:
    """What a rollback is to make of all that the earlier release had beside; recorded as owed before traffic moves.

    So whoever finishes the rollback knows of it. Nothing about a job or a pool keeps traffic from going back.
    """
    kept = {"job": set(request.jobs) - {each.job for each in target.jobs}}
    kept["worker pool"] = set(request.pools) - {each.pool for each in target.pools}
    for what, names in kept.items():
        for name in sorted(names):
            get_run_logger().warning("the %s %s stays as it is: %s had none of that name", what, name, target.version)
    jobs = [owed_job(each) for each in target.jobs if each.template]
    pools = [owed_pool(each) for each in target.pools if each.revision]
    known: list[Beside] = [*await all_of(jobs), *await all_of(pools)]
    if known:
        await ledger.beside(*known)
    return known
