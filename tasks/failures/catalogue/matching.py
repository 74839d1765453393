"""The error catalogue: every kind of failure that real messages were seen to tell, most telling words first.

The innermost cause is said in the most specific words, its wrappers ("Build failed", "Error 403", "Revision is
not ready") in general ones. So the order below is the precedence: what names a cause beyond doubt comes first,
bare status names and codes last. Within a group the order counts too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.failures.catalogue.access import PERMISSION
from tasks.failures.catalogue.availability import NETWORK, REQUEST_TIMEOUT, SERVICE_UNAVAILABLE, TIMEOUT, TRY_AGAIN
from tasks.failures.catalogue.capacity import NO_CAPACITY, QUOTA, QUOTA_FOR_SURE, RATE_LIMIT, STATED_LIMIT
from tasks.failures.catalogue.config import (
    INVALID_CONFIG,
    INVALID_FOR_SURE,
    MALFORMED_PUSH,
    NOT_AN_ERROR,
    OUT_OF_REACH,
    TOOL_WRAPPER,
    WORK_POOL,
)
from tasks.failures.catalogue.conflicts import (
    ALREADY_EXISTS,
    CONFLICT,
    CONFLICT_FOR_SURE,
    STATE_LOCK,
    STATE_LOCK_IN_GENERAL,
)
from tasks.failures.catalogue.hints import (
    ABSENT_HINT,
    API_HINT,
    BILLING_HINT,
    BUILD_HINT,
    BUSY_HINT,
    IMAGE_HINT,
    LOGIN_HINT,
    NETWORK_HINT,
    POLICY_HINT,
    PROGRAM_HINT,
    QUOTA_HINT,
    SERVICE_HINT,
    WRONG_HINT,
)
from tasks.failures.catalogue.names import without_names
from tasks.failures.catalogue.projects import API_DISABLED, BILLING, ORG_POLICY
from tasks.failures.catalogue.resources import GONE_FOR_SURE, IMAGE_MISSING, NOT_FOUND
from tasks.failures.catalogue.rule import Rule, find
from tasks.failures.catalogue.stated import ANY, room_in
from tasks.failures.catalogue.statuses import STATUSES
from tasks.failures.catalogue.steps import BUILD_STEP, BUILD_STEP_FOR_SURE, BUILD_WRAPPER, in_a_build
from tasks.failures.catalogue.workload import (
    CONTAINER_CRASH,
    CONTAINER_PORT,
    CRASH_BEHIND_PORT,
    PROGRAM,
    PROGRAM_FOR_SURE,
)
from tasks.failures.cause import Cause, Transient

__all__ = ["BUILD_RULES", "RULES", "WRAPPERS", "Match", "Rule", "match"]

WRAPPERS: tuple[Rule, ...] = (*BUILD_WRAPPER, *TOOL_WRAPPER, *STATUSES)  # they say that something failed, not what
RULES: tuple[Rule, ...] = (
    *NOT_AN_ERROR,
    *STATE_LOCK,
    *BILLING,
    *API_DISABLED,
    *NO_CAPACITY,
    *INVALID_FOR_SURE,
    *ORG_POLICY,
    *BUILD_STEP_FOR_SURE,
    *CONTAINER_CRASH,
    *REQUEST_TIMEOUT,
    *QUOTA_FOR_SURE,
    *RATE_LIMIT,
    *QUOTA,
    *GONE_FOR_SURE,
    *CRASH_BEHIND_PORT,
    *CONTAINER_PORT,
    *OUT_OF_REACH,
    *NETWORK,
    *IMAGE_MISSING,
    *PERMISSION,
    *API_HINT,
    *CONFLICT_FOR_SURE,
    *STATED_LIMIT,
    *QUOTA_HINT,
    *TIMEOUT,
    *SERVICE_UNAVAILABLE,
    *PROGRAM_FOR_SURE,
    *MALFORMED_PUSH,
    *WORK_POOL,
    *BUILD_STEP,
    *PROGRAM,
    *CONFLICT,
    *ALREADY_EXISTS,
    *BILLING_HINT,
    *POLICY_HINT,
    *BUILD_HINT,
    *IMAGE_HINT,
    *NOT_FOUND,
    *INVALID_CONFIG,
    *LOGIN_HINT,
    *NETWORK_HINT,
    *ABSENT_HINT,
    *TRY_AGAIN,
    *SERVICE_HINT,
    *STATE_LOCK_IN_GENERAL,
    *BUILD_WRAPPER,
    *TOOL_WRAPPER,
    *PROGRAM_HINT,
    *BUSY_HINT,
    *WRONG_HINT,
    *STATUSES,
)
BUILD_RULES = tuple(map(in_a_build, RULES))  # what the same words mean in a build's log


@dataclass(frozen=True, slots=True)
class Match:
    """The rule that a message fits, and the line of the message that made it fit."""

    rule: Rule
    line: str
    asks_again: bool = False  # the message itself says that a later try may succeed

    @property
    def transient(self) -> Transient:
        return Transient.MAYBE if self.asks_again and self.rule.transient is Transient.NO else self.rule.transient


def match(
    message: str,
    room: frozenset[Cause] | None = None,
    rules: Sequence[Rule] = RULES,
    without: frozenset[re.Pattern[str]] = frozenset(),
) -> Match | None:
    """The first rule, in order of precedence, that fits the message and whose cause is in `room`.

    Without `room` the statuses that the message states make it; if nothing in there fits, any cause will do.
    without: patterns that count as if they did not exist, to measure what the others are worth.
    """
    text = legible(message)
    lowered = without_names(in_lower_case(text))
    rooms = [room] if room is not None else [room_in(lowered), ANY]
    found = (_first(text, lowered, [rule for rule in rules if rule.cause in each], without) for each in rooms)
    return next(filter(None, found), None)


def _first(text: str, lowered: str, rules: Sequence[Rule], without: frozenset[re.Pattern[str]]) -> Match | None:
    for rule in rules:
        for pattern in rule.patterns:
            if without and pattern in without:
                continue
            if found := find(pattern, lowered, text):
                return Match(rule, _line_at(text, found.start()), _ASKS_AGAIN.search(lowered) is not None)
    return None


def in_lower_case(text: str) -> str:
    """ASCII only: keeps every position where it was."""
    return text.encode(errors="replace").lower().decode()


_ASKS_AGAIN = re.compile(r"\b(?:retry|try(?: it)? again|try) (?:later|in (?:a few|some|\d+) \w+)\b")
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_FRAMES = str.maketrans("│╷╵┃|", "     ")  # Terraform draws boxes round its errors
_TERRAFORM_PLACE = re.compile(  # where in the configuration; names there say nothing about the cause
    r"^[ \t]*(?:with [\w.\[\]\"-]+,|on \S+ line \d+(?:, in .*)?:?|(?![45]\d\d:)\d+: .*)$", re.MULTILINE
)


_HEAD, _TAIL = 4_000, 16_000  # characters; a failure names itself where it begins or where it ends
_SHOWN = 500  # characters of a line, which may be a whole file


def legible(message: str) -> str:
    """Without colours and frames, and with the escaped line ends of a quoted message as real ones."""
    if len(message) > _HEAD + _TAIL:
        message = f"{message[:_HEAD]}\n{message[-_TAIL:]}"
    text = _TERMINAL_CODES.sub("", message).translate(_FRAMES)
    text = text.replace("\\r\\n", "\n").replace("\\n", "\n").replace("\\t", "\t")
    return _TERRAFORM_PLACE.sub("", text)


def _line_at(text: str, position: int) -> str:
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    return text[start : end if end >= 0 else len(text)].strip()[:_SHOWN]
