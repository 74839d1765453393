"""What the pages repeat of the code is as the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.generators.pages import DOCS, pages, parts_of, refreshed
from docs.generators.settings import SECTIONS
from docs.generators.tables import table

ROOT = DOCS.parent
PARTS = [part for page in pages() for part in parts_of(page.read_text())]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(DOCS)))
def test_a_page_is_as_the_generators_write_it(page: Path) -> None:
    text = page.read_text()
    assert text == refreshed(text), "make docs-reference brings it up to date"


def test_no_part_stands_on_two_pages_and_none_is_forgotten() -> None:
    flows = {file.stem for file in (ROOT / "flows").glob("*.py") if file.stem != "__init__"}
    wanted = {
        *(("settings", section) for section in SECTIONS),
        *(("parameters", flow) for flow in flows),
        *((name, "") for name in ("benchmarks", "cleanup-roles", "commands", "kept-roles", "provision-roles", "roles")),
    }
    assert sorted(PARTS) == sorted(wanted)


def test_a_part_that_nobody_makes_is_noticed() -> None:
    with pytest.raises(KeyError):
        refreshed("<!-- generated: nothing -->\n<!-- end -->")


def test_only_what_is_between_the_comments_is_replaced() -> None:
    page = "before\n\n<!-- generated: roles -->\nold\n<!-- end -->\n\nafter\n"
    made = refreshed(page)
    assert made.startswith("before\n")
    assert made.endswith("\nafter\n")
    assert "old" not in made
    assert refreshed(made) == made


def test_a_cell_is_one_line_without_columns_or_tags_of_its_own() -> None:
    assert table(["key"], [["a|b\n<c>"]]).splitlines()[-1] == r"| a\|b &lt;c> |"
