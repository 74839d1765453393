"""Tables in the terminal, whatever its width: what does not fit beside the rest goes below its row."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console

GAP, INDENT = "  ", "    "
LEAST = 20  # columns of a narrower one stay where they are: below they would be no easier to read


def show(console: Console, rows: Sequence[Mapping[str, object]], title: str = "") -> None:
    """Prints them; the columns are those of the first row."""
    if title:
        console.print(title, style="bold", highlight=False)
    for number, line in enumerate(lines(rows, console.width)):
        console.print(line, style=None if number else "bold", markup=False, highlight=False, soft_wrap=True)


def lines(rows: Sequence[Mapping[str, object]], width: int) -> Iterator[str]:
    """The table as text: its head, then each row, with `name: value` below for what is too wide."""
    texts = [{name: str(value) for name, value in row.items()} for row in rows]
    widths = {name: max(len(name), *(len(row[name]) for row in texts)) for name in rows[0]}
    below = too_wide(widths, width)
    beside = [name for name in widths if name not in below]
    yield _line({name: name for name in beside}, beside, widths)
    for row in texts:
        yield _line(row, beside, widths)
        for name in below:
            if row[name]:
                said = f"{name}: {row[name]}" if name else row[name]
                yield from textwrap.wrap(
                    said,
                    width,
                    initial_indent=INDENT,
                    subsequent_indent=INDENT + "  ",
                    break_long_words=False,
                    break_on_hyphens=False,
                )


def too_wide(widths: Mapping[str, int], width: int) -> list[str]:
    """The columns to be taken out, the widest first, until the others fit."""
    there, taken = dict(widths), []
    while sum(there.values()) + len(GAP) * (len(there) - 1) > width:
        widest = max(there, key=there.__getitem__)
        if there[widest] < LEAST or len(there) == 1:
            break
        taken.append(widest)
        del there[widest]
    return [name for name in widths if name in taken]


def _line(row: Mapping[str, str], names: Sequence[str], widths: Mapping[str, int]) -> str:
    return GAP.join(row[name].ljust(widths[name]) for name in names).rstrip()
