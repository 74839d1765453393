"""How sure numbers are: tests that may be asked again with every new request, as often as one likes. Pure.

A release is looked at many times, and a test made for one look goes wrong more often with each. These do not:

* `e_more`, `e_less` and `e_slower` are e-values: the chance that they ever reach 1/alpha while nothing is wrong is at
  most alpha, however often they are looked at (Ville's inequality; mixtures as in Robbins 1970 and Ramdas et al. 2023,
  https://arxiv.org/abs/2210.01948).
* `odds` is the likelihood ratio of Wald's sequential test: a bad candidate ever gets below 1/N at most once in N times.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from operator import mul

# numpy and scipy are imported where they are used: they take a second, and most runs of a flow judge nothing.

Z = 1.959964  # of a two-sided interval of 95 %, the usual one
LEAST_VARIANCE = 1e-3  # of the logs
EFFECT = math.log(1.5)  # the slowdown, as a log ratio, that `e_slower` is quickest to see


def wilson(count: int, total: int, z: float = Z) -> tuple[float, float]:
    """The two-sided Wilson interval of a share, 0 to 1: of 95 %, or `z` standard errors wide on each side."""
    if not total:
        return 0.0, 1.0
    share, spare = count / total, z * z / total
    middle = (share + spare / 2) / (1 + spare)
    half = math.sqrt(spare * share * (1 - share) + spare * spare / 4) / (1 + spare)
    return max(middle - half, 0.0) if count else 0.0, min(middle + half, 1.0) if count < total else 1.0


def e_more(count: int, total: int, share: float) -> float:
    """The evidence, as the log of an e-value, that `count` of `total` happen more often than `share`, 0 to 1."""
    from scipy.special import betaincc, betaln, xlog1py, xlogy

    if count <= total * share or share >= 1:
        return 0.0
    likelihood = xlogy(count, share) + xlog1py(total - count, -share)
    above = betaincc(count + 1, total - count + 1, share)  # of the likelihood's mass, what lies above `share`
    prior = 1 - share  # evenly from `share` to 1
    return float(betaln(count + 1, total - count + 1) + math.log(above) - math.log(prior) - likelihood)


def e_less(count: int, total: int, good: float, bad: float) -> float:
    """The evidence, as the log of an e-value, that `count` of `total` happen less often than the share `bad`.

    The mean of two e-values, which is one: quickest if the share is `good`, and sure of every other one below `bad`.
    """
    from scipy.special import betainc, betaln, xlog1py, xlogy

    simple = -odds(count, total, good, bad)
    if count >= total * bad:
        return min(simple, 0.0)
    below = betaln(count + 1, total - count + 1) + math.log(betainc(count + 1, total - count + 1, bad)) - math.log(bad)
    mixed = float(below - xlogy(count, bad) - xlog1py(total - count, -bad))
    most = max(simple, mixed)
    return most + math.log((math.exp(simple - most) + math.exp(mixed - most)) / 2)


def odds(count: int, total: int, good: float, bad: float) -> float:
    """The log of how much better the share `bad` explains `count` of `total` than the share `good` does."""
    return count * math.log(bad / good) + (total - count) * math.log((1 - bad) / (1 - good))


def clean(count: int, total: int, good: float, bad: float, evidence: float) -> int:
    """How many more requests without a failure it takes, about, until `e_less` is as much `evidence`."""
    short = evidence - e_less(count, total, good, bad)
    more = max(math.ceil(short / math.log((1 - good) / (1 - bad))), 0)
    while e_less(count, total + more, good, bad) < evidence:
        more += more // 10 + 1
    return more


@dataclass(frozen=True)
class Latencies:
    """How long requests took, as values in ms with how many took so long; a histogram or single measurements."""

    ms: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()

    @cached_property
    def total(self) -> int:
        return sum(self.counts)

    @cached_property
    def log_mean(self) -> float:
        """The mean of the logs: few very slow ones move it little."""
        return math.fsum(map(mul, self.counts, map(math.log, self.ms))) / self.total

    @property
    def typical_ms(self) -> float:
        return math.exp(self.log_mean)

    @cached_property
    def log_variance(self) -> float:
        """Of the mean of the logs, never zero: a clock ticks, too."""
        squares = math.fsum(map(mul, self.counts, (log * log for log in map(math.log, self.ms))))
        spread = (squares - self.total * self.log_mean**2) / max(self.total - 1, 1)
        return max(spread, LEAST_VARIANCE) / self.total

    def above(self, ms: float) -> int:
        """How many took longer; the values are sorted."""
        return sum(self.counts[bisect_right(self.ms, ms) :])

    def quantile(self, share: float) -> float:
        """In ms, to the next value that is there."""
        upto = list(accumulate(self.counts))
        return self.ms[min(bisect_left(upto, share * self.total), len(upto) - 1)]


def measured(latencies_ms: Sequence[float]) -> Latencies:
    """Single measurements; what is no number is left out."""
    usable = sorted(max(ms, 0.01) for ms in latencies_ms if math.isfinite(ms))
    return Latencies(tuple(usable), (1,) * len(usable))


def histogram(bounds_ms: Sequence[float], counts: Sequence[int]) -> Latencies:
    """A histogram, each bucket at its (geometric) middle.

    As in Google's Distribution (google/api/distribution.proto): the first count is below the first bound, the last
    above the last bound, which stands for all of them; counts of zero at the end may be left out.
    """
    if not bounds_ms or not any(counts):
        return Latencies()
    middles = (bounds_ms[0] / 2, *(math.sqrt(a * b) for a, b in pairwise(bounds_ms)))
    kept = [pair for pair in zip((*middles, bounds_ms[-1]), counts, strict=False) if pair[1]]
    return Latencies(tuple(ms for ms, _ in kept), tuple(int(count) for _, count in kept))


def slowdown(ours: Latencies, theirs: Latencies) -> tuple[float, float]:
    """By how much ours are slower, as the log of the ratio, and the variance of that."""
    return ours.log_mean - theirs.log_mean, ours.log_variance + theirs.log_variance


def e_slower(log_ratio: float, variance: float) -> float:
    """The evidence, as the log of an e-value, that a log ratio which was estimated with that variance is above 0."""
    if log_ratio <= 0:
        return 0.0
    both = variance + EFFECT**2
    return 0.5 * math.log(variance / both) + log_ratio**2 * EFFECT**2 / (2 * variance * both)


def odds_slower(log_ratio: float, variance: float, bad: float) -> float:
    """The log of how much better a slowdown by the log ratio `bad` explains the estimate than none does."""
    return (bad * log_ratio - bad**2 / 2) / variance
