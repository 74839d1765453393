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
from tasks.failures.catalogue.projects import API_DISABLED, BILLING, ORG_POLICY
from tasks.failures.catalogue.resources import GONE_FOR_SURE, IMAGE_MISSING, NOT_FOUND
from tasks.failures.catalogue.rule import Rule, find
from tasks.failures.catalogue.stated import ANY, room_in
from tasks.failures.catalogue.statuses import STATUSES
from tasks.failures.catalogue.workload import (
    BUILD_STEP,
    BUILD_STEP_FOR_SURE,
    BUILD_WRAPPER,
    CONTAINER_CRASH,
    CONTAINER_PORT,
    CRASH_BEHIND_PORT,
    PROGRAM,
    PROGRAM_FOR_SURE,
    in_a_build,
)
from tasks.failures.errors import Cause

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
    *CONFLICT_FOR_SURE,
    *STATED_LIMIT,
    *TIMEOUT,
    *SERVICE_UNAVAILABLE,
    *PROGRAM_FOR_SURE,
    *MALFORMED_PUSH,
    *WORK_POOL,
    *BUILD_STEP,
    *PROGRAM,
    *CONFLICT,
    *ALREADY_EXISTS,
    *NOT_FOUND,
    *INVALID_CONFIG,
    *TRY_AGAIN,
    *STATE_LOCK_IN_GENERAL,
    *WRAPPERS,
)
BUILD_RULES = tuple(map(in_a_build, RULES))  # what the same words mean in a build's log


@dataclass(frozen=True, slots=True)
class Match:
    """The rule that a message fits, and the line of the message that made it fit."""

    rule: Rule
    line: str


def match(message: str, room: frozenset[Cause] | None = None, rules: Sequence[Rule] = RULES) -> Match | None:
    """The first rule, in order of precedence, that fits the message and whose cause is in `room`.

    Without `room` the statuses that the message states make it; if nothing in there fits, any cause will do.
    """
    text = legible(message)
    lowered = in_lower_case(text)
    if room is not None:
        return _first(text, lowered, room, rules)
    return _first(text, lowered, room_in(lowered), rules) or _first(text, lowered, ANY, rules)


def _first(text: str, lowered: str, room: frozenset[Cause], rules: Sequence[Rule]) -> Match | None:
    for rule in rules:
        if rule.cause not in room:
            continue
        for pattern in rule.patterns:
            if found := find(pattern, lowered, text):
                return Match(rule, _line_at(text, found.start()))
    return None


def in_lower_case(text: str) -> str:
    """ASCII only: keeps every position where it was."""
    return text.encode(errors="replace").lower().decode()


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
