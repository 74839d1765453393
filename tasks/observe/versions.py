"""What should serve and what does, of every environment that anything was ever released to.

Neither a repository nor slipway.yaml is needed: the records keep it, and Prefect remembers where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from tasks.analysis.metrics import rules_for
from tasks.failures.errors import SlipwayError
from tasks.failures.explain import explain
from tasks.history.record import ReleaseRecord, State
from tasks.history.status import Standing, Status, read_live
from tasks.manifest.manifest import Manifest
from tasks.observe.archive import Shelf
from tasks.observe.read import Records
from tasks.observe.serving import Serving, read_serving
from tasks.orchestration.gather import all_of
from tasks.release.recall import manifest_of


@dataclass(frozen=True, slots=True)
class Row:
    """One service in one region, or a worker pool."""

    service: str
    region: str
    desired: str
    current: Mapping[str, int]  # version -> percent
    standing: Standing
    since: datetime | None  # when the release ended that brought what should serve
    by: str
    run_id: str
    url: str = ""
    kind: str = "service"
    serving: tuple[Serving, ...] = ()

    @property
    def failures(self) -> tuple[str, ...]:
        """Why, of each version whose users get too many errors."""
        return tuple(each.measured.failing for each in self.serving if each.measured and each.measured.failing)

    @property
    def is_well(self) -> bool:
        return self.standing is Standing.IN_STEP and not self.failures


@dataclass(frozen=True, slots=True)
class Environment:
    """Of one app. problem: why it could not be read, '' where it could."""

    app: str
    name: str
    rows: tuple[Row, ...] = ()
    history: tuple[ReleaseRecord, ...] = ()  # newest first
    problem: str = ""

    @property
    def open_records(self) -> tuple[ReleaseRecord, ...]:
        """Releases that have ended, and still owe something."""
        return tuple(each for each in self.history if each.is_open and each.state is not State.STARTED)

    @property
    def under_way(self) -> tuple[ReleaseRecord, ...]:
        return tuple(each for each in self.history if each.state is State.STARTED)

    @property
    def is_well(self) -> bool:
        return not self.problem and not self.open_records and all(row.is_well for row in self.rows)


async def read_environment(shelf: Shelf, since: datetime, records: Records) -> Environment:
    """With the releases since then, and those before up to one that stands. Raises nothing."""
    try:
        history = await records.since(shelf.bucket, shelf.app, shelf.environment, since)
        text = manifest_of(history)
        if text is None:
            return Environment(shelf.app, shelf.environment, history=tuple(history))
        manifest = Manifest.model_validate(text)
        settings = manifest.environment(shelf.environment)
        found = await read_live(manifest, settings)
        rules = rules_for(settings, len(manifest.services))
        serving = await all_of([read_serving(status, live, rules) for status, live in found])
    except ValidationError as error:
        problem = f"the slipway.yaml of its last release cannot be read any more: {error.error_count()} problems"
        return Environment(shelf.app, shelf.environment, problem=problem)
    except SlipwayError as error:
        return Environment(shelf.app, shelf.environment, problem=error.problem)
    except Exception as error:  # whatever Google says
        return Environment(shelf.app, shelf.environment, problem=explain(error).said)
    rows = tuple(row_of(each, history, how) for (each, _), how in zip(found, serving, strict=True))
    return Environment(shelf.app, shelf.environment, rows, tuple(history))


def row_of(status: Status, history: Sequence[ReleaseRecord], serving: tuple[Serving, ...] = ()) -> Row:
    """`history` is newest first."""
    brought = next((each for each in history if each.state is State.RELEASED and has(each, status)), None)
    return Row(
        service=status.service,
        region=status.region,
        desired=status.desired,
        current=status.current,
        standing=status.standing,
        since=brought.finished if brought else None,
        by=who(brought) if brought else "",
        run_id=brought.run_id if brought else "",
        url=status.url,
        kind=status.kind,
        serving=serving,
    )


def has(record: ReleaseRecord, status: Status) -> bool:
    """Whether the release was of that service there."""
    if status.kind != "service":
        return any(each.pool == status.service and each.revision for each in record.pools)
    here = (status.service, status.region)
    return any((each.service, each.region) == here and each.revision for each in record.targets)


def who(record: ReleaseRecord) -> str:
    """Who answers for the release, as far as it is known."""
    return record.approval.who if record.approval else record.trigger


def as_json(environment: Environment) -> dict[str, Any]:
    """For other programs."""
    return {
        "app": environment.app,
        "environment": environment.name,
        "well": environment.is_well,
        "problem": environment.problem,
        "services": [
            {
                "service": row.service,
                "kind": row.kind,
                "region": row.region,
                "desired": row.desired,
                "current": dict(row.current),
                "standing": str(row.standing),
                "since": row.since.isoformat() if row.since else None,
                "by": row.by,
                "run": row.run_id,
                "url": row.url,
                "serving": [_as_json(each) for each in row.serving],
            }
            for row in environment.rows
        ],
    }


def _as_json(serving: Serving) -> dict[str, Any]:
    measured = serving.measured
    return {
        "version": serving.version,
        "revision": serving.revision,
        "requests": measured.requests if measured else None,
        "error_share": measured.error_share if measured else None,
        "p95_ms": measured.p95_ms if measured else None,
        "failing": measured.failing if measured else "",
        "unknown": serving.unknown,
        "settings": serving.settings,
    }
