"""Whether jobs are as they were released: looked at and reported beside the services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infra.gcp.run import jobs
from infra.gcp.run.jobs import RunJob
from tasks.drift.compare import Difference, compare
from tasks.drift.told import rows_of, tell
from tasks.history.beside import newest_of
from tasks.history.job_record import JobRecord
from tasks.history.record import ReleaseRecord
from tasks.history.store import read_history
from tasks.model import Request
from tasks.orchestration.gather import all_of
from tasks.orchestration.step import step
from tasks.rollout.job import recorded_job
from tasks.rollout.service import said_before
from tasks.spec.merge import is_below, shown_as


@step("look for drift of jobs", attempts=3)
async def look_at_jobs(request: Request) -> list[tuple[JobRecord, tuple[Difference, ...]]]:
    """Every job that was released, and in what it differs from that."""
    if not request.jobs:
        return []
    history = await read_history(request.settings.bucket, request.app, request.environment)
    released = [job for name, job in sorted(released_jobs(history).items()) if name in request.jobs]
    live = await all_of([jobs.get_job(each.name) for each in released])
    ignore = request.manifest.drift.ignore
    return [(known, differences(known, job, ignore)) for known, job in zip(released, live, strict=True)]


@step("report drift of jobs", attempts=3)
async def report_job_drift(request: Request, found: Sequence[tuple[JobRecord, tuple[Difference, ...]]]) -> int:
    """A table of them; answers how many differ."""
    if not found:
        return 0
    drifted = sum(bool(each) for _, each in found)
    title = f"{request.app} in {request.environment}: {drifted} of {len(found)} jobs differ from what was released"
    shown = [row for known, each in found for row in rows(known, each)]
    line = "the job %(job)s: %(setting)s is %(live)s, was released as %(as released)s"
    await tell(request, "drift-jobs", title, shown, line)
    return drifted


def released_jobs(history: Iterable[ReleaseRecord]) -> dict[str, JobRecord]:
    """What the newest release that stands, and had the job, made of each; `history` is newest first."""
    return newest_of(history, lambda record: ((each.job, each) for each in record.jobs if each.template))


def differences(known: JobRecord, live: RunJob | None, ignore: Sequence[str]) -> tuple[Difference, ...]:
    """In what slipway.yaml said of it; the rest is for others to change."""
    if live is None:
        return (Difference("job", "there", None),)
    said = [shown_as(path) for path in said_before(known.template) or ()]
    found = compare(_body(known.name, known.template), _body(known.name, recorded_job(live.template)), ignore)
    return tuple(each for each in found if is_below(each.path, said))


def _body(name: str, template: Mapping[str, Any]) -> dict[str, Any]:
    """In the form of a service, whose template is what the containers are in."""
    own = ("labels", "annotations", "template")
    return {
        "name": name,
        **{key: value for key, value in template.items() if key not in own},
        "template": template["template"],
    }


def rows(known: JobRecord, found: Sequence[Difference]) -> list[dict[str, str]]:
    return rows_of("job", known.job, found)
