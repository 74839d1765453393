"""A release with its record: begun before anything is changed, marked meanwhile, and closed when it is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from prefect.exceptions import Pause

from infra.gcp.calls.attempts import closed_circuits
from infra.gcp.calls.errors import GoogleError
from tasks.failures.explain import to_slipway
from tasks.history.heartbeat import beating
from tasks.history.ledger import Ledger
from tasks.history.record import Intent, ReleaseRecord, planned
from tasks.history.run import who_started
from tasks.history.store import NOT_KEPT, newest_after, record_name
from tasks.model import Request
from tasks.orchestration.gather import to_its_end
from tasks.source.commits import recent_commits


@asynccontextmanager
async def recorded(request: Request, intent: Intent) -> AsyncIterator[Ledger]:
    """Writes the intent, and when the block fails, why; the block itself says when the release stands."""
    version = intent.version
    release = ReleaseRecord(
        app=request.app,
        environment=request.environment,
        version=version.version,
        kind=version.kind,
        commit=version.commit,
        run_id=request.run_id,
        trigger=await who_started(request.run_id),
        started=await _beginning(request),
        action=intent.action,
        left=intent.left,
        origin=intent.origin,
        override=intent.override,
        irreversible=intent.irreversible,
        images=dict(intent.images),
        sources=dict(intent.sources),
        targets=planned(intent.places or request.places),
        commits={} if intent.action == "rollback" else await recent_commits(request.folder, version.commit),
        manifest=request.manifest.without_values(),
    )
    ledger = Ledger(request.settings.bucket, record_name(release), release, 0, hurries=intent.action == "rollback")
    await ledger.begin()
    try:
        async with beating(ledger.mark, version.version):
            yield ledger
    except BaseException as error:
        if not isinstance(error, Pause):
            with closed_circuits():
                await to_its_end(ledger.ended(error))
        raise


async def _beginning(request: Request) -> datetime:
    where = request.settings.bucket, request.app, request.environment
    try:
        return await newest_after(*where, datetime.now(UTC))
    except GoogleError as error:
        raise to_slipway(error, f"Listing the release records in gs://{request.settings.bucket}", NOT_KEPT) from error
