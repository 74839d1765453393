"""What a clean-up meant to do and what it did: a plan and a journal as files in the app's bucket.

The journal is written after every single step, so that a run that is killed leaves at most its last one unrecorded;
that one is found to be gone already when the plan is taken up again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC
from typing import Any

from pydantic import TypeAdapter

from infra.gcp.storage import objects
from tasks.cleanup.engine.model import Entry, Plan
from tasks.cleanup.engine.recheck import from_json, to_json
from tasks.failures.cause import Cause
from tasks.failures.errors import ParameterError
from tasks.orchestration.gather import all_of

ENTRIES: TypeAdapter[tuple[Entry, ...]] = TypeAdapter(tuple[Entry, ...])
JOURNAL = ".journal.json"
OPEN_AMONG = 16  # clean-ups exclude each other, and each one closes what was left open before it
SHOWN = 1000  # rows of a table: more, nobody reads
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z")


def folder(app: str) -> str:
    return f"cleanup/{app}/"


def is_of_a_plan(name: str) -> bool:
    """Whether a file of this short name is a plan or its journal."""
    return bool(_NAME.fullmatch(name.removesuffix(".json").removesuffix(".journal")))


def plan_name(plan: Plan) -> str:
    """By its time: 20260301T120000.000000Z; names sort by time."""
    return plan.made.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")


async def save_plan(bucket: str, plan: Plan) -> str:
    """Answers the plan's name. What stays, by far the most, is not saved: it is decided again before any step."""
    name = plan_name(plan)
    text = to_json(replace(plan, kept=()))
    await objects.write_text(bucket, f"{folder(plan.app)}{name}.json", text, 0)
    return name


async def read_plan(bucket: str, app: str, name: str) -> Plan:
    """Raises ParameterError when there is no such plan, or somebody changed it."""
    if not _NAME.fullmatch(name):
        raise ParameterError(f"{name!r} is no name of a clean-up plan.", "give the name that a dry run showed.")
    text = await objects.read_from(bucket, f"{folder(app)}{name}.json", 0)
    if not text:
        raise ParameterError(
            f"There is no clean-up plan {name} in gs://{bucket}/{folder(app)}.",
            "give the name that a dry run showed.",
            Cause.NOT_FOUND,
        )
    return from_json(text)


class Journal:
    """The journal of one plan, which may have been begun by a run that died."""

    def __init__(
        self, bucket: str, name: str, entries: Sequence[Entry], unlocked: Sequence[str], generation: int
    ) -> None:
        self.entries, self.unlocked = tuple(entries), tuple(unlocked)
        self._bucket, self._name, self._generation = bucket, name, generation

    @classmethod
    async def open(cls, bucket: str, plan: Plan) -> Journal:
        return await cls.read(bucket, f"{folder(plan.app)}{plan_name(plan)}{JOURNAL}")

    @classmethod
    async def read(cls, bucket: str, name: str) -> Journal:
        found = await objects.read_json(bucket, name)
        if found is None:
            return cls(bucket, name, (), (), 0)
        value, generation = found
        return cls(bucket, name, ENTRIES.validate_python(value["entries"], strict=False), value["unlocked"], generation)

    async def add(self, entry: Entry) -> None:
        self.entries = (*self.entries, entry)
        await self._write()

    async def note_unlocked(self, repositories: Sequence[str]) -> None:
        """Which repositories let tags be deleted for the moment."""
        self.unlocked = tuple(repositories)
        await self._write()

    async def _write(self) -> None:
        entries = ENTRIES.dump_python(self.entries, mode="json")
        value: dict[str, Any] = {"entries": entries, "unlocked": list(self.unlocked)}
        self._generation = await objects.write_json(self._bucket, self._name, value, self._generation)


async def left_open(bucket: str, app: str) -> Sequence[Journal]:
    """The journals of runs that ended while something was open; of any age that still matters."""
    names = [each.name for each in await objects.list_objects(bucket, folder(app)) if each.name.endswith(JOURNAL)]
    journals = await all_of([Journal.read(bucket, name) for name in sorted(names)[-OPEN_AMONG:]])
    return [each for each in journals if each.unlocked]
