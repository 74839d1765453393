"""The places to which lines of runs are sent while they are written, as $SLIPWAY_LOG_MIRROR says.

SLIPWAY_LOG_MIRROR="console cloud-logging:acme-prod firestore:acme-prod redis://cache.internal:6379/0"
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra.gcp import firestore, logs
from infra.gcp.firestore import Document, Value
from infra.gcp.logs import WrittenLine
from tasks.failures.redact import redact
from tasks.orchestration.channel import Entry, Sink, Standing

VARIABLE = "SLIPWAY_LOG_MIRROR"
LOG = "slipway"  # its name in Cloud Logging
RUNS = "deployments"  # the collection in Firestore, a document for each run; its lines are in the one below, LINES
LINES, ARTIFACTS = "logs", "artifacts"
STREAM = "slipway:logs:"  # what a run's stream is called in Redis; its id follows
LONGEST_STREAM, KEPT_S = 100_000, 7 * 24 * 3600
SIDE_BY_SIDE = 4  # batches on their way where lines are in order by their time, however they arrive
SEVERITIES = ((logging.CRITICAL, "CRITICAL"), (logging.ERROR, "ERROR"), (logging.WARNING, "WARNING"), (0, "INFO"))


@dataclass(frozen=True, slots=True)
class Console:
    """Standard output, one JSON value a line, as Cloud Run's and Kubernetes' own logging read it.

    https://cloud.google.com/logging/docs/structured-logging
    """

    name: str = "the console"
    at_once: int = 1

    async def send(self, batch: Sequence[Entry]) -> None:
        sys.stdout.write("".join(f"{json.dumps(structured(each))}\n" for each in batch))
        sys.stdout.flush()


@dataclass(frozen=True, slots=True)
class CloudLogging:
    """The log `slipway` of a project; an entry that is sent twice is kept once."""

    project: str

    @property
    def name(self) -> str:
        return f"Cloud Logging of {self.project}"

    @property
    def at_once(self) -> int:
        return SIDE_BY_SIDE

    async def send(self, batch: Sequence[Entry]) -> None:
        lines = [
            WrittenLine(
                id=f"{each.run}-{each.at:.6f}-{each.number}",
                at=datetime.fromtimestamp(each.at, UTC),
                severity=severity(each.level),
                message=each.message,
                labels=labels(each),
                trace=each.run.replace("-", ""),
            )
            for each in batch
        ]
        await logs.write_lines(self.project, LOG, lines)


@dataclass(frozen=True, slots=True)
class Firestore:
    """deployments/RUN with status, stage and progress; below it logs/…, in order by `timestamp`, and artifacts/KEY.

    A page listens to all three. Rules that let it read are in deployments/firestore.rules.
    """

    project: str
    database: str = "(default)"

    @property
    def name(self) -> str:
        return f"Firestore of {self.project}"

    @property
    def at_once(self) -> int:
        return SIDE_BY_SIDE

    async def send(self, batch: Sequence[Entry]) -> None:
        """A line that is sent again replaces itself."""
        await firestore.write(self.project, self.database, documents(batch))


@dataclass(frozen=True, slots=True)
class RedisStream:
    """A stream for each run, `slipway:logs:RUN`, for a week after its last line."""

    url: str

    @property
    def name(self) -> str:
        return f"Redis at {redact(self.url).rpartition('@')[2].removeprefix('redis://')}"

    @property
    def at_once(self) -> int:
        return 1  # a stream is in the order in which it is written

    async def send(self, batch: Sequence[Entry]) -> None:
        """Of a batch that is tried again, lines may be there twice, with the same number."""
        from redis.asyncio import Redis  # few runs need it

        async with Redis.from_url(self.url, socket_timeout=5, socket_connect_timeout=5) as client:
            pipeline = client.pipeline(transaction=False)
            for each in batch:
                said: dict[Any, Any] = {"at": f"{each.at:.6f}", "number": str(each.number), "level": str(each.level)}
                said |= {"run_name": each.run_name, "message": each.message}
                pipeline.xadd(f"{STREAM}{each.run}", said, maxlen=LONGEST_STREAM, approximate=True)
            for run in {each.run for each in batch}:
                pipeline.expire(f"{STREAM}{run}", KEPT_S)
            await pipeline.execute()


def boards() -> list[Firestore]:
    """The places where it stands how runs are, as the environment names them."""
    return [each for each in sinks_of(os.environ.get(VARIABLE, ""))[0] if isinstance(each, Firestore)]


def sinks_of(text: str) -> tuple[list[Sink], list[str]]:
    """The places that are named, separated by white space; and words that name none."""
    found: list[Sink] = []
    unknown = []
    for word in text.split():
        if word == "console":
            found.append(Console())
        elif word.startswith("cloud-logging:") and word != "cloud-logging:":
            found.append(CloudLogging(word.partition(":")[2]))
        elif word.startswith("firestore:") and len(word) > len("firestore:"):
            project, _, database = word.partition(":")[2].partition("/")
            found.append(Firestore(project, database or "(default)"))
        elif word.startswith(("redis://", "rediss://")):
            found.append(RedisStream(word))
        else:
            unknown.append(redact(word))
    return found, unknown


def documents(batch: Sequence[Entry]) -> list[Document]:
    """What is written for these entries."""
    written: list[Document] = []
    for each in batch:
        run = f"{RUNS}/{each.run or 'none'}"
        written += [_line(run, each)] if each.standing is None else _standing(run, each, each.standing)
    return written


def _line(run: str, entry: Entry) -> Document:
    """Its id says nothing of its place: ids that grow would all be written to the same spot of the database.

    https://firebase.google.com/docs/firestore/best-practices#document_ids
    """
    at = datetime.fromtimestamp(entry.at, UTC)
    known = hashlib.sha256(f"{entry.at:.6f} {entry.number} {entry.message}".encode()).hexdigest()[:20]
    fields: dict[str, Value] = {"timestamp": at, "number": entry.number, "level": severity(entry.level)}
    fields |= {"message": entry.message, "task_run": entry.task_run}
    return Document(f"{run}/{LINES}/{known}", fields)


def _standing(run: str, entry: Entry, standing: Standing) -> list[Document]:
    """Only what it says is changed."""
    said: dict[str, Value | None] = {
        "name": entry.run_name or None,
        "status": standing.status,
        "stage": standing.stage,
        "progress": standing.progress,
        "app": standing.app,
        "environment": standing.environment,
        "message": standing.message,
        "started": standing.started,
        "ended": standing.ended,
    }
    known: dict[str, Value] = {field: value for field, value in said.items() if value is not None}
    known["updated"] = datetime.fromtimestamp(entry.at, UTC)
    artifacts = [
        Document(f"{run}/{ARTIFACTS}/{each.key}", {"type": each.kind, "title": each.title, "data": each.data})
        for each in standing.artifacts
    ]
    return [Document(run, known, merge=True), *artifacts]


def severity(level: int) -> str:
    return next(name for least, name in SEVERITIES if level >= least)


def labels(entry: Entry) -> dict[str, str]:
    said = {"run": entry.run, "run_name": entry.run_name, "task_run": entry.task_run}
    said |= {"app": entry.app, "environment": entry.environment}
    return {name: value for name, value in said.items() if value}


def structured(entry: Entry) -> dict[str, object]:
    return {
        "severity": severity(entry.level),
        "time": datetime.fromtimestamp(entry.at, UTC).isoformat(),
        "message": entry.message,
        "logging.googleapis.com/labels": labels(entry),
    }
