"""From a plan to what was done: the plan as a file, the check before each delete, what a run left to do. Pure."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from tasks.cleanup.engine.model import CleanupOutcome, CleanupStep, Entry, Go, Item, Plan, Recheck, Skip
from tasks.failures.errors import ParameterError

SETTLED = frozenset({CleanupOutcome.DONE, CleanupOutcome.ALREADY_GONE})


@dataclass(frozen=True, slots=True)
class _File:
    digest: str
    plan: Plan


_PLAN: TypeAdapter[Plan] = TypeAdapter(Plan)
_STEPS: TypeAdapter[Sequence[CleanupStep]] = TypeAdapter(Sequence[CleanupStep])
_FILE: TypeAdapter[_File] = TypeAdapter(_File)
_WRITTEN_AT_ONCE = 1000  # steps: a plan may have a hundred thousand, which are too large to be in memory several times


def plan_digest(plan: Plan) -> str:
    """SHA-256, as 64 hex digits, of everything in the plan: what an approval refers to."""
    digest = hashlib.sha256()
    for piece in _pieces(plan):
        digest.update(piece)
    return digest.hexdigest()


def to_json(plan: Plan) -> bytes:
    text = io.BytesIO()
    text.write(b'{"digest":"%s","plan":' % plan_digest(plan).encode())
    text.writelines(_pieces(plan))
    text.write(b"}")
    return text.getvalue()


def _pieces(plan: Plan) -> Iterator[bytes]:
    """The plan as JSON, piece by piece."""
    yield _PLAN.dump_json(replace(plan, steps=(), withheld=()), exclude_defaults=True)[:-1]
    for name, steps in (("steps", plan.steps), ("withheld", plan.withheld)):
        yield b',"%s":[' % name.encode()
        for start in range(0, len(steps), _WRITTEN_AT_ONCE):
            some = _STEPS.dump_json(steps[start : start + _WRITTEN_AT_ONCE], exclude_defaults=True)
            yield (b"," if start else b"") + some[1:-1]
        yield b"]"
    yield b"}"


def from_json(text: str | bytes) -> Plan:
    """The plan in a file; ParameterError when it is none, or was changed since it was written."""
    try:
        saved = _FILE.validate_json(text)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        problem = f"this is no clean-up plan: {error.errors()[0]['msg']}" + (f" at {place}." if place else ".")
        raise ParameterError(problem, "give the file that a dry run wrote.") from error
    if saved.digest != plan_digest(saved.plan):
        raise ParameterError(
            "the clean-up plan is not what the dry run wrote: its digest does not match.",
            "run a dry run again; change the policy or the protection list rather than the plan.",
        )
    return saved.plan


def is_stale(plan: Plan, now: datetime, limit_s: float) -> bool:
    """A plan older than `limit_s`, or made in the future, must not be run."""
    return not 0 <= (now - plan.made).total_seconds() <= limit_s


def outdated(saved: Plan, fresh: Plan) -> tuple[str, ...]:
    """What has changed under a saved plan, seen from one made just now; a plan with any of it must not be run.

    Every saved step has to be planned again, for the same item in the same state. What is gone by now does not matter,
    nor what else became deletable. A plan that was run in part is judged by its `remaining` steps.
    """
    if saved.app != fresh.app:
        return (f"The plan is for {saved.app}, not for {fresh.app}.",)
    if fresh.refusals:
        return fresh.refusals
    steps = {step.item.name: step for step in fresh.steps}
    kept = {kept.name: kept for kept in fresh.kept}
    problems = []
    for step in saved.steps:
        name, again = step.item.name, steps.get(step.item.name)
        if name in kept:
            problems.append(f"{name} stays now: {kept[name].why}, {kept[name].detail}.")
        elif again and again.item != step.item:
            problems.append(f"{name} has changed: {_changes(step.item, again.item)}.")
    return tuple(problems)


def recheck(before: Item, now: Item | None, used: Mapping[str, str]) -> Recheck:
    """Whether a planned step may still be taken, decided right before it.

    `now` is the item read again, None when it was not found. `used` is `plan.used` of the uses read again, and the
    `claims` of every step of this run that was skipped or failed.
    """
    if now is None:
        return Skip(CleanupOutcome.ALREADY_GONE, "not found any more")
    for key in (before.key, now.key, before.subject, now.subject):
        if key and key in used:
            return Skip(CleanupOutcome.SKIPPED, f"in use since the plan was made: {used[key]}")
    changes = _changes(before, now)
    return Skip(CleanupOutcome.SKIPPED, f"changed since the plan was made: {changes}") if changes else Go()


def claims(item: Item) -> dict[str, str]:
    """What an item that stays after all keeps from going in the same run: what it needs, and what is attached to it."""
    return dict.fromkeys((item.key, *item.needs), f"{item.name} stays")


def remaining(plan: Plan, journal: Iterable[Entry]) -> tuple[CleanupStep, ...]:
    """The steps that a run which ended half way has left to do, in their order; failed and skipped ones included."""
    settled = {(entry.name, entry.action) for entry in journal if entry.outcome in SETTLED}
    return tuple(step for step in plan.steps if (step.item.name, step.action) not in settled)


def _changes(before: Item, now: Item) -> str:
    return ", ".join(f.name for f in fields(Item) if getattr(before, f.name) != getattr(now, f.name))
