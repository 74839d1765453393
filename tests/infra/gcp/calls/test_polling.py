"""Waiting for what others do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.gcp.calls.polling import until


class World:
    """Shows these states, one a look; what is waited for in between is noted, not slept."""

    def __init__(self, *states: int) -> None:
        self._states: Iterator[int] = iter(states)
        self.pauses: list[float] = []

    async def look(self) -> int:
        return next(self._states)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


async def test_what_is_seen_first_may_be_done_already() -> None:
    world = World(3)
    assert await until(world.look, limit_s=60, pause_s=1, sleep=world.sleep) == 3
    assert world.pauses == []


async def test_it_is_looked_at_until_it_is_done() -> None:
    world = World(1, 2, 3)
    assert await until(world.look, lambda seen: seen == 3, limit_s=60, pause_s=2, sleep=world.sleep) == 3
    assert world.pauses == [2, 2]


async def test_pauses_grow_to_the_longest() -> None:
    world = World(0, 0, 0, 0, 5)
    await until(world.look, limit_s=60, pause_s=1, longest_s=1.2, sleep=world.sleep)
    assert world.pauses == [1, pytest.approx(1.1), 1.2, 1.2]


@pytest.mark.parametrize("took_s", [1.0, 3.0, 4.0, 15.0])
async def test_what_has_come_about_is_seen_soon_and_without_many_looks(took_s: float) -> None:
    passed, looks = 0.0, 0

    async def look() -> bool:
        nonlocal looks
        looks += 1
        return passed >= took_s

    async def sleep(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    await until(look, limit_s=60, pause_s=0.1, longest_s=2.0, sleep=sleep)
    assert passed - took_s <= 0.1 + took_s / 10
    assert looks <= 32


async def test_a_failure_to_look_ends_the_wait() -> None:
    async def broken() -> bool:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await until(broken, limit_s=60, pause_s=1)


async def test_the_wait_has_an_end() -> None:
    async def never() -> bool:
        return False

    with pytest.raises(TimeoutError):
        await until(never, limit_s=0.01, pause_s=60)


async def test_a_lambda_that_answers_something_to_await_will_do() -> None:
    world = World(0, 4)
    assert await until(lambda: world.look(), limit_s=60, pause_s=1, sleep=world.sleep) == 4
