"""Whether worker pools are as they were released: looked at and reported beside the services."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from infra.gcp.run import worker_pools
from infra.gcp.run.worker_pools import WHOLE as OF_POOL
from infra.gcp.run.worker_pools import RunPool
from tasks.drift.compare import Difference, compare, ignored
from tasks.drift.told import rows_of, tell
from tasks.history.beside import newest_of
from tasks.history.masking import masked
from tasks.history.pool_record import PoolRecord
from tasks.history.record import ReleaseRecord
from tasks.history.store import read_history
from tasks.model import Request
from tasks.orchestration.gather import all_of
from tasks.orchestration.step import step
from tasks.rollout.service import WHOLE, said_before
from tasks.spec.merge import is_below, shown_as

INSTANCES = "instances"  # where they are, by revision


@step("look for drift of worker pools", attempts=3)
async def look_at_pools(request: Request) -> list[tuple[PoolRecord, tuple[Difference, ...]]]:
    """Every worker pool that was released, and in what it differs from that."""
    if not request.pools:
        return []
    history = await read_history(request.settings.bucket, request.app, request.environment)
    released = [pool for name, pool in sorted(released_pools(history).items()) if name in request.pools]
    live = await all_of([worker_pools.get_pool(each.name) for each in released])
    ignore = request.manifest.drift.ignore
    return [(known, differences(known, pool, ignore)) for known, pool in zip(released, live, strict=True)]


@step("report drift of worker pools", attempts=3)
async def report_pool_drift(request: Request, found: Sequence[tuple[PoolRecord, tuple[Difference, ...]]]) -> int:
    """A table of them; answers how many differ."""
    if not found:
        return 0
    drifted = sum(bool(each) for _, each in found)
    title = f"{request.app} in {request.environment}: {drifted} of {len(found)} worker pools differ from their release"
    shown = [row for known, each in found for row in rows(known, each)]
    line = "the worker pool %(pool)s: %(setting)s is %(live)s, was released as %(as released)s"
    await tell(request, "drift-pools", title, shown, line)
    return drifted


def released_pools(history: Iterable[ReleaseRecord]) -> dict[str, PoolRecord]:
    """What the newest release that stands, and had the pool, made of each; `history` is newest first."""
    return newest_of(history, lambda record: ((each.pool, each) for each in record.pools if each.revision))


def differences(known: PoolRecord, live: RunPool | None, ignore: Sequence[str]) -> tuple[Difference, ...]:
    """In what slipway.yaml said of it, and in where its instances are; the rest is for others to change."""
    if live is None:
        return (Difference("worker pool", "there", None),)
    said = said_before(known.template) or ()
    whole = [path.removeprefix(WHOLE) for path in said if path.startswith(WHOLE)]
    paths = (*(f"template.{shown_as(path)}" for path in said if not path.startswith(WHOLE)), *whole)
    desired = {"name": known.name, "template": known.template, **known.whole}
    there = {key: value for key, value in live.body.items() if key in OF_POOL}
    found = compare(desired, {"name": known.name, "template": masked(live.template), **there}, ignore)
    settings = [each for each in found if is_below(each.path, paths)]
    wanted = {known.revision: 100}
    if live.asked != wanted and not ignored(INSTANCES, ignore):
        settings.append(Difference(INSTANCES, _shares(wanted), _shares(live.asked)))
    return tuple(settings)


def _shares(shares: dict[str, int]) -> str:
    return ", ".join(f"{revision} {percent} %" for revision, percent in sorted(shares.items())) or "none"


def rows(known: PoolRecord, found: Sequence[Difference]) -> list[dict[str, str]]:
    return rows_of("pool", known.pool, found)
