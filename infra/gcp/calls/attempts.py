"""How often a call to Google is made: again after a passing failure, not at all while its method keeps failing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState
from tenacity.retry import retry_if_exception
from tenacity.stop import stop_after_attempt, stop_before_delay
from tenacity.wait import wait_exponential_jitter

from infra.gcp.calls.errors import GoogleError, translated

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]
Clock = Callable[[], float]  # seconds that only grow

# What may be over a moment later. AIP-194 lets only UNAVAILABLE be retried without knowing the method; these are
# safe because `Attempts` above one are given to calls that may be repeated alone.
PASSING = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "ABORTED", "UNKNOWN"})
# https://cloud.google.com/storage/docs/retry-strategy, quicker
_BACKOFF = wait_exponential_jitter(multiplier=0.25, max=4.0, jitter=0.25)
CIRCUIT_LIMIT = 10  # failures of one method in a row, none answered in between
CIRCUIT_OPEN_S = 15.0


@dataclass(frozen=True, slots=True)
class Attempts:
    """`count` attempts of at most `timeout_s` each, all within `limit_s`."""

    count: int
    timeout_s: float
    limit_s: float


ONCE = Attempts(1, 30.0, 30.0)
READ = Attempts(5, 10.0, 30.0)  # only where repeating the call is harmless


@dataclass(slots=True)
class Circuit:
    """What one method of Google has done lately. It opens, so that calls fail at once, when nothing gets through.

    No library's breaker heeds how long Google itself asks to stay away.
    """

    failures: int = 0
    open_until_s: float = 0.0  # time.monotonic
    last: GoogleError | None = None

    def refuse_if_open(self, now_s: float) -> None:
        if self.last is not None and now_s < self.open_until_s:
            raise self.last

    def failed(self, error: GoogleError, now_s: float) -> None:
        """Google may also say itself how long not to come back."""
        self.failures, self.last = self.failures + 1, error
        rest_s = max(error.retry_after_s or 0.0, CIRCUIT_OPEN_S if self.failures >= CIRCUIT_LIMIT else 0.0)
        self.open_until_s = now_s + rest_s

    def answered(self) -> None:
        self.failures, self.last = 0, None

    @contextmanager
    def watching(self, name: str, clock: Clock) -> Iterator[None]:
        """Notes how the call within ends; raises its failure as a GoogleError. A refusal is an answer too."""
        try:
            with translated(name):
                yield
        except GoogleError as error:
            if error.status in PASSING:
                self.failed(error, clock())
            else:
                self.answered()
            raise
        self.answered()


@dataclass(slots=True)
class Caller:
    """On whose behalf calls are made: `reason` goes with every request, `notice` is told of repeated attempts."""

    reason: str = ""
    notice: Callable[[str], None] = field(default=lambda _: None)
    circuits: dict[str, Circuit] = field(default_factory=dict)


_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


def current_caller() -> Caller:
    return _caller.get() or Caller()


@contextmanager
def calling(reason: str, notice: Callable[[str], None]) -> Iterator[None]:
    """Within, calls carry `reason` as X-Goog-Request-Reason, which audit logs keep; all circuits start closed."""
    token = _caller.set(Caller(reason, notice))
    try:
        yield
    finally:
        _caller.reset(token)


@contextmanager
def closed_circuits() -> Iterator[None]:
    """Within, every method is given a new chance: what must be undone is worth asking an API that has just failed."""
    caller = current_caller()
    with calling(caller.reason, caller.notice):
        yield


async def attempted(
    name: str,
    work: Callable[[], Awaitable[T]],
    attempts: Attempts,
    *,
    sleep: Sleep = asyncio.sleep,
    clock: Clock = time.monotonic,
) -> T:
    """The result of `work`, a call to the Google method `name`, after as many attempts as it takes and may take.

    Raises GoogleError: at once when the failure is permanent or the method's circuit is open.
    """
    caller = current_caller()
    circuit = caller.circuits.setdefault(name, Circuit())

    async def once() -> T:
        with circuit.watching(name, clock):
            return await work()

    def tell(state: RetryCallState) -> None:
        number, pause_s = state.attempt_number, state.upcoming_sleep
        caller.notice(f"attempt {number} of {attempts.count}: {_error(state)}; again in {pause_s:.1f} s")

    tries = AsyncRetrying(
        before=lambda _: circuit.refuse_if_open(clock()),
        retry=retry_if_exception(lambda error: isinstance(error, GoogleError) and error.status in PASSING),
        stop=stop_after_attempt(attempts.count) | stop_before_delay(attempts.limit_s),
        wait=_pause_s,
        before_sleep=tell,
        sleep=sleep,
        reraise=True,
    )
    return await tries(once)


async def in_thread(name: str, work: Callable[[], T]) -> T:
    """The result of a library that blocks, google-auth's above all, under the name of what it asks; as a READ.

    Not by asyncio.wait_for: up to Python 3.11 it loses a cancellation that arrives together with the result, and
    whatever waited with a limit goes on for ever (https://github.com/python/cpython/issues/86296).
    """

    async def once() -> T:
        async with asyncio.timeout(READ.timeout_s):
            return await asyncio.to_thread(work)

    return await attempted(name, once, READ)


def _pause_s(state: RetryCallState) -> float:
    """Twice as long each time, with jitter so that many callers do not come back at once, or as Google says."""
    asked_s = getattr(_error(state), "retry_after_s", None) or 0.0
    return max(_BACKOFF(state), asked_s + 0.01)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
