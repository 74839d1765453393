"""Finds the failing step in a Cloud Build log, and why it failed.

A build with several steps prefixes each line with `Step #N - "id": `; a build with one step prefixes none. The
real cause stands in the failing step's last lines, the line `ERROR: build step 2 … failed` only wraps it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tasks.failures.catalogue.blanks import NOTHING, Known, fill
from tasks.failures.catalogue.matching import BUILD_RULES, RULES, WRAPPERS, Match, match
from tasks.failures.cause import Cause, Transient
from tasks.failures.redact import redact

FETCH_SOURCE = "fetch source"
PUSH = "push"

_TAIL_LINES = 30  # the cause is near the end; further up, tools mention errors that they got over
_SHOWN_LINES = 20

_IS_A_BUILD_LOG = re.compile(
    r"^(?:FETCHSOURCE|BUILD|Starting Step #\d+.*|error building (?:image|stage): .*)$", re.MULTILINE
)
_PREFIX = re.compile(r"^Step #(\d+)(?: - \"([^\"]*)\")?: ?")
_STARTED = re.compile(r"^(?:Starting|Finished) Step #\d+")
_STEP_FAILED = re.compile(r"build step (\d+) \"[^\"]*\" failed")
_PHASE_FAILED = (
    (PUSH, re.compile(r"error pushing image|failed to push|Docker image push failure", re.IGNORECASE)),
    (FETCH_SOURCE, re.compile(r"error fetching (?:source|storage)|failed to fetch source", re.IGNORECASE)),
)
_NOISE = re.compile(
    r"^(?:npm (?:warn|notice)|\[notice\]|deprecat|warning: (?!retrying)|debconf:|WARN\b)", re.IGNORECASE
)
_DEPLOYS = re.compile(r"Cloud Run|\(gcloud\.[\w.]*\b(?:run|functions|deploy)\b|[Rr]evision '|terraform|googleapi:")
_FAILED_STATUSES = frozenset({"FAILURE", "TIMEOUT", "INTERNAL_ERROR", "CANCELLED", "EXPIRED"})


class Step(Protocol):
    """What the Cloud Build API says of a step; `infra.gcp.builds.Step` is one."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...  # the builder's image
    @property
    def status(self) -> str: ...


@dataclass(frozen=True, slots=True)
class BuildDiagnosis:
    """Which step of a build failed, and why. Holds no secrets."""

    step: str  # the step's id, else its builder's image, else "step 2"; FETCH_SOURCE or PUSH; "" if unknown
    cause: Cause
    headline: str  # the log line that names the cause, "" for an empty log
    last_lines: tuple[str, ...]  # of the failing step, without the prefix, at most 20
    remedy: str  # "" if the cause is not known
    transient: Transient


def diagnose(log: str, steps: Sequence[Step] = (), known: Known = NOTHING) -> BuildDiagnosis:
    """`steps` are the build's, in order: they name the failing step when the log alone does not."""
    lines = log.splitlines()
    number = _failed_number(lines, steps)
    shown = [line for line in _lines_of(lines, number) if line.strip()]
    found = _in_a_build(lines)
    headline = found.line if found else next((line for line in reversed(shown) if line.strip()), "")
    return BuildDiagnosis(
        step=_phase(lines) if number is None else _name(number, lines, steps),
        cause=found.rule.cause if found else Cause.BUILD_STEP_FAILED,
        headline=redact(headline.strip()),
        last_lines=tuple(redact(line) for line in shown[-_SHOWN_LINES:]),
        remedy=fill(found.rule.remedy, redact(log), known) if found else "",
        transient=found.transient if found else Transient.NO,
    )


def recognise(text: str, without: frozenset[re.Pattern[str]] = frozenset()) -> Match | None:
    """What the catalogue says of a message; of a build log, what it says of the failing step.

    without: see `match`.
    """
    if not _IS_A_BUILD_LOG.search(text):
        return match(text, without=without)
    return _in_a_build(text.splitlines(), without)


def _in_a_build(lines: Sequence[str], without: frozenset[re.Pattern[str]] = frozenset()) -> Match | None:
    """A step that deploys fails as what it deploys does; any other program that fails is a failed build."""
    telling = [line for line in _lines_of(lines, _failed_number(lines, ())) if not _NOISE.match(line.strip())]
    rules = RULES if _DEPLOYS.search("\n".join(telling)) else BUILD_RULES
    found = match("\n".join(telling[-_TAIL_LINES:]), None, rules, without)
    if found is None or found.rule in WRAPPERS:
        return match("\n".join(telling), None, rules, without) or found
    return found


def _failed_number(lines: Sequence[str], steps: Sequence[Step]) -> int | None:
    """The failing step's position; None if the fault lies outside the steps, or cannot be told."""
    if said := [int(found[1]) for line in lines if (found := _STEP_FAILED.search(line))]:
        return said[-1]
    if _phase(lines):
        return None
    return next((at for at, step in enumerate(steps) if step.status in _FAILED_STATUSES), None)


def _phase(lines: Sequence[str]) -> str:
    return next((phase for phase, sign in _PHASE_FAILED if any(sign.search(line) for line in lines)), "")


def _lines_of(lines: Sequence[str], number: int | None) -> list[str]:
    """The step's own lines without prefix, then those that belong to no step; all lines if no step is known."""
    chosen = []
    for line in lines:
        prefix = _PREFIX.match(line)
        if number is not None and prefix and int(prefix[1]) != number:
            continue
        if not _STARTED.match(line):
            chosen.append(line[prefix.end() :] if prefix else line)
    return chosen


def _name(number: int, lines: Sequence[str], steps: Sequence[Step]) -> str:
    if number < len(steps):
        return steps[number].id or steps[number].name
    ids = (found[2] for line in lines if (found := _PREFIX.match(line)) and int(found[1]) == number)
    return next(filter(None, ids), f"step {number}")
