"""What a check says: problems with the command that removes each, one after the other or several at once."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.failures.cause import Cause
from tasks.model import Problem, Readiness

CONSOLE = "https://console.cloud.google.com"


def refuse(check: str, cause: Cause, problem: str, fix: str, link: str = "") -> Readiness:
    return Readiness(problems=(Problem(check, cause, problem, fix, link),))


def merge(parts: Iterable[Readiness]) -> Readiness:
    found = list(parts)
    return Readiness(
        problems=tuple(p for part in found for p in part.problems),
        gaps=tuple(dict.fromkeys(g for part in found for g in part.gaps)),
        notes=tuple(n for part in found for n in part.notes),
    )
