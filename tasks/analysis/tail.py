"""What a revision's container said last: the first thing that whoever has to mend it wants to know."""

from __future__ import annotations

import re

from infra.gcp import logs
from infra.gcp.calls.errors import GoogleError
from tasks.failures.explain import explain

TAIL_LINES = 15
# What tells most of why a program ended, the best first: an exception by its name, then what speaks of an error at all.
_TELLING = (
    re.compile(r"^\s*[\w.]*(?:Error|Exception)\b[^:]{0,40}:\s*\S"),
    re.compile(r"^panic: |: not found$|\b(?:cannot|can't|could not|fatal|error)\b", re.IGNORECASE),
)


async def last_lines(project: str, owner: str, revision: str, of: tuple[str, str] = logs.SERVICE) -> list[str]:
    """The oldest first; what has the revision, and that, by their short names. Raises nothing: it is but a log."""
    try:
        return await logs.last_lines(project, owner, revision, TAIL_LINES, of)
    except GoogleError as error:
        return [f"(its log cannot be read: {explain(error).said})"]


def in_lines(said: list[str]) -> str:
    """To be put behind what is wrong."""
    lines = "\n".join(f"  {line}" for line in said)
    return f"\nIts last lines:\n{lines}" if said else "\nIts container wrote nothing."


def headline(said: list[str]) -> str:
    """The line that tells most of why the program ended; '' where none does."""
    for telling in _TELLING:
        if line := next((line.strip() for line in reversed(said) if telling.search(line)), ""):
            return line
    return ""
