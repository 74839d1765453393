"""A release as one unit: wave after wave of regions, all services, or none of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from prefect.logging import get_run_logger

from tasks.analysis.proof import prove, refuse_unproven, unproven_regions
from tasks.backup.keep import kept_before
from tasks.history.ledger import Ledger
from tasks.history.record import Beside, ReleaseRecord, images_of, version_of
from tasks.model import Candidate, Image, Proof, Release, Request, Serving, Snapshot, Version
from tasks.orchestration.gather import all_of, both, to_its_end
from tasks.release.gates import approval, refuse_frozen
from tasks.release.hooks import run_hooks
from tasks.release.overtaken import but_for_later
from tasks.release.rollback import revive
from tasks.release.unfinished import finished_later
from tasks.rollout.beside import (
    give_beside_back,
    given_back_on_failure,
    jobs_released,
    owed_by,
    pools_deployed,
    settle,
)
from tasks.rollout.dark import deploy_dark, snapshots
from tasks.rollout.pools import move_pools
from tasks.rollout.restore import taken_back_on_failure
from tasks.rollout.sent import Sent, Written
from tasks.rollout.shift import close_as_then, shift, shift_at_once
from tasks.rollout.traffic import verify
from tasks.supply_chain.gate import refuse_vulnerable, warn_vulnerable

R = TypeVar("R")


async def release_with_jobs(request: Request, version: Version, images: Sequence[Image], ledger: Ledger) -> Release:
    """Deploys the jobs, runs the `before` hooks, which may run them, and then releases the services and pools."""
    await refuse_vulnerable(request, images, ledger)
    async with kept_before(request, ledger), jobs_released(request, version, images, ledger):
        await run_hooks(request, "before", ledger)
        return await release(request, version, images, ledger)


async def release(request: Request, version: Version, images: Sequence[Image], ledger: Ledger) -> Release:
    """Deploys dark and proves everywhere, then shifts wave after wave; whatever ends it early, all is taken back."""
    candidates: list[Candidate] = []
    live: list[Serving] = []
    written: Written = {}
    sent = Sent()
    before: list[Snapshot] = []
    beside, later = partial(give_beside_back, ledger), partial(but_for_later, request, ledger.release)
    async with taken_back_on_failure(request, before, candidates, written, ledger, sent, beside, later):
        before += await snapshots(request, ledger.places)
        await ledger.snapshot(before)
        await pools_deployed(request, version, images, ledger)
        candidates += await deploy_dark(request, version, images, before)
        written.update({each.place: (each.split,) for each in candidates})
        _, proven = await both(ledger.deployed(candidates), prove(request, candidates), stop_on_failure=True)
        proofs = await _kept(proven, ledger)
        await _let_through(request, candidates, proofs, images, ledger)
        for number, wave in enumerate(request.settings.waves):
            new = [each for each in candidates if each.place.region in wave]
            if number and request.settings.steps:  # what was proven then was so hours ago
                await _kept(await prove(request, new), ledger)
            ledger.moving()
            live += await shift(request, new, written, sent, ledger)
            ledger.live(live)
        await move_pools(request, ledger)
        await run_hooks(request, "after", ledger)
    return Release(
        request.app, request.environment, version, tuple(images), tuple(candidates), tuple(proofs), tuple(live)
    )


async def _kept(proofs: Sequence[Proof], ledger: Ledger) -> Sequence[Proof]:
    """In the record, whatever they say; raises ProofFailed unless all are HEALTHY."""
    await ledger.proven(proofs)
    refuse_unproven(proofs)
    return proofs


async def _let_through(
    request: Request, new: Sequence[Candidate], proofs: Sequence[Proof], images: Sequence[Image], ledger: Ledger
) -> None:
    """What is asked once, before the first user meets the new version; after an answer it is proven once more.

    Whoever was asked may have taken hours, in which what it needs may have gone.
    """
    if approved := await approval(request, new, proofs, ledger.release):
        await ledger.approved(approved)
        await _kept(await prove(request, new), ledger)
    # a freeze may have begun in the hours since
    refuse_frozen(request.settings, ledger.release.override, datetime.now(UTC))
    await refuse_vulnerable(request, images, ledger, again=True)


async def go_back(
    request: Request, target: ReleaseRecord, ledger: Ledger, decided: datetime
) -> tuple[Release, dict[str, str]]:
    """All of an earlier release's revisions, proven and then given all traffic, in every region at once; then the rest.
    By region, why it is left out.

    decided: when the run began; the seconds until traffic is restored, and until that is verified, are recorded.
    """
    version = version_of(target)
    before = await snapshots(request, ledger.places)
    await ledger.snapshot(before)
    candidates = list(await revive(request, target, before))
    written: Written = {each.place: (each.split,) for each in candidates}
    sent = Sent()
    back, later = partial(give_beside_back, ledger), partial(but_for_later, request, ledger.release)
    async with (
        given_back_on_failure(ledger),
        taken_back_on_failure(request, before, candidates, written, ledger, sent, back, later),
    ):
        proofs, unproven = await _proven(request, candidates, ledger)
        beside = await owed_by(request, target, ledger)
        ledger.moving()
        async with finished_later(request, version.version, candidates, written):
            await shift_at_once(request, candidates, written, sent)
            await ledger.timed("restored", since(decided))
            live = await to_the_end(lambda: _verified(request, candidates, beside, sent, ledger, decided), ledger)
    images = images_of(target, version)
    await warn_vulnerable(request, images, ledger)
    return Release(request.app, request.environment, version, images, tuple(candidates), proofs, live), unproven


async def _proven(
    request: Request, candidates: list[Candidate], ledger: Ledger
) -> tuple[tuple[Proof, ...], dict[str, str]]:
    """What keeps a region from going back keeps no other: it is left out, and said why, as are its candidates."""
    _, proofs = await both(
        ledger.deployed(candidates), prove(request, candidates, compared=False), stop_on_failure=True
    )
    await ledger.proven(proofs)
    if away := unproven_regions(proofs):
        for region, why in away.items():
            get_run_logger().error("what serves in %s stays as it is: %s", region, why)
        candidates[:] = [each for each in candidates if each.place.region not in away]
        await ledger.left_out(away)
    return proofs, away


async def _verified(
    request: Request,
    candidates: Sequence[Candidate],
    beside: Sequence[Beside],
    sent: Sent,
    ledger: Ledger,
    decided: datetime,
) -> tuple[Serving, ...]:
    await settle(ledger, beside, forward=True)
    live = await all_of([verify(request, candidate) for candidate in candidates])
    took_s = since(decided)
    await close_as_then(request, candidates, sent)
    ledger.live(live)
    await ledger.released(verified=took_s)
    return live


async def to_the_end(work: Callable[[], Coroutine[Any, Any, R]], ledger: Ledger) -> R:
    """Once traffic is restored nobody is served better by what it came from: who cancels learns of it afterwards."""
    try:
        return await to_its_end(work())
    except asyncio.CancelledError:
        if not ledger.stands:  # the event loop ends, and has cancelled all that was under way
            await to_its_end(work())
        raise


def since(moment: datetime) -> float:
    """Seconds."""
    return (datetime.now(UTC) - moment).total_seconds()
