"""The results of the benchmarks, as each benchmark wrote them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "benchmarks" / "results"
SHOWN = 40  # rows of a table; who wants more opens the file


def benchmarks() -> str:
    """All results one after the other, their headings one level lower, their long tables cut."""
    return "\n\n".join("\n".join(_shown(path)) for path in sorted(RESULTS.glob("*.md")))


def _shown(path: Path) -> Iterator[str]:
    for is_table, lines in groupby(path.read_text().strip().splitlines(), lambda line: line.startswith("|")):
        if is_table:
            yield from _cut(list(lines), path)
        else:
            yield from (f"#{line}" if line.startswith("#") else line for line in lines)


def _cut(rows: list[str], path: Path) -> Iterable[str]:
    head, body = rows[:2], rows[2:]
    more = len(body) - SHOWN
    if more <= 0:
        return rows
    return [*head, *body[:SHOWN], "", f"{more} more rows are in `{path.relative_to(ROOT)}`."]
