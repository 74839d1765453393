"""Tells how jobs and worker pools differ from what was released: in a table, and in the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prefect.logging import get_run_logger

from tasks.drift.compare import Difference
from tasks.model import Request
from tasks.orchestration.artifacts import table


def rows_of(what: str, name: str, found: Sequence[Difference]) -> list[dict[str, str]]:
    """A row for each difference; one that says so where there is none. what: the column of the name."""
    if not found:
        return [{what: name, "setting": "", "live": "", "as released": ""}]
    return [
        {what: name, "setting": each.path, "live": text(each.live), "as released": text(each.desired)} for each in found
    ]


async def tell(request: Request, key: str, title: str, shown: Sequence[Mapping[str, str]], line: str) -> None:
    """line: what the log says of a row that differs."""
    await table(request, key, shown, title)
    for row in shown:
        if row["setting"]:
            get_run_logger().warning(line, row)


def text(value: object) -> str:
    return "not set" if value is None else str(value)
