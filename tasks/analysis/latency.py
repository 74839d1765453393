"""Is a candidate slower than stable? Pure.

Only what matters counts: by a ratio and by milliseconds, in general or for the slowest requests. Both sides are warm
when they are measured; who calls sees to that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.analysis.sequential import Latencies, e_more, e_slower, measured, odds, odds_slower, slowdown, wilson
from tasks.analysis.verdict import Judgement, Rules
from tasks.model import Verdict

SURE = 2.6  # standard errors
TAIL = 0.95  # the requests beyond this share of stable's are slow ones
TAIL_MARGIN = 0.02  # so many more of them, as a share of all, are still no slow tail
TAIL_BAD = 0.07  # and so many more are one
USUAL_VARIANCE = 1.0  # of the logs of latencies, to say how many are needed before any was seen


@dataclass(frozen=True, slots=True)
class Slower:
    """By how much a candidate has to be slower. Ratios of typical latencies (geometric means)."""

    noise: float  # two equal revisions differ by so much: another machine, another cache
    ratio: float  # below this nothing matters; Kayenta's tolerance is 1.25
    ms: float  # nor below this: a shared CPU alone can do it
    bad: float | None  # what HEALTHY must exclude; None where nothing can be excluded


SAME_MINUTES = Slower(noise=1.1, ratio=1.25, ms=10.0, bad=1.5)
# Minutes differ, so what was served in others is no match: only this much slower is held against a candidate.
OTHER_MINUTES = Slower(noise=1.5, ratio=2.0, ms=100.0, bad=None)
# Before any traffic there are few samples, and what is warming up is still getting faster.
DARK = Slower(noise=1.25, ratio=2.0, ms=50.0, bad=None)


def judge_latency(ours: Latencies, theirs: Latencies, rules: Rules, slower: Slower = SAME_MINUTES) -> Judgement:
    """UNHEALTHY: slower by what matters, and beyond doubt, in general or in the slowest requests. HEALTHY: beyond doubt
    not as slow as `slower.bad`, or too little to matter. INCONCLUSIVE in between, and with few latencies.
    """
    if min(ours.total, theirs.total) < rules.min_samples:
        return _too_few(ours, theirs, rules, slower)
    tail_ms, stable_tail_ms = ours.quantile(TAIL), theirs.quantile(TAIL)
    facts = (
        f"typically {ours.typical_ms:.0f} ms, p95 {tail_ms:.0f} ms; stable {theirs.typical_ms:.0f} and "
        f"{stable_tail_ms:.0f} ms"
    )
    ratio, variance = slowdown(ours, theirs)
    general = _matters(ours.typical_ms, theirs.typical_ms, slower)
    tail = _matters(tail_ms, stable_tail_ms, slower) and slower.bad is not None
    slow, usual = ours.above(stable_tail_ms), theirs.above(stable_tail_ms)
    expected = wilson(usual, theirs.total)[1]
    if (general and e_slower(ratio - math.log(slower.noise), variance) >= rules.conviction) or (
        tail and e_more(slow, ours.total, expected + TAIL_MARGIN) >= rules.conviction
    ):
        return Judgement(Verdict.UNHEALTHY, f"slower than stable: {facts}", (facts,))
    at_most_ms = theirs.typical_ms * (math.exp(ratio + SURE * math.sqrt(variance)) - 1)
    if slower.bad is None or max(at_most_ms, tail_ms - stable_tail_ms) < slower.ms:
        return Judgement(Verdict.HEALTHY, f"not slower than stable by what matters: {facts}", (facts,))
    share = usual / theirs.total
    against = max(
        odds_slower(ratio, variance, math.log(slower.bad)),
        odds(slow, ours.total, share + 0.01, share + TAIL_BAD),
    )
    if against <= -rules.acquittal:
        return Judgement(Verdict.HEALTHY, f"surely not {slower.bad} times slower than stable: {facts}", (facts,))
    enough = _needed(ours.log_variance * ours.total, rules, slower.bad)
    said = f"perhaps slower than stable: {facts}"
    return Judgement(
        Verdict.INCONCLUSIVE, said, (facts,), enough, max(enough - ours.total, enough // 4, 1), against > 0
    )


def grossly_slower(ours_ms: Sequence[float], theirs_ms: Sequence[float]) -> bool:
    """Whether probes look as if the candidate were slow beyond any warm-up, by their medians."""
    ours, theirs = measured(ours_ms), measured(theirs_ms)
    return bool(ours.total and theirs.total) and _matters(ours.quantile(0.5), theirs.quantile(0.5), DARK)


def judge_dark(ours_ms: Sequence[float], theirs_ms: Sequence[float], rules: Rules) -> Judgement:
    """Only a gross slowdown refuses a candidate that has no users yet; all else is left to what they will see."""
    found = judge_latency(measured(ours_ms), measured(theirs_ms), rules, DARK)
    if found.verdict is Verdict.UNHEALTHY and not grossly_slower(ours_ms, theirs_ms):
        return Judgement(
            Verdict.HEALTHY, found.reason.replace("slower than", "not grossly slower than"), found.evidence
        )
    return found


def _matters(ours_ms: float, theirs_ms: float, slower: Slower) -> bool:
    return ours_ms >= theirs_ms * slower.ratio and ours_ms - theirs_ms >= slower.ms


def _too_few(ours: Latencies, theirs: Latencies, rules: Rules, slower: Slower) -> Judgement:
    facts = f"{ours.total} latencies and {theirs.total} on stable"
    if slower.bad is None:
        return Judgement(Verdict.HEALTHY, f"{facts}: too few to hold against it", (facts,))
    enough = _needed(USUAL_VARIANCE, rules, slower.bad)
    missing = max(enough - ours.total, 1)
    said = f"{facts}: about {missing} more are needed"
    return Judgement(Verdict.INCONCLUSIVE, said, (facts,), enough, missing)


def _needed(variance: float, rules: Rules, bad: float) -> int:
    """How many latencies, with as many on stable, tell an equal candidate from one that is `bad` times slower."""
    return max(math.ceil(2 * variance * rules.acquittal / (math.log(bad) ** 2 / 2)), rules.min_samples)
