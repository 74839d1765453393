"""What people are told when a run that ships has ended: one notice for each, with cause, remedy and state. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tasks.failures.redact import redact
from tasks.history.record import ReleaseRecord, State
from tasks.model import Outcome
from tasks.observe.figures import had_traffic

EVENT = "slipway.release."  # what the name of the event begins with; the kind follows
LONGEST = 2000  # characters of what is told; a chat shows no more


class Kind(StrEnum):
    """How it ended, for those who look after it."""

    RELEASED = "released"
    RECOVERED = "recovered"  # released, where the one before was not
    ROLLED_BACK = "rolled-back"  # by a person
    FAILED = "failed"  # users have noticed nothing
    TAKEN_BACK = "taken-back"  # it had traffic, and users have what they had before
    CANCELLED = "cancelled"
    ESCALATED = "escalated"  # a person is needed: traffic is not where it should be


@dataclass(frozen=True, slots=True)
class Notice:
    """title: in one line."""

    kind: Kind
    title: str
    text: str

    @property
    def event(self) -> str:
        return f"{EVENT}{self.kind}"


def notice_of(
    called: str, state: str, message: str, record: ReleaseRecord | None, before: ReleaseRecord | None = None
) -> Notice:
    """called: the run's name. state, message: as Prefect says. before: the release that ended before this one."""
    kind = kind_of(state, record, before)
    name = f"{record.app} {record.version} in {record.environment}" if record else called
    reason = record.reason if record and record.reason else ("" if state == "Completed" else message)
    by = f"Started by {record.trigger}." if record and record.trigger else ""
    said = "\n".join(filter(None, [redact(reason), *_places(record), by]))
    return Notice(kind, f"{name}: {WORDS[kind]}", said[:LONGEST])


WORDS = {
    Kind.RELEASED: "released",
    Kind.RECOVERED: "released, and well again",
    Kind.ROLLED_BACK: "a person went back to it",
    Kind.FAILED: "not released; nothing has changed for users",
    Kind.TAKEN_BACK: "taken back; users have what they had before",
    Kind.CANCELLED: "cancelled; traffic is as it was",
    Kind.ESCALATED: "NEEDS A PERSON: traffic is not where it should be",
}


def kind_of(state: str, record: ReleaseRecord | None, before: ReleaseRecord | None = None) -> Kind:
    """By the record where there is one: a run may fail after its release stands."""
    if record is None:
        return Kind.CANCELLED if state in ("Cancelled", "Cancelling") else Kind.FAILED
    if record.state is State.RELEASED:
        if record.action == "rollback":
            return Kind.ROLLED_BACK
        failed = before is not None and before.state is State.FAILED
        return Kind.RECOVERED if failed else Kind.RELEASED
    if record.is_open or any(target.outcome is Outcome.ESCALATED for target in record.targets):
        return Kind.ESCALATED
    if record.state is State.CANCELLED:
        return Kind.CANCELLED
    return Kind.TAKEN_BACK if had_traffic(record) else Kind.FAILED


def _places(record: ReleaseRecord | None) -> Sequence[str]:
    """What became of each service that is not as it was to be."""
    if record is None or record.state is State.RELEASED:
        return ()
    return [
        f"{target.place}: {target.outcome}{f', {redact(target.said)}' if target.said else ''}"
        for target in record.targets
        if target.outcome is not Outcome.UNTOUCHED
    ]
