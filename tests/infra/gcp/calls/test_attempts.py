"""How often a call to Google is made, and when it is not made at all. Nothing sleeps here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from infra.gcp.calls.attempts import (
    CIRCUIT_LIMIT,
    CIRCUIT_OPEN_S,
    ONCE,
    Attempts,
    Circuit,
    attempted,
    calling,
    closed_circuits,
    in_thread,
)
from infra.gcp.calls.errors import GoogleError

METHOD = "run.services.get"
FIVE = Attempts(5, 10.0, 30.0)
DOWN = GoogleError(METHOD, "UNAVAILABLE", "down")
DENIED = GoogleError(METHOD, "PERMISSION_DENIED", "no")


def busy(retry_after_s: float) -> GoogleError:
    return GoogleError(METHOD, "RESOURCE_EXHAUSTED", "slower", retry_after_s=retry_after_s)


@dataclass
class Google:
    """Answers with these, one after the other, the last one for good; notes how long callers pause in between."""

    answers: list[str | BaseException]
    calls: int = 0
    pauses: list[float] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    async def answer(self) -> str:
        self.calls += 1
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(said, BaseException):
            raise said
        return said

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def clock(self) -> float:
        return sum(self.pauses)

    async def ask(self, attempts: Attempts = FIVE, method: str = METHOD) -> str:
        return await attempted(method, self.answer, attempts, sleep=self.sleep, clock=self.clock)

    async def fails(self, attempts: Attempts = FIVE) -> GoogleError:
        with pytest.raises(GoogleError) as failed:
            await self.ask(attempts)
        return failed.value


async def test_what_passes_is_asked_again_with_growing_pauses_and_the_caller_is_told() -> None:
    google = Google([DOWN, DOWN, DOWN, "here"])
    with calling("run-1", google.notices.append):
        assert await google.ask() == "here"
    assert google.calls == 4
    for pause_s, least_s in zip(google.pauses, (0.25, 0.5, 1.0), strict=True):
        assert least_s <= pause_s <= least_s + 0.25
    assert google.notices[0].startswith("attempt 1 of 5: run.services.get: UNAVAILABLE: down; again in 0.")


async def test_it_is_asked_no_more_often_than_it_may_be() -> None:
    google = Google([DOWN])
    assert await google.fails() is DOWN
    assert (google.calls, len(google.pauses)) == (5, 4)
    assert await google.fails(ONCE) is DOWN
    assert google.calls == 6


async def test_a_refusal_is_final() -> None:
    google = Google([DENIED, "here"])
    assert await google.fails() is DENIED
    assert google.calls == 1


async def test_it_is_not_asked_again_when_the_pause_would_pass_the_limit() -> None:
    google = Google([busy(40.0), "here"])
    assert (await google.fails()).retry_after_s == 40.0
    assert (google.calls, google.pauses) == (1, [])


async def test_google_says_itself_how_long_to_stay_away() -> None:
    google = Google([busy(7.0), "here"])
    assert await google.ask() == "here"
    assert google.pauses == [7.01]


async def test_while_it_is_to_stay_away_nobody_asks() -> None:
    google = Google([busy(20.0), "here"])
    with calling("", google.notices.append):
        await google.fails(ONCE)
        assert (await google.fails()).status == "RESOURCE_EXHAUSTED"
        assert google.calls == 1
        with closed_circuits():
            assert await google.ask() == "here"


async def test_a_method_that_only_fails_is_not_asked_any_more_and_others_are() -> None:
    google, other = Google([DOWN]), Google(["here"])
    with calling("", google.notices.append):
        for _ in range(CIRCUIT_LIMIT):
            await google.fails(ONCE)
        assert await google.fails() is DOWN
        assert google.calls == CIRCUIT_LIMIT
        assert await other.ask(method="run.services.list") == "here"


async def test_a_method_that_begins_to_fail_for_good_stops_its_own_attempts() -> None:
    google = Google([DOWN])
    with calling("", google.notices.append):
        await google.fails(Attempts(100, 10.0, 3600.0))
    assert google.calls == CIRCUIT_LIMIT


def test_a_circuit_closes_again_after_its_time_and_after_any_answer() -> None:
    circuit = Circuit()
    for _ in range(CIRCUIT_LIMIT):
        circuit.refuse_if_open(100.0)
        circuit.failed(DOWN, 100.0)
    with pytest.raises(GoogleError):
        circuit.refuse_if_open(100.0 + CIRCUIT_OPEN_S - 0.1)
    circuit.refuse_if_open(100.0 + CIRCUIT_OPEN_S)
    circuit.failed(DOWN, 200.0)
    with pytest.raises(GoogleError):
        circuit.refuse_if_open(200.0)
    circuit.answered()
    circuit.refuse_if_open(200.0)


@pytest.mark.parametrize(
    "stop",
    [pytest.param(asyncio.CancelledError, id="cancelled"), pytest.param(RuntimeError, id="a bug")],
)
async def test_what_is_no_failure_of_google_goes_straight_through(stop: type[BaseException]) -> None:
    google = Google([stop(), "here"])
    with pytest.raises(stop):
        await google.ask()
    assert google.calls == 1


async def test_a_foreign_failure_is_translated_before_it_is_judged() -> None:
    google = Google([ConnectionResetError("gone"), "here"])
    assert await google.ask() == "here"


class AtOnce(ThreadPoolExecutor):
    """The result is there when the work is handed over: no thread decides what the loop finds when."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


@pytest.mark.parametrize("turns", range(6))
def test_a_cancellation_that_comes_together_with_the_result_is_not_lost(turns: int) -> None:
    """Else whatever waits with a limit goes on for ever. The loop turns so many times until somebody cancels."""

    async def cancelled() -> bool:
        running = asyncio.ensure_future(in_thread("test", lambda: "a token"))
        for _ in range(turns):
            await asyncio.sleep(0)
        asked = running.cancel()
        await asyncio.wait([running])
        return running.cancelled() == asked

    loop = asyncio.new_event_loop()
    loop.set_default_executor(AtOnce())
    try:
        assert loop.run_until_complete(cancelled())
    finally:
        loop.close()
