"""What one entry of the error catalogue is, and how its words are found in a message."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tasks.failures.errors import Cause, Transient

MAYBE, NO, YES = Transient.MAYBE, Transient.NO, Transient.YES  # the rules read as a table


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of failure. `problem` and `remedy` may have blanks, see `tasks.catalogue.blanks`.

    The patterns are regular expressions over the lower-cased message in which a space stands for any white
    space, line ends included, because terminals and log viewers wrap messages. Any one of them is enough.
    """

    cause: Cause
    transient: Transient
    problem: str
    remedy: str
    link: str
    patterns: tuple[re.Pattern[str], ...]


def rule(cause: Cause, transient: Transient, problem: str, remedy: str, link: str, *patterns: str) -> Rule:
    """A rule of patterns written as in the catalogue."""
    return Rule(cause, transient, problem, remedy, link, tuple(_compiled(patterns)))


def _compiled(patterns: Iterable[str]) -> Iterable[re.Pattern[str]]:
    return (re.compile(pattern.replace(" ", r"\s+")) for pattern in patterns)
