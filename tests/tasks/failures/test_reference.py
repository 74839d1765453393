"""The page of all failures is current and whole."""

from __future__ import annotations

from pathlib import Path

from tasks.failures.catalogue.matching import RULES
from tasks.failures.cause import Cause
from tasks.failures.errors import SlipwayError
from tasks.failures.reference import page

PAGE = Path(__file__).parents[3] / "docs/reference/errors.md"


def test_the_published_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run `python -m tasks.failures.reference > docs/reference/errors.md`"


def test_every_kind_and_every_cause_has_its_entry() -> None:
    lines = page().splitlines()
    for kind in SlipwayError.__subclasses__():
        assert f"### {kind.__name__}" in lines
    for cause in Cause:
        assert f"### {cause}" in lines


def test_every_rule_is_a_row_and_no_blank_is_left_open() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| ") and not line.startswith("| what")]
    assert len(rows) == len({(rule.cause, rule.problem, rule.remedy, rule.transient, rule.link) for rule in RULES})
    assert not [row for row in rows if "{" in row]
