"""Work side by side that ends as one."""

from __future__ import annotations

import asyncio

import pytest

from tasks.failures.errors import SlipwayError, SourceError, VersionError
from tasks.orchestration.gather import both


async def one() -> int:
    return 1


async def failing(error: SlipwayError) -> int:
    raise error


async def never(ended: list[str]) -> str:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("cancelled")
    return ""


async def test_each_of_two_answers_its_own() -> None:
    async def word() -> str:
        return "two"

    assert await both(one(), word()) == (1, "two")


async def test_of_two_that_fail_both_are_told() -> None:
    with pytest.raises(SourceError, match=r"no source\nAlso: no version"):
        await both(failing(SourceError("no source")), failing(VersionError("no version")))


async def test_the_first_that_fails_may_end_the_other() -> None:
    ended: list[str] = []
    with pytest.raises(SourceError):
        await both(never(ended), failing(SourceError("no source")), stop_on_failure=True)
    assert ended == ["cancelled"]
