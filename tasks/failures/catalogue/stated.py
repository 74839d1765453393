"""The status that a failure states, and the causes that its words may make of it.

A status narrows what the rest of a message can mean: `INVALID_ARGUMENT: Maven config is not supported` is a
wrong request, however much the word Maven sounds like a failed build.
"""

from __future__ import annotations

import re

from tasks.failures.cause import Cause

ANY = frozenset(Cause)
_REFUSED = frozenset(
    {
        Cause.PERMISSION,
        Cause.API_DISABLED,
        Cause.BILLING,
        Cause.CONFLICT,  # Cloud SQL's "another operation was already in progress"
        Cause.NOT_FOUND,
        Cause.ORG_POLICY,
        Cause.QUOTA,
        Cause.RATE_LIMIT,
    }
)
_WRONG = ANY - {Cause.BUILD_STEP_FAILED, Cause.CONTAINER_CRASH, Cause.NETWORK, Cause.TIMEOUT, Cause.SERVICE_UNAVAILABLE}
_LATE = frozenset({Cause.TIMEOUT, Cause.NETWORK})
_TAKEN = frozenset({Cause.ALREADY_EXISTS, Cause.CONFLICT})
_DOWN = frozenset({Cause.SERVICE_UNAVAILABLE, Cause.NETWORK, Cause.TIMEOUT, Cause.PERMISSION, Cause.RATE_LIMIT})
_TOO_MUCH = frozenset({Cause.RATE_LIMIT, Cause.QUOTA, Cause.SERVICE_UNAVAILABLE})
_ABSENT = frozenset({Cause.NOT_FOUND, Cause.IMAGE_MISSING})

# A status that is not listed (INTERNAL, UNKNOWN, FAILED_PRECONDITION, …) wraps anything.
_ROOM: dict[str, frozenset[Cause]] = {
    "ABORTED": frozenset({Cause.CONFLICT}),
    "ALREADY_EXISTS": _TAKEN,
    "CANCELLED": frozenset({Cause.OTHER, Cause.NETWORK}),
    "DEADLINE_EXCEEDED": _LATE,
    "INVALID_ARGUMENT": _WRONG,
    "NOT_FOUND": _ABSENT,
    "PERMISSION_DENIED": _REFUSED,
    "RESOURCE_EXHAUSTED": _TOO_MUCH,
    "UNAUTHENTICATED": frozenset({Cause.PERMISSION}),
    "UNAVAILABLE": _DOWN,  # also said when a token cannot be had
    "400": _WRONG,
    "401": frozenset({Cause.PERMISSION}),
    "403": _REFUSED,
    "404": _ABSENT,
    "408": _LATE,
    "409": _TAKEN | {Cause.STATE_LOCK},
    "412": frozenset({Cause.CONFLICT, Cause.ORG_POLICY, Cause.STATE_LOCK}),
    "429": _TOO_MUCH,
    "502": _DOWN,
    "503": _DOWN,
    "504": _LATE,
}

_NAMES = (
    "aborted|already_?exists|deadline_?exceeded|failed_?precondition|internal|invalid_?argument|not_?found"
    "|permission_?denied|resource_?exhausted|unauthenticated|unavailable|unknown"
)
_STATED = re.compile(  # as gcloud, gRPC, REST bodies, Google's clients and Terraform state it
    rf"""\(gcloud[\w.-]*\)\s+({_NAMES}):
       | statuscode\.({_NAMES})\b
       | \bcode\s=\s({_NAMES})\s+desc
       | generic::({_NAMES}):
       | "status"\s*:\s*"({_NAMES})"
       | \bgoogleapi:\s+(?:error\s+|got\shttp\sresponse\scode\s)(\d{{3}})\b
       | \bhttperror:?\s(\d{{3}})\b
       | <title>error\s(\d{{3}})\s
       | \bgoogle\.api_core\.exceptions\.(?!failedprecondition)\w+:\s(\d{{3}})\b
    """,
    re.VERBOSE,
)


def room_of(status: str) -> frozenset[Cause]:
    """What a failure of this canonical or HTTP status may be; ANY for a status that tells little."""
    return _ROOM.get(status, ANY)


def room_in(lowered: str) -> frozenset[Cause]:
    """What a lower-cased message may mean: errors wrap each other, so each status that it states makes room."""
    stated = {next(filter(None, found.groups())) for found in _STATED.finditer(lowered)}
    rooms = [_BY_PLAIN_NAME.get(each.replace("_", ""), ANY) for each in stated]
    return frozenset({Cause.OTHER}).union(*rooms) if rooms else ANY


_BY_PLAIN_NAME = {name.replace("_", "").lower(): room for name, room in _ROOM.items()}
