"""What one entry of the error catalogue is, and how its words are found in a message."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.failures.cause import Cause, Transient

MAYBE, NO, YES = Transient.MAYBE, Transient.NO, Transient.YES  # the rules read as a table


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of failure. `problem` and `remedy` may have blanks, see `catalogue.blanks`. Any pattern is enough.

    Patterns are regular expressions over the lower-cased message, in which a space stands for any white space (and ` ?` for any or none), line
    ends included, because terminals and log viewers wrap messages. What they find begins and ends with whole words
    (`\\w*` stands for an open end), and so does each gap `[^\\n]{…}` in them. Parts of names are words of their own:
    `limit` is found in rate_limit and in rateLimit, not in delimit.
    """

    cause: Cause
    transient: Transient
    problem: str
    remedy: str
    link: str
    patterns: tuple[re.Pattern[str], ...]


def rule(cause: Cause, transient: Transient, problem: str, remedy: str, link: str, *patterns: str) -> Rule:
    """A rule of patterns written as in the catalogue; each alternative becomes a pattern of its own."""
    compiled = (_compiled(each) for pattern in patterns for each in alternatives(pattern))
    return Rule(cause, transient, problem, remedy, link, tuple(compiled))


def find(pattern: re.Pattern[str], lowered: str, text: str) -> re.Match[str] | None:
    """Where a rule's pattern fits; `text` is the same message as `lowered`, with its capitals."""
    found = pattern.search(lowered)
    while found and not _begins_a_word(text, found.start()):
        found = pattern.search(lowered, found.start() + 1)
    return found


def alternatives(pattern: str) -> Iterator[str]:
    """The parts between the bars that stand in no group."""
    depth, begin = 0, 0
    for sign in re.finditer(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[()|]", pattern, re.DOTALL):
        if sign[0] == "|" and depth == 0:
            yield pattern[begin : sign.start()]
            begin = sign.end()
        depth += {"(": 1, ")": -1}.get(sign[0], 0)
    yield pattern[begin:]


_GAP = re.compile(r"(?:\[\^\\n\]|\[\\s\\S\])(?:\*|\{\d+,\d+\})")
_EDGE = r"(?:(?<![a-z0-9])|(?![a-z0-9]))"  # not inside a word


def _compiled(pattern: str) -> re.Pattern[str]:
    bounded = _GAP.sub(lambda gap: f"{_EDGE}{gap[0]}{_EDGE}", pattern)
    return re.compile(
        f"(?:{bounded}){_EDGE}".replace(" ?", r"\s*").replace(" ", r"\s+")
    )  # the left edge: see `find`, which is faster


def _begins_a_word(text: str, at: int) -> bool:
    if at == 0 or not _plain(text[at]) or not _plain(text[at - 1]):
        return True
    if not text[at].isupper():
        return False
    return text[at - 1].islower() or text[at + 1 : at + 2].islower()  # rate|Limit, SSL|Error


def _plain(character: str) -> bool:
    return character.isascii() and character.isalnum()
