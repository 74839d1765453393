"""How often a call to Google is made: again after a passing failure, not at all while its method keeps failing."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from infra.gcp.calls.errors import GoogleError, translated

T = TypeVar("T")

# What may be over a moment later. AIP-194 lets only UNAVAILABLE be retried without knowing the method; these are
# safe because `Attempts` above one are given to calls that may be repeated alone.
PASSING = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "ABORTED", "UNKNOWN"})
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 4.0
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
    """What one method of Google has done lately. It opens, so that calls fail at once, when nothing gets through."""

    failures: int = 0
    open_until_s: float = 0.0  # time.monotonic
    last: GoogleError | None = None

    def refuse_if_open(self) -> None:
        if self.last is not None and time.monotonic() < self.open_until_s:
            raise self.last

    def failed(self, error: GoogleError) -> None:
        """Google may also say itself how long not to come back."""
        self.failures, self.last = self.failures + 1, error
        rest_s = max(error.retry_after_s or 0.0, CIRCUIT_OPEN_S if self.failures >= CIRCUIT_LIMIT else 0.0)
        self.open_until_s = time.monotonic() + rest_s

    def answered(self) -> None:
        self.failures, self.last = 0, None


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


async def attempted(name: str, work: Callable[[], Awaitable[T]], attempts: Attempts) -> T:
    """The result of `work`, a call to the Google method `name`, after as many attempts as it takes and may take.

    Raises GoogleError: at once when the failure is permanent or the method's circuit is open.
    """
    caller, deadline = current_caller(), time.monotonic() + attempts.limit_s
    circuit = caller.circuits.setdefault(name, Circuit())
    number = 1
    while True:
        circuit.refuse_if_open()
        try:
            with translated(name):
                result = await work()
        except GoogleError as error:
            if error.status not in PASSING:
                circuit.answered()
                raise
            pause_s = _pause_s(number, error)
            circuit.failed(error)
            if number >= attempts.count or time.monotonic() + pause_s > deadline:
                raise
            caller.notice(f"attempt {number} of {attempts.count}: {error}; again in {pause_s:.1f} s")
        else:
            circuit.answered()
            return result
        await asyncio.sleep(pause_s)
        number += 1


def _pause_s(number: int, error: GoogleError) -> float:
    """Twice as long each time, with jitter so that many callers do not come back at once, or as Google says."""
    backoff_s = min(FIRST_PAUSE_S * 2.0 ** (number - 1), LONGEST_PAUSE_S) * random.uniform(0.75, 1.25)  # noqa: S311
    return max(backoff_s, (error.retry_after_s or 0.0) + 0.01)
