"""Three figures of what runs, before free tiers, discounts, network and storage. Pure.

FLOOR: a month in which nobody calls, which configuration alone decides. PER MILLION REQUESTS: what they add, at the
traffic that was measured. CEILING: a month in which as many instances as may be are busy all the time, without the
fee for the requests themselves. https://cloud.google.com/run/pricing
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.cost.prices import PriceList, Rate, Use
from tasks.cost.shape import Scaling, Shape, Size

MONTH_S = 730 * 3600  # an average one, as Google's own calculator has it
MILLION = 1_000_000
NEVER_IDLE = 50  # requests under way at a time, on average
ALWAYS_ALONE = 1e-12  # below that two requests never meet; floats would not tell the stretch from noise
STEP_S = 0.1  # to which the time of an instance is rounded up


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a service was seen to serve."""

    per_s: float  # requests, on average
    mean_ms: float
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Million:
    """What a million requests cost: as long as they take on average, at the median, at the 95th percentile."""

    mean: float
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Priced:
    """A service, job or pool in one region. None is: not known."""

    what: str  # "service api in europe-west1"
    key: str  # where slipway.yaml says it: services.api
    floor: float | None  # a month, after the release
    was: float | None  # and before; 0 for what is new
    ceiling: float | None = None
    million: Million | None = None
    traffic: Traffic | None = None
    hour: float | None = None  # of a task of a job
    gpu: bool = False  # there is one, which no figure has in it
    former: float = 0.0  # of the floor: what versions that do not serve any more are kept running for


def second(size: Size, rate: Rate) -> float:
    """Of one instance."""
    return size.cpu * rate.cpu + size.gib * rate.gib


def idle_use(shape: Shape) -> Use:
    """What an instance that is kept running is paid as."""
    return Use.KEPT if shape.by_request else Use.ALIVE


def busy_use(shape: Shape) -> Use:
    return Use.BUSY if shape.by_request else Use.ALIVE


def floors(revisions: Sequence[Shape], scaling: Scaling, prices: PriceList, region: str) -> list[float] | None:
    """A month of what each revision is kept running for; the first is the one that serves. None: not known.

    A minimum of a revision holds for each that has traffic or a tag; the service's is counted once. Of both, the one
    that asks for more. https://cloud.google.com/run/docs/configuring/min-instances
    """
    found = []
    for index, shape in enumerate(revisions):
        kept = shape.least if index else max(shape.least, scaling.least)
        if scaling.manual is not None:
            kept = 0 if index else scaling.manual
        rate = prices.rate(idle_use(shape), region)
        if rate is None and kept:
            return None
        found.append(kept * second(shape.size, rate) * MONTH_S if rate else 0.0)
    return found


def ceiling(shape: Shape, scaling: Scaling, prices: PriceList, region: str) -> float | None:
    rate = prices.rate(busy_use(shape), region)
    most = min(shape.most, scaling.most or shape.most) if scaling.manual is None else scaling.manual
    return None if rate is None else most * second(shape.size, rate) * MONTH_S


def million(shape: Shape, traffic: Traffic | None, prices: PriceList, region: str) -> Million | None:
    """None where there is no traffic to go by, or no price."""
    rate = prices.rate(busy_use(shape), region)
    if traffic is None or rate is None or prices.request is None:
        return None
    fee = prices.request if shape.by_request else 0.0
    of_second = second(shape.size, rate)
    mean, p50, p95 = (
        MILLION * (fee + of_second * billed_s(traffic.per_s, ms / 1000, shape.concurrency))
        for ms in (traffic.mean_ms, traffic.p50_ms, traffic.p95_ms)
    )
    return Million(mean, p50, p95)


def billed_s(per_s: float, latency_s: float, concurrency: int) -> float:
    """Seconds of an instance that one request is charged, where so many a second come at random and take so long.

    An instance is busy while it answers at least one. How long that is without a break follows from the traffic
    (M/G/∞: (e^load - 1) / rate, e^-load breaks a request), and is rounded up. With much traffic instances are full.
    """
    full, load = latency_s / concurrency, per_s * latency_s
    if load < ALWAYS_ALONE:
        return max(full, _rounded_up(latency_s))
    if load > NEVER_IDLE:
        return max(full, 1 / per_s)
    stretch = math.expm1(load) / per_s
    return max(full, math.exp(-load) * _rounded_up(stretch))


def _rounded_up(seconds: float) -> float:
    return math.ceil(seconds / STEP_S - 1e-9) * STEP_S


def pool_floor(size: Size, instances: int, prices: PriceList, region: str) -> float | None:
    """A month of a worker pool, which is its ceiling too: its instances run all the time."""
    rate = prices.rate(Use.POOL, region)
    return None if rate is None and instances else instances * second(size, rate) * MONTH_S if rate else 0.0


def task_hour(size: Size, prices: PriceList, region: str) -> float | None:
    """An hour of one task of a job."""
    rate = prices.rate(Use.JOB, region)
    return None if rate is None else second(size, rate) * 3600
