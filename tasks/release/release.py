"""A release as one unit: wave after wave of regions, all services, or none of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from tasks.analysis.proof import prove, refuse_unproven
from tasks.history.ledger import Ledger
from tasks.history.record import ReleaseRecord, images_of, version_of
from tasks.model import Candidate, Image, Proof, Release, Request, Serving, Version
from tasks.orchestration.gather import all_of
from tasks.release.gates import approved, refuse_frozen
from tasks.release.hooks import run_hooks
from tasks.release.rollback import revive
from tasks.rollout.dark import deploy_dark, snapshots
from tasks.rollout.restore import taken_back_on_failure
from tasks.rollout.shift import shift, shift_at_once
from tasks.rollout.traffic import Written, verify


async def release(request: Request, version: Version, images: Sequence[Image], ledger: Ledger) -> Release:
    """Deploys dark, proves and shifts each wave; whatever ends it early, all waves are taken back, everywhere."""
    candidates: list[Candidate] = []
    proofs: list[Proof] = []
    live: list[Serving] = []
    written: Written = {}
    async with taken_back_on_failure(request, candidates, written, ledger):
        await ledger.snapshot(await snapshots(request, ledger.places))
        for number, wave in enumerate(request.settings.waves):
            new = await deploy_dark(request, version, images, wave)
            candidates += new
            written.update({each.place: (each.split,) for each in new})
            await ledger.deployed(new)
            proofs += await prove(request, new)
            await ledger.proven(proofs)
            refuse_unproven(proofs)
            if number == 0:
                await approved(request, proofs, ledger)
                # a freeze may have begun in the hours since
                refuse_frozen(request.settings, ledger.release.override, datetime.now(UTC))
            live += await shift(request, new, written, ledger)
            await ledger.live(live)
        await run_hooks(request, "after")
    return Release(
        request.app, request.environment, version, tuple(images), tuple(candidates), tuple(proofs), tuple(live)
    )


async def go_back(request: Request, target: ReleaseRecord, ledger: Ledger, decided: datetime) -> Release:
    """All of an earlier release's revisions, proven and then given all traffic, in every region at once.

    decided: when the run began; the seconds until traffic is restored, and until that is verified, are recorded.
    """
    version = version_of(target)
    await ledger.snapshot(await snapshots(request, ledger.places))
    candidates = await revive(request, target)
    written: Written = {each.place: (each.split,) for each in candidates}
    async with taken_back_on_failure(request, candidates, written, ledger):
        await ledger.deployed(candidates)
        proofs = await prove(request, candidates)
        await ledger.proven(proofs)
        refuse_unproven(proofs)
        await shift_at_once(request, candidates, written)
        await ledger.timed("restored", since(decided))
        live = await all_of([verify(request, candidate) for candidate in candidates])
        await ledger.timed("verified", since(decided))
        await ledger.live(live)
    images = images_of(target, version)
    return Release(request.app, request.environment, version, images, candidates, proofs, live)


def since(moment: datetime) -> float:
    """Seconds."""
    return (datetime.now(UTC) - moment).total_seconds()
