"""Rules fire on whole words, and the more telling one goes before the more general."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tasks.failures.catalogue.matching import RULES, in_lower_case, legible, match
from tasks.failures.catalogue.rule import MAYBE, Rule, alternatives, find, rule
from tasks.failures.cause import Cause, Transient
from tasks.failures.explain import explain

FILE = Path(__file__).parents[3] / "data/messages.jsonl"
MESSAGES = "\n\n".join(legible(json.loads(line)["text"]) for line in FILE.read_text().splitlines())
LOWERED = in_lower_case(MESSAGES)


def one(pattern: str) -> Rule:
    return rule(Cause.OTHER, MAYBE, "", "", "", pattern)


def fires(pattern: str, text: str) -> bool:
    return any(find(each, in_lower_case(text), text) for each in one(pattern).patterns)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("eusage", "code EUSAGE", True),
        ("eusage", "serviceusage.googleapis.com", False),
        ("cycle: ", "executing lifecycle: failed", False),
        ("reached", "breached", False),
        ("fail", "failure", False),
        (r"fail\w*", "failure", True),
        ("limit", "rate_limit", True),
        ("limit exceeded|limitexceeded", "rateLimitExceeded", True),
        ("error", "SSLError", True),
        ("error", "terror", False),
        (": eof", "Get x: EOF", True),
        (r"probe[^\n]{0,20} failed", "probes have failed", False),
        (r"probes?[^\n]{0,20} failed", "probes have failed", True),
        (r"a[^\n]{0,9}b", "a bb", False),
        ("two words", "two\n   words", True),
    ],
)
def test_a_pattern_fires_on_whole_words_only(pattern: str, text: str, expected: bool) -> None:
    assert fires(pattern, text) is expected


def test_a_bar_parts_alternatives_only_outside_of_groups_and_sets() -> None:
    assert list(alternatives(r"a|b(?:c|d)|[|]e|\|f")) == ["a", r"b(?:c|d)", "[|]e", r"\|f"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.cause}: {rule.problem[:40]}")
def test_no_alternative_of_any_rule_fires_inside_a_longer_word(rule: Rule) -> None:
    """What a real message is recognised by is not recognised once letters are glued to either end of it."""
    for pattern in rule.patterns:
        if not (found := find(pattern, LOWERED, MESSAGES)):
            continue
        words = LOWERED[found.start() : found.end()]
        if words[:1].isalnum():
            assert not _fits_at(pattern, f"q{words}", 1)
        if words[-1:].isalnum() and not _open(pattern):
            glued = pattern.match(f"{words}q")
            assert glued is None or glued.end() < len(words)


def _fits_at(pattern: re.Pattern[str], text: str, at: int) -> bool:
    found = find(pattern, text, text)
    return found is not None and found.start() == at


def _open(pattern: re.Pattern[str]) -> bool:
    """Whether it says that any word that begins so will do."""
    return re.search(r"\\[wS][*+]\)*(?:\?:)?|\(\?=|\\d\+?", pattern.pattern) is not None


@pytest.mark.parametrize(
    ("text", "cause", "transient"),
    [
        (
            'error creating NodePool: googleapi: Error 429: Too many operations: cluster "c" hits the concurrent '
            "operations quota 5, please try again later.",
            Cause.RATE_LIMIT,
            Transient.YES,
        ),
        ("HTTP 429: Too many operations, the service is busy, try again later", Cause.RATE_LIMIT, Transient.YES),
        (
            "FAILED_PRECONDITION: There is a conflicting operation in progress, the service is temporarily "
            "unavailable. Please try again later.",
            Cause.CONFLICT,
            Transient.YES,
        ),
        ("Error 409: conflicting operation: please retry", Cause.CONFLICT, Transient.YES),
        (
            'googleapi: Error 403: cluster quota reached: request requires "9" and is short "1", PERMISSION_DENIED',
            Cause.QUOTA,
            Transient.NO,
        ),
        ("ResponseError: code=403, message=The quota of clusters is used up.", Cause.QUOTA, Transient.NO),
        ("Revision 'a-00001-abc' exceeded its progress deadline", Cause.TIMEOUT, Transient.MAYBE),
        ("reason: ProgressDeadlineExceeded", Cause.TIMEOUT, Transient.MAYBE),
        ("PERMISSION_DENIED: The API requires a quota project, which is not set by default.", Cause.PERMISSION, None),
    ],
)
def test_the_more_telling_words_win(text: str, cause: Cause, transient: Transient | None) -> None:
    said = explain(text)
    assert said.cause is cause, said.evidence
    assert transient is None or said.transient is transient


def test_a_build_that_cannot_find_its_program_is_a_failed_build_not_a_failed_container() -> None:
    log = "FETCHSOURCE\nBUILD\nStep 3/4 : RUN npm ci\n/bin/sh: 1: npm: not found"
    said = explain(log)
    assert said.cause is Cause.BUILD_STEP_FAILED
    assert "run services logs" not in said.remedy


def test_a_step_that_deploys_fails_as_what_it_deploys_does() -> None:
    log = (
        "BUILD\nERROR: (gcloud.run.deploy) Revision 'a-00001-abc' is not ready. The user-provided container failed to "
        "start and listen on the port.\nModuleNotFoundError: No module named 'x'"
    )
    assert explain(log).cause is Cause.CONTAINER_CRASH


def test_patterns_can_be_left_out_to_measure_the_others() -> None:
    text = "The request has been throttled"
    patterns = frozenset(pattern for rule in RULES for pattern in rule.patterns)
    assert match(text) is not None
    assert match(text, without=patterns) is None
