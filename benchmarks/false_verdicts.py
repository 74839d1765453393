"""How often a good release is taken back, or a bad one gets through: the product's own proof and watch in many worlds.

    python -m benchmarks.false_verdicts [--quick | --times N]

Each release goes through `tasks.analysis.proof`, `tasks.rollout.split` and `tasks.rollout.watch` as they are, at the
default settings of slipway.yaml, in a world (`benchmarks.canary_world`) that hands in the clock, the metrics and the
answers to probes. Only HEALTHY lets a release go on; what is taken back for want of evidence is taken back. The seed is
fixed: the same code prints the same page, which is also written to benchmarks/results/false_verdicts.md. The exit code
is 1 when a promise on that page is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.canary_world import Clock, Effect, Service, World
from infra.gcp.run.traffic import TrafficTarget
from tasks.analysis.proof import prove_candidate
from tasks.analysis.senses import Senses
from tasks.analysis.sequential import wilson
from tasks.manifest.loading import parse_manifest
from tasks.manifest.manifest import Manifest
from tasks.manifest.settings import Health
from tasks.model import Candidate, Place, Request, Snapshot, Verdict
from tasks.rollout.sent import Written
from tasks.rollout.shift import steps_for
from tasks.rollout.split import Move, Traffic, next_split
from tasks.rollout.watch import Hold, following, keep_watch

SEED = 20_260_601
RESULTS = Path(__file__).parent / "results" / "false_verdicts.md"
TIMES = 8.0  # so many as half an hour of two cores allows
MANIFEST = """
app: shop
services: {{{services}}}
environments:
  production: {{project: acme-prod, regions: [europe-west1], strategy: {{canary: [5, 25, 50]}}}}
"""
BEFORE_GOOD, BEFORE_QUIET, BEFORE_BLATANT, BEFORE_SUBTLE, BEFORE_BEYOND = (
    "56 of 94 (60 %)",
    "29 of 29 (100 %)",
    "0 of 52",
    "0 of 44",
    "0 of 4",
)
SILENT = logging.getLogger("benchmarks.silent")
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False


@dataclass(frozen=True, slots=True)
class Promise:
    """`most`: the share of the releases that may end wrongly; None where nothing is promised."""

    said: str
    good: bool  # whether its releases ought to reach all traffic
    most: float | None
    before: str


GOOD = Promise("good releases taken back, at 1 request/s and more: below 0.5 %", True, 0.005, BEFORE_GOOD)
QUIET = Promise("good releases taken back, at 0.1 requests/s and less: below 2 %", True, 0.02, BEFORE_QUIET)
BLATANT = Promise("blatantly bad releases let through: none", False, 0.0, BEFORE_BLATANT)
SUBTLE = Promise("subtly bad releases let through: below 2 %", False, 0.02, BEFORE_SUBTLE)
BEYOND = Promise("subtly bad to users only, at 0.1 requests/s, let through: no promise", False, None, BEFORE_BEYOND)
PROMISES = (GOOD, QUIET, BLATANT, SUBTLE, BEYOND)


def always(share: float) -> Effect:
    return lambda _share, _minutes: share


def from_25(share: float) -> Effect:
    return lambda traffic, _minutes: share if traffic >= 0.25 else 0.0


BAD_QUIET = Service(rate=0.1, errors=always(0.1), probes_see=False)


@dataclass(frozen=True, slots=True)
class Kind:
    """Releases of an app whose services are so."""

    name: str
    promise: Promise
    services: tuple[Service, ...]
    releases: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a release ended: one of `ENDS`."""

    end: str
    percent: int
    minutes: float


ENDS = ("promoted", "refused", "bad", "unclear")


@dataclass(frozen=True, slots=True)
class Row:
    kind: Kind
    outcomes: list[Outcome]

    @property
    def wrong(self) -> int:
        promoted = sum(outcome.end == "promoted" for outcome in self.outcomes)
        return len(self.outcomes) - promoted if self.kind.promise.good else promoted

    def __str__(self) -> str:
        ends = Counter(outcome.end for outcome in self.outcomes)
        cells = (
            self.kind.name,
            ", ".join(f"{service.rate:g}" for service in self.kind.services),
            len(self.outcomes),
            *(ends[end] or "" for end in ENDS),
            f"{statistics.median(outcome.minutes for outcome in self.outcomes):.0f}",
            f"{statistics.median(outcome.percent for outcome in self.outcomes):g} %",
        )
        return "| " + " | ".join(map(str, cells)) + " |"


async def release(kind: Kind, *seed: int) -> Outcome:
    """Proven dark, then step by step to an end."""
    clock = Clock(3600.0 + 7.7 * (seed[-1] % 60))
    worlds = {f"s{at}": World(service, clock, [SEED, *seed, at]) for at, service in enumerate(kind.services)}
    request = a_request(list(worlds))
    candidates = [a_candidate(name) for name in worlds]
    senses = senses_of(worlds, clock)
    began_s = clock.seconds

    def ended(end: str, percent: int) -> Outcome:
        return Outcome(end, percent, (clock.seconds - began_s) / 60)

    for each in candidates:
        if (await prove_candidate(request, each, senses)).verdict is not Verdict.HEALTHY:
            return ended("refused", 0)
    written: Written = {each.place: ((TrafficTarget("stable", 100),),) for each in candidates}
    hold: Hold | None = None
    while True:
        taken = [step_up(request, each, written) for each in candidates]
        if all(move is Move.DONE for move, _ in taken):
            return ended("promoted", 100)
        percent = min(percent for _, percent in taken)
        for world in worlds.values():
            world.step(percent)
        hold = following(hold, request.settings.bake_s, clock.now())
        found = await keep_watch(request, candidates, written, hold, senses, SILENT, unmoved)
        if found.verdict is not Verdict.HEALTHY:
            return ended("bad" if found.verdict is Verdict.UNHEALTHY else "unclear", percent)


def senses_of(worlds: dict[str, World], clock: Clock) -> Senses:
    """All services' worlds as one, by the name at the end of a service's full name."""

    def of(service: str) -> World:
        return worlds[service.rpartition("-")[2]]

    return Senses(
        served=lambda service, *more: of(service).served(service, *more),
        asking=lambda service, *more: of(service).asking(service, *more),
        now=clock.now,
        sleep=clock.sleep,
    )


def step_up(request: Request, candidate: Candidate, written: Written) -> tuple[Move, int]:
    live = Traffic(written[candidate.place][-1], "candidate", frozenset({"stable", "candidate"}))
    taken = next_split(live, "stable", "candidate", steps_for(request, candidate), Verdict.HEALTHY)
    written[candidate.place] = (taken.targets,)
    return taken.move, taken.percent


async def unmoved(_request: Request, _candidate: Candidate, _written: object) -> None:
    """Nobody else moves traffic here."""


@cache
def a_manifest(services: int) -> Manifest:
    return parse_manifest(MANIFEST.format(services=", ".join(f"s{number}: {{}}" for number in range(services))))


def a_request(services: Sequence[str]) -> Request:
    manifest = a_manifest(len(services))
    settings = manifest.environment("production")
    folder = Path()
    return Request("shop", "production", tuple(services), manifest, settings, folder, folder, "run")


def a_candidate(service: str) -> Candidate:
    place = Place(service, "europe-west1")
    before = Snapshot(place, (TrafficTarget("stable", 100),), "stable", "stable", "stable")
    return Candidate("candidate", "v2", "candidate", "service", before, before.traffic, Health())


KINDS = (
    Kind("good", GOOD, (Service(),), 100),
    Kind("good", GOOD, (Service(rate=10),), 50),
    Kind("good", GOOD, (Service(rate=100),), 30),
    Kind("good, own errors 0.5 %", GOOD, (Service(own_errors=0.005),), 30),
    Kind("good, own errors 1 %", GOOD, (Service(own_errors=0.01),), 30),
    Kind("good, own errors 3 %", GOOD, (Service(rate=10, own_errors=0.03),), 30),
    Kind("good, cold starts after each step", GOOD, (Service(cold=0.06),), 30),
    Kind("good, cold starts after each step", GOOD, (Service(rate=10, cold=0.06),), 30),
    Kind("good, 2x slower while its JIT warms up", GOOD, (Service(jit=2),), 30),
    Kind("good, 3x slower while its JIT warms up", GOOD, (Service(rate=10, jit=3),), 30),
    Kind("good, three services, one of them quiet", GOOD, (Service(rate=10), Service(rate=3), Service(rate=0.05)), 30),
    Kind("good, 20 % errors on both for 3 min", GOOD, (Service(rate=10, outage_min=3),), 50),
    Kind("good, quiet", QUIET, (Service(rate=0.1),), 75),
    Kind("good, quiet, own errors 1 %", QUIET, (Service(rate=0.1, own_errors=0.01),), 25),
    Kind("good, quiet, JIT and cold starts", QUIET, (Service(rate=0.1, jit=3, cold=0.06),), 25),
    Kind("good, no users at all", QUIET, (Service(rate=0.0),), 20),
    Kind("does not answer", BLATANT, (Service(errors=always(1.0)),), 15),
    Kind("20 % errors", BLATANT, (Service(errors=always(0.2)),), 15),
    Kind("10 % errors", BLATANT, (Service(rate=10, errors=always(0.1)),), 30),
    Kind("10 % errors, of users only", BLATANT, (Service(errors=always(0.1), probes_see=False),), 30),
    Kind("10 % errors, of users only", BLATANT, (Service(rate=0.1, errors=always(0.1), probes_see=False),), 50),
    Kind("20 % errors from 25 % on", BLATANT, (Service(rate=10, errors=from_25(0.2), probes_see=False),), 15),
    Kind("404 to everybody", BLATANT, (Service(refused=always(1.0), probes_see=False),), 15),
    Kind("404 to everybody", BLATANT, (Service(rate=0.1, refused=always(1.0), probes_see=False),), 15),
    Kind("401 to a third", BLATANT, (Service(refused=always(0.33), probes_see=False),), 15),
    Kind("3x slower", BLATANT, (Service(slower=3.0),), 15),
    Kind("3x slower from 25 % on", BLATANT, (Service(rate=10, slower=3.0, from_share=0.25, probes_see=False),), 15),
    Kind("slower by 15 % a minute", BLATANT, (Service(rate=10, drift=0.15, probes_see=False),), 15),
    Kind("bad beside a good one: 10 % errors", BLATANT, (Service(rate=10), BAD_QUIET), 15),
    Kind("+1 point of errors, of users only", SUBTLE, (Service(errors=always(0.01), probes_see=False),), 40),
    Kind("+1 point of errors, of users only", SUBTLE, (Service(rate=10, errors=always(0.01), probes_see=False),), 25),
    Kind("+2 points of errors, of users only", SUBTLE, (Service(errors=always(0.02), probes_see=False),), 25),
    Kind("1.5x slower, for users only", SUBTLE, (Service(slower=1.5, probes_see=False),), 30),
    Kind("1.5x slower, for users only", SUBTLE, (Service(rate=10, slower=1.5, probes_see=False),), 25),
    Kind("1 request in 10 is 10x slower", SUBTLE, (Service(slower=10, slow_share=0.1, probes_see=False),), 25),
    Kind("+2 points of errors", SUBTLE, (Service(rate=0.1, errors=always(0.02)),), 25),
    Kind("1.5x slower", SUBTLE, (Service(rate=0.1, slower=1.5),), 25),
    Kind("+2 points of errors, of users only", BEYOND, (Service(rate=0.1, errors=always(0.02), probes_see=False),), 10),
    Kind("1.5x slower, for users only", BEYOND, (Service(rate=0.1, slower=1.5, probes_see=False),), 10),
    Kind("good, stable always fails", GOOD, (Service(own_errors=1.0, errors=always(-0.999)),), 20),
    Kind("good, stable has 20 % errors", GOOD, (Service(rate=10, own_errors=0.201, errors=always(-0.2)),), 20),
    Kind("good, stable always fails", QUIET, (Service(rate=0.1, own_errors=1.0, errors=always(-0.999)),), 20),
    Kind("10 % errors, stable always fails", BLATANT, (Service(rate=10, own_errors=1.0, errors=always(-0.9)),), 15),
)


def simulate(times: float) -> list[Row]:
    """In all processors at once; each release draws from its own seed, so that their order does not matter.

    times: how many times as many releases as KINDS say; the first of them are the same ones.
    """
    work = [(at, number) for at, kind in enumerate(KINDS) for number in range(int(kind.releases * times) or 1)]
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        outcomes = list(pool.map(run, work, chunksize=5))
    rows = [Row(kind, []) for kind in KINDS]
    for (at, _), outcome in zip(work, outcomes, strict=True):
        rows[at].outcomes.append(outcome)
    return rows


def run(work: tuple[int, int]) -> Outcome:
    return asyncio.run(release(KINDS[work[0]], work[0], work[1]))


def report(rows: Sequence[Row], times: float) -> tuple[str, bool]:
    """The page, and whether the promises are kept."""
    option = f" --times {times:g}" if times != TIMES else ""
    lines = [TITLE.format(option=option), "| " + " | ".join(PROMISED) + " |", "|" + "---|" * len(PROMISED)]
    kept = True
    for promise in PROMISES:
        of_it = [row for row in rows if row.kind.promise is promise]
        wrong, total = sum(row.wrong for row in of_it), sum(len(row.outcomes) for row in of_it)
        kept &= promise.most is None or wrong <= promise.most * total
        cells = promise.said, share(wrong, total), shown(wrong, total, promise.most), promise.before
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", BEFORE_NOTE, "", "| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD), *map(str, rows), ""]
    return "\n".join(lines), kept


def share(count: int, total: int) -> str:
    low, high = wilson(count, total)
    return f"**{count} of {total}** ({100 * count / total:.2f} %; 95 % interval {100 * low:.2f} to {100 * high:.2f} %)"


def shown(count: int, total: int, most: float | None) -> str:
    """Whether so few of so many show that the promise holds, and do not merely leave it possible."""
    if most is None:
        return ""
    if not most:
        return f"none of {total}" if not count else "broken"
    return "yes" if wilson(count, total)[1] <= most else "no: the interval reaches beyond it"


TITLE = f"""# False verdicts

Simulated canary releases, made by `python -m benchmarks.false_verdicts{{option}}` (seed {SEED}). Each goes
through the product's own dark proof, splits and watch, at the default settings of slipway.yaml with steps 5, 25, 50
and 100 %; the clock, Cloud Monitoring and the answers to probes are a simulated world's. A release that is taken back
for want of evidence, or refused before it got traffic, is taken back. Rates are requests per second to the whole
service; own errors are 0.1 % where nothing else is said. Minutes are medians, with the 3 min by which metrics are late
at each step.
"""
BEFORE_NOTE = """\
*Before*: a part of the same worlds under the rules and defaults of the version before (bake 2m, `on_inconclusive:
wait`, 15m; tests for one look, shared out over 100), replayed once. At 1 request/s and less it let nothing through,
good or bad. What lies beyond the promise is shown because it is so: at 0.1 requests a second, an error in 50 that only
users meet takes hours to be seen by anybody."""
PROMISED = ("promise", "wrong at the default settings", "shown", "before")
HEAD = ("release", "requests/s", "releases", *ENDS, "minutes", "reached")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="a tenth of KINDS, no page")
    parser.add_argument("--times", type=float, default=TIMES, metavar="N", help="how many times KINDS")
    given = parser.parse_args()
    times = 0.1 if given.quick else given.times
    started = time.perf_counter()
    page, kept = report(simulate(times), times)
    if not given.quick:
        RESULTS.write_text(page)
    print(page)
    print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
