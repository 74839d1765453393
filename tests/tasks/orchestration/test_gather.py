"""Work side by side that ends as one."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from tasks.failures.errors import SlipwayError, SourceError, VersionError
from tasks.orchestration.gather import both, briefly, one_by_one, to_its_end


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


async def test_who_is_cancelled_waits_for_what_may_not_be_left_half_done_as_long_as_that_is_bearable() -> None:
    done, let_go = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await let_go.wait()
        done.set()

    for patience_s, waits in ((0.01, False), (None, True)):
        done.clear()
        let_go.clear()
        running = asyncio.ensure_future(to_its_end(work(), patience_s))
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running], timeout=0.1)
        assert running.done() is not waits
        let_go.set()  # what nobody waits for goes on
        await done.wait()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_what_is_waited_for_briefly_goes_on_beside_or_tells_how_it_failed() -> None:
    done, let_go = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await let_go.wait()
        done.set()

    await briefly(work(), 0.01)
    assert not done.is_set()
    let_go.set()
    await done.wait()
    with pytest.raises(SourceError):
        await briefly(failing(SourceError("no source")), 5)


async def test_of_many_that_come_one_after_the_other_a_failure_keeps_none_from_its_turn() -> None:
    turns: list[str] = []

    async def turn(name: str) -> str:
        turns.append(name)
        if name.startswith("bad"):
            raise SourceError(name)
        return name

    with pytest.raises(SourceError, match=r"bad 1\nAlso: bad 2"):
        await one_by_one([partial(turn, name) for name in ("bad 1", "good", "bad 2", "last")])
    assert turns == ["bad 1", "good", "bad 2", "last"]
    assert await one_by_one([partial(turn, name) for name in ("one", "two")]) == ["one", "two"]
