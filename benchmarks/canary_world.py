"""A world for one release: a clock, users who call both revisions, and what Cloud Monitoring would say of them.

Requests arrive as a Poisson stream, fail at random and take log-normal times that only a coarse histogram reports, by
whole minutes. Our own requests are counted with those of users, as Cloud Run counts them, and take other times.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from infra.gcp.monitoring import Served
from tasks.analysis.probes import Ask
from tasks.analysis.verdict import Probe
from tasks.manifest.settings import Health

EPOCH = datetime(2026, 6, 1, tzinfo=UTC)
BEFORE_MIN = 31  # of stable alone, before the first step
BOUNDS_MS = tuple(1.4**power for power in range(67))  # of request_latencies
LOG_BOUNDS = np.log(np.array(BOUNDS_MS))
Effect = Callable[[float, float], float]  # by the share of the traffic, 0 to 1, and the minutes since the release began


def none(_share: float, _minutes: float) -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class Service:
    """How a service is, and what its candidate does beyond that; shares and rates are 0 to 1."""

    rate: float = 1.0  # requests per second, to both revisions together
    own_errors: float = 0.001
    errors: Effect = none  # the candidate's, on top; below 0 it has mended some
    refused: Effect = none  # its 4xx, on top of 3 %
    slower: float = 1.0  # factor
    slow_share: float = 1.0  # of the requests that are slower by that factor
    from_share: float = 0.0  # of the traffic on; below it is as stable
    drift: float = 0.0  # and slower by so much more each minute
    cold: float = 0.0  # of the requests of a step's first minute wait for an instance, up to 2 s
    jit: float = 1.0  # so many times slower at first, in each step and in the first requests
    jit_s: float = 30.0
    jit_probes: float = 40.0
    probes_see: bool = True  # whether our own requests meet what users meet
    outage_min: float = 0.0  # of both, with 20 % errors
    ours_are_faster: float | None = None  # how many times; None: between 0.3 and 3


@dataclass
class Counted:
    """Of one revision, by minute."""

    requests: dict[int, int] = field(default_factory=dict)
    errors: dict[int, int] = field(default_factory=dict)
    refused: dict[int, int] = field(default_factory=dict)
    buckets: dict[int, NDArray[np.int64]] = field(default_factory=dict)

    def add(self, minute: int, requests: int, errors: int, refused: int, buckets: NDArray[np.int64]) -> None:
        for counts, count in ((self.requests, requests), (self.errors, errors), (self.refused, refused)):
            counts[minute] = counts.get(minute, 0) + count
        known = self.buckets.get(minute)
        self.buckets[minute] = buckets if known is None else known + buckets

    def add_one(self, minute: int, failed: bool, refused: bool, ms: float) -> None:
        if minute not in self.buckets:
            self.add(minute, 0, 0, 0, np.zeros(len(BOUNDS_MS) + 1, dtype=np.int64))
        self.requests[minute] += 1
        self.errors[minute] += failed
        self.refused[minute] += refused
        self.buckets[minute][bisect_right(BOUNDS_MS, ms)] += 1

    def served(self, first: int, end: int, warm: int) -> Served:
        minutes = [minute for minute in range(first, end) if self.requests.get(minute)]
        if not minutes:
            return Served()
        warmed = [self.buckets[minute] for minute in minutes if minute >= warm]
        return Served(
            sum(self.requests[minute] for minute in minutes),
            sum(self.errors[minute] for minute in minutes),
            sum(self.refused[minute] for minute in minutes),
            BOUNDS_MS if warmed else (),
            tuple(np.sum(warmed, axis=0).tolist()) if warmed else (),
            EPOCH + timedelta(minutes=minutes[0]),
            EPOCH + timedelta(minutes=minutes[-1] + 1),
        )


class Clock:
    """Seconds since EPOCH; sleeping is free."""

    def __init__(self, start_s: float) -> None:
        self.seconds = start_s

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.seconds)

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class World:
    """One service during one release."""

    def __init__(self, service: Service, clock: Clock, seed: list[int]) -> None:
        self.service, self.clock = service, clock
        self.numbers, self.random = np.random.default_rng(seed), Random(str(seed))
        self.began_s = self.stepped_s = clock.seconds
        self.share = 0.0
        self.counted = {True: Counted(), False: Counted()}  # of the candidate, of stable
        self.asked = {True: 0, False: 0}
        self.median_ms = math.exp(self.random.uniform(math.log(20), math.log(400)))
        self.sigma = self.random.uniform(0.3, 1.0)
        self.noise = self.random.uniform(0.95, 1.05)  # between two equal revisions: another machine, another cache
        self.outage_from_s = self.began_s + 60 * self.random.uniform(1, 40)
        self.ours_factor = 1 / (service.ours_are_faster or math.exp(self.random.uniform(math.log(0.33), math.log(3))))
        self.until_s = 60.0 * (clock.seconds // 60 - BEFORE_MIN)
        self.live()

    def step(self, percent: int) -> None:
        self.live()
        self.share, self.stepped_s = percent / 100, self.clock.seconds

    def live(self) -> None:
        """Users call until now."""
        while self.until_s < self.clock.seconds:
            minute = int(self.until_s // 60)
            until_s = min(60.0 * (minute + 1), self.clock.seconds)
            for candidate, share in ((True, self.share), (False, 1 - self.share)):
                requests = int(self.numbers.poisson(self.service.rate * share * (until_s - self.until_s)))
                if requests:
                    self._serve(candidate, minute, requests, (self.until_s + until_s) / 2)
            self.until_s = until_s

    def _serve(self, candidate: bool, minute: int, requests: int, when_s: float) -> None:
        errors = int(self.numbers.binomial(requests, self.error_rate(candidate, when_s)))
        refused = int(self.numbers.binomial(requests - errors, self.refused_rate(candidate, when_s)))
        factor, slow_share = self.slowness(candidate, when_s)
        slow = int(self.numbers.binomial(requests, slow_share)) if slow_share < 1 else requests
        usual = self.noise if candidate else 1.0
        buckets = self._histogram(requests - slow, usual) + self._histogram(slow, usual * factor)
        if candidate and self.service.cold and when_s - self.stepped_s < 60:
            cold = int(self.numbers.binomial(requests, self.service.cold))
            waits = self.median_ms + 2000 * self.numbers.random(cold)
            buckets = buckets + np.bincount(np.searchsorted(BOUNDS_MS, waits), minlength=len(BOUNDS_MS) + 1)
        self.counted[candidate].add(minute, requests, errors, refused, buckets)

    def _histogram(self, requests: int, factor: float) -> NDArray[np.int64]:
        if not requests:
            return np.zeros(len(BOUNDS_MS) + 1, dtype=np.int64)
        below = ndtr((LOG_BOUNDS - math.log(self.median_ms * factor)) / self.sigma)
        return self.numbers.multinomial(requests, np.diff(below, prepend=0.0, append=1.0)).astype(np.int64)

    def error_rate(self, candidate: bool, when_s: float) -> float:
        rate = self.service.own_errors
        if 0 <= when_s - self.outage_from_s < 60 * self.service.outage_min:
            rate += 0.2
        if candidate:
            rate += self.service.errors(self.share, (when_s - self.began_s) / 60)
        return min(max(rate, 0.0), 1.0)

    def refused_rate(self, candidate: bool, when_s: float) -> float:
        more = self.service.refused(self.share, (when_s - self.began_s) / 60) if candidate else 0.0
        return min(0.03 + more, 1.0)

    def slowness(self, candidate: bool, when_s: float) -> tuple[float, float]:
        """The factor, and the share of the requests that it slows down."""
        service = self.service
        if not candidate or (service.from_share and self.share < service.from_share):
            return 1.0, 1.0
        warming = 1 + (service.jit - 1) * math.exp(-(when_s - self.stepped_s) / service.jit_s)
        drift = 1 + service.drift * (when_s - self.began_s) / 60
        return service.slower * warming * drift, service.slow_share

    async def ask(self, candidate: bool) -> Probe:
        """One request of our own."""
        self.live()
        self.asked[candidate] += 1
        service, sees = self.service, candidate and self.service.probes_see
        failed = self.random.random() < self.error_rate(sees, self.clock.seconds)
        missing = sees and self.random.random() < service.refused(self.share, 0.0)
        factor = self.ours_factor * (self.noise if candidate else 1.0)
        if sees and self.random.random() < service.slow_share:
            factor *= self.slowness(True, self.clock.seconds)[0] if self.share else service.slower
        if candidate:
            factor *= 1 + (service.jit - 1) * math.exp(-self.asked[True] / service.jit_probes)
        ms = self.random.lognormvariate(math.log(self.median_ms * factor), self.sigma)
        self.counted[candidate].add_one(int(self.clock.seconds // 60), failed, missing and not failed, ms)
        status = 500 if failed else 404 if missing else 200
        return Probe(status == 200, ms, status)

    @asynccontextmanager
    async def asking(self, _service: str, _service_url: str, url: str, _health: Health) -> AsyncIterator[Ask]:
        candidate = url == "candidate"
        yield lambda: self.ask(candidate)

    async def served(self, _service: str, revision: str, start: datetime, end: datetime, warm_s: float = 0.0) -> Served:
        """Whole minutes only."""
        self.live()
        first = (start - EPOCH) / timedelta(minutes=1)
        warm = math.ceil(first + warm_s / 60)
        last = math.floor((end - EPOCH) / timedelta(minutes=1))
        return self.counted[revision == "candidate"].served(math.ceil(first), last, warm)
