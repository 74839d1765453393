"""The page that says what serves where: HTML from the server, for a phone as well; its script only asks for it anew."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import jinja2
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import ArtifactCollectionFilter, ArtifactCollectionFilterKey
from prefect.client.schemas.objects import ArtifactCollection
from prefect.exceptions import ObjectNotFound

from api.estate import Estate
from deployments.register import read_tagged
from tasks.history.record import ReleaseRecord, State
from tasks.history.status import Standing
from tasks.names.tags import REGISTERED, tags_of
from tasks.observe.serving import Serving
from tasks.observe.versions import Environment
from tasks.orchestration.artifacts import key

# What is read by colour is read by mark and word, too.
MARKS = {
    Standing.IN_STEP: ("=", "ok"),
    Standing.DIFFERS: ("≠", "bad"),
    Standing.MOVING: ("…", "busy"),
    Standing.NEVER: ("-", "busy"),
}
WAITING = ("Paused", "Suspended")  # how Prefect calls a run that waits for an approval
STATES = {State.RELEASED: "ok", State.FAILED: "bad", State.CANCELLED: "", State.STARTED: "busy"}


@dataclasses.dataclass(frozen=True, slots=True)
class Drift:
    """What the newest look for drift since the last release has found."""

    count: int  # services and settings that differ
    seen: str
    run: str


@dataclasses.dataclass(frozen=True, slots=True)
class Shown(Environment):
    """An environment as the page shows it."""

    drift: Drift | None = None  # nobody has looked
    left: tuple[ReleaseRecord, ...] = ()  # under way, though their runs are over
    forms: Mapping[str, str] = dataclasses.field(default_factory=dict)  # what can be started -> the id of its form

    @property
    def anchor(self) -> str:
        return f"{self.app}/{self.name}"

    @property
    def versions(self) -> list[str]:
        """What serves, each once."""
        return list(dict.fromkeys(version for row in self.rows for version in row.current))

    @property
    def newest(self) -> datetime | None:
        """When what should serve was released last."""
        return max((row.since for row in self.rows if row.since), default=None)

    @property
    def how(self) -> tuple[str, str]:
        """In a word, and its colour."""
        if any(problems([self])):
            return "✗ wrong", "bad"
        moving = not self.rows or any(not row.is_well for row in self.rows)
        return ("… under way" if self.rows else "- empty", "busy") if moving else ("✓ well", "ok")


async def shown(client: PrefectClient, estate: Estate) -> list[Shown]:
    """With what the newest run of `drift` has found there, unless something was released since, and where to start."""
    keys = [key(each.app, each.name, "drift") for each in estate.environments]
    wanted = ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(any_=keys))
    found = await client.read_latest_artifacts(artifact_filter=wanted, limit=200) if keys else []
    by_key = {str(each.key): each for each in found}
    deployments = await read_tagged(client, REGISTERED) if keys else {}
    environments = []
    for name, each in zip(keys, estate.environments, strict=True):
        tags = set(tags_of(each.app, each.name))
        forms = {full.split("/")[0]: str(one.id) for full, one in deployments.items() if tags <= set(one.tags)}
        fields = {field.name: getattr(each, field.name) for field in dataclasses.fields(Environment)}
        left = tuple([record for record in each.under_way if await _is_over(client, record, estate.read)])
        environments.append(Shown(**fields, drift=drift_of(by_key.get(name), each), left=left, forms=forms))
    return environments


async def _is_over(client: PrefectClient, record: ReleaseRecord, before: datetime) -> bool:
    """Whether its run had ended when the records were read, and so closes it no more; killed, above all."""
    try:
        run = await client.read_flow_run(UUID(record.run_id))
    except ValueError:  # no run of Prefect's
        return False
    except ObjectNotFound:
        return True
    return run.end_time is not None and run.end_time < before


def drift_of(artifact: ArtifactCollection | None, environment: Environment) -> Drift | None:
    """None where nobody has looked since the last release began."""
    newest = next(iter(environment.history), None)
    seen = artifact.updated if artifact else None
    if artifact is None or seen is None or newest is None or seen <= newest.started:
        return None
    return Drift(_drifted(artifact.data), f"{seen:%m-%d %H:%M}", str(artifact.flow_run_id))


def _drifted(data: Any) -> int:
    rows = json.loads(data) if isinstance(data, str) else data or []
    return sum(isinstance(row, dict) and row.get("drift") not in (None, "none") for row in rows)


def html(
    environments: Sequence[Shown],
    active: Sequence[Mapping[str, Any]],
    ui: str,
    read: datetime,
    now: datetime | None = None,
    once: str = "",
) -> str:
    """ui: where Prefect's is. active: as `api.runs` answers it. once: by which the page's policy knows its script."""
    wrong = list(problems(environments))
    template = _template()
    template.environment.filters["ago"] = lambda when: ago((now or datetime.now(UTC)) - when)
    return template.render(
        environments=environments,
        headline=headline(environments, wrong),
        noted=list(notes(environments)),
        waiting=WAITING,
        active=active,
        ui=ui,
        read=read.astimezone(UTC),
        well=not wrong,
        wrong=wrong,
        many=sum(len(each.rows) for each in environments),
        marks=MARKS,
        states=STATES,
        once=once,
    )


def headline(environments: Sequence[Shown], wrong: Sequence[str]) -> str:
    if not environments:
        return "Nothing was released yet"
    return "Something is wrong" if wrong else "All is well"


def notes(environments: Sequence[Shown]) -> Iterator[str]:
    """What did not work, though users have what they had before."""
    for each in environments:
        newest = next((record for record in each.history if record.state is not State.STARTED), None)
        if newest and newest.state is State.FAILED and not newest.is_open:
            why = f": {newest.reason.splitlines()[0][:160]}" if newest.reason else ""
            yield f"{each.app} in {each.name}: the last release, {newest.version}, failed{why}"


def problems(environments: Sequence[Shown]) -> Iterator[str]:
    """One line for each thing that a person should look at."""
    for each in environments:
        where = f"{each.app} in {each.name}"
        if each.problem:
            yield f"{where} cannot be read."
        for row in each.rows:
            if row.standing is Standing.DIFFERS:
                serves = ", ".join(row.current) or "nothing"
                yield f"{where}: {row.service} in {row.region} should serve {row.desired} and serves {serves}."
        for record in each.open_records:
            yield f"{where}: {record.version} ({record.state}) has not been tidied up after; reconcile does that."
        for record in each.left:
            yield f"{where}: {record.version} was begun, and its run is over; reconcile tidies up after it."
        for row in each.rows:
            for why in row.failures:
                yield f"{where}: {row.service} in {row.region} answers with errors: {why}."
        if each.drift and each.drift.count:
            yield f"{where} has drifted."


def measured(serving: Serving) -> str:
    """What users got of it, in one line."""
    found = serving.measured
    if found is None:
        return f"errors and latency are not known: {serving.unknown}"
    if not found.requests:
        return "last hour: no requests"
    many = f"{found.requests:,} request{'s' if found.requests != 1 else ''}"
    took = f"p95 {found.p95_ms:,.0f} ms" if found.p95_ms is not None else "latency not known"
    return f"last hour: {many}, {found.error_share or 0:.1%} errors, {took}"


def ago(span: Any) -> str:
    """In the largest unit of which there are two at least."""
    seconds = max(0, int(span.total_seconds()))
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} seconds ago"


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["ago"] = ago
    environment.filters["moment"] = _moment
    environment.filters["measured"] = measured
    return environment.from_string((Path(__file__).parent / "page.html").read_text())
