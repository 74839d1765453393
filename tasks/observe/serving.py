"""How each version that serves does, and what it costs by its settings: from Cloud Monitoring and Cloud Run.

What cannot be told is said as unknown, with the reason: a page that shows 0 errors where nobody counts would lie.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from infra.gcp import monitoring
from infra.gcp.monitoring import Served
from infra.gcp.run.revisions import get_revision
from infra.gcp.run.services import RunService
from infra.gcp.run.worker_pools import RunPool
from tasks.analysis.metrics import judge_serving
from tasks.analysis.sequential import histogram
from tasks.analysis.verdict import Rules
from tasks.cost.shape import Scaling, Shape, scaling_of, shape_of
from tasks.failures.explain import to_slipway
from tasks.history.status import Live, Status
from tasks.model import Verdict
from tasks.orchestration.gather import all_of

SPAN = timedelta(hours=1)  # so much of the past is measured
NO_REQUESTS = "a worker pool answers no requests"


@dataclass(frozen=True, slots=True)
class Measured:
    """What users got of a version; the numbers are 0 or None where there were no requests to count."""

    requests: int = 0
    error_share: float | None = None  # of answers that are server errors
    p95_ms: float | None = None
    failing: str = ""  # why, where its errors are surely too many


@dataclass(frozen=True, slots=True)
class Serving:
    """One revision that has a part of the traffic or of the instances."""

    version: str
    revision: str
    measured: Measured | None  # None: not known
    unknown: str  # why
    settings: str  # those that decide what it costs, in words; '' where not known


async def read_serving(status: Status, live: Live, rules: Rules, now: datetime | None = None) -> tuple[Serving, ...]:
    """Of each revision that serves. Raises nothing: what Google does not tell is unknown."""
    if live is None:
        return ()
    until = now or datetime.now(UTC)
    counted, unknown = await _counted(live, until)
    shapes = await all_of([_shape(live, revision) for revision in status.revisions])
    found = []
    for (revision, version), shape in zip(status.revisions.items(), shapes, strict=True):
        measured = None if counted is None else measured_of(counted.get(revision, Served()), rules)
        found.append(Serving(version, revision, measured, unknown, words(shape, live) if shape else ""))
    return tuple(found)


async def _counted(live: RunService | RunPool, until: datetime) -> tuple[Mapping[str, Served] | None, str]:
    """What each revision served; or None, and why that is not known."""
    if isinstance(live, RunPool):
        return None, NO_REQUESTS
    try:
        return await monitoring.served_by_each(live.name, until - SPAN, until), ""
    except Exception as error:  # whatever Google says
        return None, to_slipway(error, doing="Asking Cloud Monitoring").problem


async def _shape(live: RunService | RunPool, revision: str) -> Shape | None:
    try:
        found = await get_revision(live.name, revision)
    except Exception:  # whatever Google says: the settings of that one are not known
        return None
    return shape_of(found.configuration) if found else None


def measured_of(served: Served, rules: Rules) -> Measured:
    """rules: what the environment holds a revision to. Pure."""
    if not served.requests:
        return Measured()
    took = histogram(served.bounds_ms, served.buckets)
    judgement = judge_serving(served, rules)
    return Measured(
        served.requests,
        served.errors / served.requests,
        took.quantile(0.95) if took.total else None,
        judgement.reason if judgement.verdict is Verdict.UNHEALTHY else "",
    )


def words(shape: Shape, live: RunService | RunPool) -> str:
    """The settings that decide what a revision costs, for people. Pure."""
    size, scaling = shape.size, scaling_of(live.body)
    parts = [f"{size.cpu:g} CPU", f"{size.gib:g} GiB", *(["GPU"] if size.gpu else [])]
    if isinstance(live, RunPool):
        return ", ".join([*parts, f"{live.instances} instances in all"])
    paid = "paid while it answers" if shape.by_request else "paid all the time"
    return ", ".join([*parts, _instances(shape, scaling), f"{shape.concurrency} requests at once", paid])


def _instances(shape: Shape, scaling: Scaling) -> str:
    if scaling.manual is not None:
        return f"{scaling.manual} instances, by hand"
    least = max(shape.least, scaling.least)
    most = min(shape.most, scaling.most or shape.most)
    return f"{least} to {most} instances"
