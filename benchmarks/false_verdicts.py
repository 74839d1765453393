"""How often the rules take back a good release or let a bad one pass: simulated canaries, judged by the real rules.

    python -m benchmarks.false_verdicts

Each release goes through the real decisions, `tasks.traffic_plan.next_split` on the verdicts of `tasks.verdict`, while
requests arrive as a Poisson stream, fail at random and take log-normal times that only a coarse histogram reports. The
seed is fixed: the same code prints the same table, which is also written to benchmarks/results/false_verdicts.md. The
exit code is 1 when a good release is taken back more often than allowed or a blatantly bad one gets through.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import lognorm

from infra.gcp.run.traffic import TrafficTarget
from tasks.analysis.verdict import (
    Course,
    Judgement,
    Probe,
    Rules,
    Window,
    combine,
    escalate,
    judge_latency,
    judge_probes,
    judge_stable,
    judge_window,
    on_inconclusive,
    spread,
    wilson,
)
from tasks.model import Verdict
from tasks.rollout.split import Move, Traffic, next_split

SEED = 20_260_601
RESULTS = Path(__file__).parent / "results" / "false_verdicts.md"
ALLOWED_FALSE_ROLLBACKS = 0.005  # of good releases

RULES = Rules()
BAKE_S = 120.0  # before the first look at a step
LOOK_EVERY_S = 60.0
LIMIT_S = 1_200.0  # of waiting for proof at a step, then a person is asked
PROBES = 24  # a round; the first few may be needed until one is accepted
PROBE_ROUNDS = 10  # until a person is asked
OUTAGE_MINUTES = 3.0
BOUNDS_MS = tuple(1.4**power for power in range(33))  # up to 48 s; growth 1.4, the coarsest of Google's latency metrics
REVISIONS = frozenset({"stable", "candidate"})


class Truth(StrEnum):
    GOOD = "good"
    OUTAGE = "good, in an outage of something else"
    BLATANT = "blatantly bad"
    SUBTLE = "subtly bad"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a candidate does, by its share of the traffic (0 to 1) and the minutes since the first step."""

    name: str
    truth: Truth
    errors: Callable[[float, float], float] = lambda _share, _minutes: 0.0  # on top of the service's own
    slower: Callable[[float, float], float] = lambda _share, _minutes: 1.0  # factor
    slow_share: float = 1.0  # of the requests that are slower by that factor
    own_errors: tuple[float, ...] = (0.001,)  # error rates of both revisions
    rates: tuple[float, ...] = (10.0, 100.0)  # requests per second of the whole service
    steps: tuple[int, ...] = (5, 25, 50)  # percent
    releases: int = 60  # of each error rate and request rate


ANY_RATE = (1.0, 10.0, 100.0)
KINDS = (
    Kind("good", Truth.GOOD, own_errors=(0.0, 0.001, 0.005, 0.01, 0.03), rates=ANY_RATE, releases=120),
    Kind("good, steps 25 and 50 only", Truth.GOOD, rates=(1.0,), steps=(25, 50), releases=120),
    Kind("good, little traffic", Truth.GOOD, rates=(0.02,), releases=120),
    Kind("good, no traffic", Truth.GOOD, rates=(0.0,), releases=120),
    Kind("good, 20 % errors on both for 3 min", Truth.OUTAGE, releases=100),
    Kind("does not answer", Truth.BLATANT, errors=lambda _share, _minutes: 1.0, rates=(0.0, 10.0)),
    Kind("20 % errors", Truth.BLATANT, errors=lambda _share, _minutes: 0.2, rates=(0.0, 0.02, *ANY_RATE)),
    Kind(
        "20 % errors, but not of probes", Truth.BLATANT, errors=lambda share, _: 0.2 if share else 0.0, rates=ANY_RATE
    ),
    Kind("20 % errors from 25 % on", Truth.BLATANT, errors=lambda share, _: 0.2 if share >= 0.25 else 0.0),
    Kind("3x slower", Truth.BLATANT, slower=lambda _share, _minutes: 3.0, rates=ANY_RATE),
    Kind("3x slower from 25 % on", Truth.BLATANT, slower=lambda share, _: 3.0 if share >= 0.25 else 1.0),
    Kind("slower by 15 % a minute", Truth.BLATANT, slower=lambda _share, minutes: 1.0 + 0.15 * minutes),
    Kind("2 % errors instead of 0.1 %", Truth.SUBTLE, errors=lambda _share, _minutes: 0.019),
    Kind("1.5x slower", Truth.SUBTLE, slower=lambda _share, _minutes: 1.5),
    Kind("1 request in 10 is 10x slower", Truth.SUBTLE, slower=lambda _share, _minutes: 10.0, slow_share=0.1),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a release ended: `end` is promoted, taken back, escalated or paused; `percent` is what it had by then."""

    end: str
    percent: int
    looks: int
    minutes: float


@dataclass
class Metrics:
    """What has been counted of one revision."""

    requests: int = 0
    errors: int = 0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(BOUNDS_MS) + 1, dtype=np.int64))

    def window(self) -> Window:
        return Window(self.requests, self.errors, spread(BOUNDS_MS, self.counts.tolist()))


class Release:
    """One release of a service that has its own speed, noise and time of outage."""

    def __init__(self, kind: Kind, rate: float, own_errors: float, random: np.random.Generator) -> None:
        self.kind, self.rate, self.own_errors, self.random = kind, rate, own_errors, random
        self.minutes, self.looks, self.percent = 0.0, 0, 0
        self.median_ms = float(np.exp(random.uniform(np.log(20), np.log(400))))
        self.sigma = random.uniform(0.3, 1.0)
        self.noise = random.uniform(0.95, 1.05)  # between two equal revisions: another machine, another cache
        self.outage_from = random.uniform(0, 12)  # minutes

    def run(self) -> Outcome:
        """Proven dark, then step by step to an end."""
        split: tuple[TrafficTarget, ...] = (TrafficTarget("stable", 100),)
        judgement, stable = self.prove_dark(), Window(0, 0)
        while True:
            live = Traffic(split, "candidate", REVISIONS)
            step = next_split(live, "stable", "candidate", self.kind.steps, judgement.verdict)
            if step.move is Move.FORWARD:
                split, self.percent = step.targets, step.percent
                judgement, stable = self.bake(stable)
            elif step.move is Move.BACK:
                return self.ended("escalated" if escalate(judgement, self.judge_target(stable)) else "taken back")
            else:
                return self.ended("promoted" if step.move is Move.DONE else "paused")

    def ended(self, end: str) -> Outcome:
        return Outcome(end, self.percent, self.looks, self.minutes)

    def prove_dark(self) -> Judgement:
        """Probes of both revisions, until they prove something or a person would be asked."""
        ours: list[Probe] = []
        theirs: list[Probe] = []
        while True:
            ours += self.probe(candidate=True)
            theirs += self.probe(candidate=False)
            latencies = [[probe.latency_ms for probe in side if probe.ok] for side in (ours, theirs)]
            judgement = combine([judge_probes(ours, RULES), judge_latency(latencies[0], latencies[1], RULES)])
            self.looks += 1
            if judgement.verdict is not Verdict.INCONCLUSIVE or self.looks == PROBE_ROUNDS:
                return judgement

    def judge_target(self, last: Window) -> Judgement:
        """The revision to go back to: probed until the answer is clear, and by the metrics it has."""
        probes: list[Probe] = []
        for _ in range(PROBE_ROUNDS):
            probes += self.probe(candidate=False)
            if judge_probes(probes, RULES).verdict is not Verdict.INCONCLUSIVE:
                break
        return combine([judge_probes(probes, RULES), judge_stable(last, RULES)])

    def probe(self, candidate: bool) -> list[Probe]:
        accepted = self.random.random(PROBES) >= self.error_rate(0.0, candidate)
        times_ms = self.random.lognormal(np.log(self.median_ms), self.sigma, PROBES)
        if candidate:
            slow = self.random.random(PROBES) < self.kind.slow_share
            times_ms *= self.noise * np.where(slow, self.kind.slower(0.0, self.minutes), 1.0)
        return [Probe(ok, ms) for ok, ms in zip(accepted.tolist(), times_ms.tolist(), strict=True)]

    def bake(self, before: Window) -> tuple[Judgement, Window]:
        """Looks at what was counted since the step began, until it proves something or a person would be asked.

        At 100 % the candidate is compared with `before`, the last window in which stable served.
        """
        ours, theirs = Metrics(), Metrics()
        following = min((step for step in self.kind.steps if step > self.percent), default=100)
        waited_s = BAKE_S
        self.serve(BAKE_S, ours, theirs)
        while True:
            stable = theirs.window() if self.percent < 100 else before
            judgement = judge_window(ours.window(), stable, RULES, following)
            self.looks += 1
            unclear = judgement.verdict is Verdict.INCONCLUSIVE
            if not unclear or on_inconclusive(Course.PAUSE, waited_s, LIMIT_S) is not Course.WAIT:
                return judgement, stable
            self.serve(LOOK_EVERY_S, ours, theirs)
            waited_s += LOOK_EVERY_S

    def serve(self, seconds: float, ours: Metrics, theirs: Metrics) -> None:
        """Some time passes with requests to both revisions."""
        share = self.percent / 100
        for metrics, candidate, part in ((ours, True, share), (theirs, False, 1 - share)):
            requests = self.random.poisson(self.rate * seconds * part)
            metrics.requests += requests
            metrics.errors += self.random.binomial(requests, self.error_rate(share, candidate))
            slow = self.random.binomial(requests, self.kind.slow_share) if candidate else 0
            speed = self.noise if candidate else 1.0
            for count, factor in ((requests - slow, speed), (slow, speed * self.kind.slower(share, self.minutes))):
                shares = bucket_shares(self.median_ms * factor, self.sigma)
                metrics.counts += self.random.multinomial(count, shares)
        self.minutes += seconds / 60

    def error_rate(self, share: float, candidate: bool) -> float:
        rate = self.own_errors
        if self.kind.truth is Truth.OUTAGE and 0 <= self.minutes - self.outage_from < OUTAGE_MINUTES:
            rate += 0.2
        if candidate:
            rate += self.kind.errors(share, self.minutes)
        return min(rate, 1.0)


@cache
def bucket_shares(median_ms: float, sigma: float) -> NDArray[np.float64]:
    """The share of requests in each bucket of the histogram."""
    return np.diff(lognorm.cdf(BOUNDS_MS, sigma, scale=median_ms), prepend=0.0, append=1.0)


@dataclass(frozen=True, slots=True)
class Row:
    kind: Kind
    rate: float
    own_errors: float
    outcomes: list[Outcome]

    def count(self, *ends: str) -> int:
        return sum(outcome.end in ends for outcome in self.outcomes)

    def __str__(self) -> str:
        looks = [outcome.looks for outcome in self.outcomes]
        minutes = statistics.median(outcome.minutes for outcome in self.outcomes)
        percent = statistics.median(outcome.percent for outcome in self.outcomes)
        ends = Counter(outcome.end for outcome in self.outcomes)
        cells = (
            self.kind.name,
            f"{self.rate:g}",
            f"{100 * self.own_errors:g} %",
            len(self.outcomes),
            *(ends[end] or "" for end in ENDS),
            f"{statistics.median(looks):g} (max {max(looks)})",
            f"{minutes:g}",
            f"{percent:g} %",
        )
        return "| " + " | ".join(map(str, cells)) + " |"


ENDS = ("promoted", "taken back", "escalated", "paused")
HEAD = ("release", "requests/s", "own errors", "releases", *ENDS, "windows judged", "minutes", "reached")


def simulate() -> Iterator[Row]:
    number = 0
    for kind in KINDS:
        for rate, own_errors in product(kind.rates, kind.own_errors):
            outcomes = []
            for _ in range(kind.releases):
                number += 1
                outcomes.append(Release(kind, rate, own_errors, np.random.default_rng([SEED, number])).run())
            yield Row(kind, rate, own_errors, outcomes)


def share_of(count: int, total: int) -> str:
    low, high = wilson(count, total)
    return f"{count} of {total} ({100 * count / total:.2f} %; 95 % interval {100 * low:.2f} to {100 * high:.2f} %)"


def report(rows: Iterable[Row]) -> tuple[str, bool]:
    """The page, and whether the rules kept their promises."""
    rows = list(rows)
    by_truth: dict[Truth, list[Row]] = defaultdict(list)
    for row in rows:
        by_truth[row.kind.truth].append(row)
    released = {truth: sum(len(row.outcomes) for row in group) for truth, group in by_truth.items()}
    back = {truth: sum(row.count("taken back") for row in group) for truth, group in by_truth.items()}
    passed = {truth: sum(row.count("promoted") for row in group) for truth, group in by_truth.items()}
    blind = sum(row.count("promoted") for row in rows if not row.rate)
    kept = back[Truth.GOOD] <= ALLOWED_FALSE_ROLLBACKS * released[Truth.GOOD] and not passed[Truth.BLATANT] + blind
    lines = (
        TITLE,
        f"* Good releases taken back: {share_of(back[Truth.GOOD], released[Truth.GOOD])}.",
        f"* Blatantly bad releases that got through: {share_of(passed[Truth.BLATANT], released[Truth.BLATANT])}.",
        f"* Subtly bad releases that got through: {share_of(passed[Truth.SUBTLE], released[Truth.SUBTLE])}.",
        f"* Good releases taken back because of an outage of both revisions: "
        f"{share_of(back[Truth.OUTAGE], released[Truth.OUTAGE])}. {OUTAGE_NOTE}",
        f"* Promoted without any traffic to judge: {blind}.",
        "",
        "| " + " | ".join(HEAD) + " |",
        "|" + "---|" * len(HEAD),
        *map(str, rows),
        "",
    )
    return "\n".join(lines), kept


TITLE = f"""# False verdicts

Simulated canary releases under the default rules, made by `python -m benchmarks.false_verdicts` (seed {SEED}). Steps
5, 25, 50 and 100 %; the first look {BAKE_S / 60:g} min after a step, then one every {LOOK_EVERY_S / 60:g} min; after \
{LIMIT_S / 60:g} min without proof a person is
asked ("paused"). Minutes do not contain the up to 3 min by which Cloud Monitoring's metrics are late. Windows, minutes
and the share of the traffic that was reached are medians.
"""
OUTAGE_NOTE = "At 100 % nothing is left to compare with, and the old revision answers again when the outage is over."


def main() -> int:
    started = time.perf_counter()
    page, kept = report(simulate())
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(page)
    print(page)
    print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
