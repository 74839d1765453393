"""The log of a run as it is kept: gzipped JSON lines, the first one about the run itself. Pure.

What a later version of Slipway adds is left alone by this one, and what an earlier one did not write has a default.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.schemas.objects import Artifact, FlowRun, Log
from prefect.client.schemas.objects import State as RunState
from pydantic import BaseModel, ConfigDict

from tasks.failures.redact import redact

KIND = "application/gzip"
ENDING = ".jsonl.gz"
NEVER = datetime.min.replace(tzinfo=UTC)


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Made(_Kept):
    """An artifact of the run, as it was last."""

    key: str
    kind: str = ""  # table, markdown, progress, link …
    title: str = ""
    data: str = ""  # text, or JSON


class RunSaid(_Kept):
    """What Prefect says of the run; times are UTC."""

    id: UUID
    name: str
    flow: str = ""
    state: str = ""  # Completed, Failed …
    message: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    tags: tuple[str, ...] = ()
    artifacts: tuple[Made, ...] = ()

    def keeping(self, before: RunSaid) -> RunSaid:
        """With the artifacts that were kept before, whatever Prefect has deleted since."""
        known = {each.key: each for each in (*before.artifacts, *self.artifacts)}
        return self.model_copy(update={"artifacts": tuple(known[key] for key in sorted(known))})


class Line(_Kept):
    """One line of its log."""

    id: UUID
    at: datetime
    level: int  # as Python's logging counts: 20 INFO, 30 WARNING, 40 ERROR
    logger: str = ""
    task_run: UUID | None = None
    message: str


class KeptLog(_Kept):
    """All of it, the lines in the order of their times."""

    run: RunSaid
    lines: tuple[Line, ...] = ()


def said_of(run: FlowRun, state: RunState | None = None, flow: str = "", artifacts: Iterable[Artifact] = ()) -> RunSaid:
    """state: the one that it is ending in, where Prefect does not say so yet."""
    if run.state and run.state.is_final():
        state = run.state
    return RunSaid(
        id=run.id,
        name=run.name,
        flow=flow,
        state=(state.name or "") if state else "",
        message=redact((state.message or "") if state else ""),
        started=run.start_time,
        ended=run.end_time,
        tags=tuple(sorted(run.tags)),
        artifacts=made_of(artifacts),
    )


def made_of(artifacts: Iterable[Artifact]) -> tuple[Made, ...]:
    """Of several with one key the last one; without anything that must not be shown."""
    found = {
        each.key: Made(
            key=each.key,
            kind=each.type or "",
            title=redact(each.description or ""),
            data=redact(each.data if isinstance(each.data, str) else json.dumps(each.data)),
        )
        for each in sorted(artifacts, key=lambda each: (each.updated or each.created or NEVER, str(each.id)))
        if each.key
    }
    return tuple(found[key] for key in sorted(found))


def line_of(log: Log) -> Line:
    """Without anything that must not be shown."""
    return Line(
        id=log.id,
        at=log.timestamp,
        level=log.level,
        logger=log.name,
        task_run=log.task_run_id,
        message=redact(log.message),
    )


def merged(run: RunSaid, *lines: Sequence[Line]) -> KeptLog:
    """Each line once: what was kept before stays, whatever Prefect has deleted since."""
    once = {line.id: line for some in lines for line in some}
    return KeptLog(run=run, lines=tuple(sorted(once.values(), key=lambda line: (line.at, str(line.id)))))


def packed(log: KeptLog) -> bytes:
    """The same bytes for the same log, so that a write whose answer was lost is known again."""
    text = "".join(f"{each.model_dump_json()}\n" for each in (log.run, *log.lines))
    return gzip.compress(text.encode(), mtime=0)


def unpacked(content: bytes) -> KeptLog:
    """ValueError where that is no such log."""
    try:
        first, *others = (
            gzip.decompress(content).decode().rstrip("\n").split("\n")
        )  # a message may hold other line ends
    except (OSError, EOFError) as error:
        raise ValueError(f"it is not gzipped: {error}") from error
    return KeptLog(run=RunSaid.model_validate_json(first), lines=_lines(others))


def _lines(texts: Iterable[str]) -> tuple[Line, ...]:
    return tuple(Line.model_validate_json(text) for text in texts)
