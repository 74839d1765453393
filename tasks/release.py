"""A release as one unit: wave after wave of regions, all services, or none of it."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.health import prove
from tasks.history import Ledger
from tasks.model import Candidate, Image, Live, Proof, Release, Request, Version
from tasks.rollout import deploy_dark
from tasks.traffic import promote, taken_back_on_failure


async def release(request: Request, version: Version, images: Sequence[Image], ledger: Ledger) -> Release:
    """Deploys dark, proves and shifts each wave; whatever ends it early, all waves are taken back, everywhere."""
    candidates: list[Candidate] = []
    proofs: list[Proof] = []
    live: list[Live] = []
    async with taken_back_on_failure(request, candidates):
        for wave in request.settings.waves:
            new = await deploy_dark(request, version, images, wave)
            candidates += new
            await ledger.deployed(candidates)
            proofs += await prove(request, new)
            await ledger.proven(proofs)
            live += await promote(request, new)
            await ledger.live(live)
    return Release(
        request.app, request.environment, version, tuple(images), tuple(candidates), tuple(proofs), tuple(live)
    )
