"""Shows in the terminal how a run has ended."""

from __future__ import annotations

from rich.console import Console

from cli import tables
from cli.runs import RunResult

HIDDEN = ("image", "revision")  # columns for other programs
SHOWN_TABLES = ("services", "stages", "cleanup", "findings", "drift", "resources", "outputs")


def show(outcome: RunResult, seconds: float, console: Console) -> None:
    """The result of a run: its tables, such as what serves where and how long each stage took; or why it failed."""
    if not outcome.ok:
        console.print(f"{outcome.name}: {outcome.state} after {seconds:.1f} s", style="bold red", highlight=False)
        console.print(outcome.message, markup=False, highlight=False, soft_wrap=True)
        console.print(f"Run: {outcome.url}", highlight=False)
        return
    for title in SHOWN_TABLES:
        if rows := outcome.tables.get(title):
            tables.show(console, [{name: row[name] for name in row if name not in HIDDEN} for row in rows], title)
    console.print(f"{outcome.name}: {outcome.state} after {seconds:.1f} s", style="bold green", highlight=False)
    console.print(f"Run: {outcome.url}", highlight=False)
