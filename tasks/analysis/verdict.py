"""Is a candidate healthy? Verdicts from probes and from request metrics, and what an unclear one leads to. Pure.

UNHEALTHY beats INCONCLUSIVE beats HEALTHY, and no data is INCONCLUSIVE, never healthy. A candidate is compared with the
stable revision in the same minutes, so that what hits both is not held against it.

A release is judged many times, and each look could take a good candidate back by chance. `Rules.alpha`, the chance over
the whole release, is therefore spent in equal parts over `Rules.looks` (Bonferroni): a single look needs evidence that
is `looks` times stronger. How often that goes wrong is measured by benchmarks/false_verdicts.py.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import accumulate

from tasks.model import Verdict

# numpy and scipy are imported where they are used: they take a second, and most runs of a flow judge nothing.

CONFIDENCE = 0.95  # two-sided, of all intervals; the usual one
SAMPLES = 2_000  # latencies kept of a histogram: more than the tests need to be sure of `Rules.slower_ratio`
SUSPICIOUS = 0.05  # a slowdown that chance explains less often than this is looked at again before it passes


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as proof. Rates are shares of requests, 0 to 1.

    Where no source is named, benchmarks/false_verdicts.py is: the value with which good releases stay and bad ones go.
    """

    error_limit: float = 0.01  # the SLO, and how much worse than stable a release may be; cloud-run-release-manager's
    ceiling: float = 0.10  # never HEALTHY above it, whatever stable does; a stable revision above it is an outage
    probe_error_limit: float = 0.05  # of a health endpoint that has answered once; probes are few and each one counts
    min_errors: int = 3  # fewer are a blip, not a rate
    min_requests: int = 100  # fewer are no proof of health; cloud-run-release-manager's
    min_samples: int = 20  # latencies on each side; below 11 not even complete separation convinces at `alpha_per_look`
    slower_ratio: float = 1.25  # a p50 or p95 below this ratio is as good as equal; Kayenta's tolerance of 0.25
    slower_ms: float = 10.0  # nor does less than this matter, whatever the ratio: a shared CPU alone can do it
    alpha: float = 0.005  # the chance that a good release is taken back, over all its looks
    looks: int = 100  # judgements in a release: services x regions x steps x looks per step x 3 tests
    tries: int = 5  # until the first accepted answer

    @property
    def alpha_per_look(self) -> float:
        return self.alpha / self.looks


@dataclass(frozen=True, slots=True)
class Probe:
    """One request to a revision's tag URL. `ok`: the status was accepted and the body as it must be."""

    ok: bool
    latency_ms: float
    status: int | None = None  # None: no answer
    detail: str = ""  # what was wrong: "connection refused"

    def __str__(self) -> str:
        return self.detail or (f"status {self.status}" if self.status else "no answer")


@dataclass(frozen=True, slots=True)
class Window:
    """What one revision served in a span of time."""

    requests: int
    errors: int  # answers with a 5xx status
    latencies_ms: Sequence[float] = ()  # samples, or a histogram's `spread`


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    reason: str
    evidence: tuple[str, ...] = ()


class Course(StrEnum):
    """What an INCONCLUSIVE verdict leads to."""

    WAIT = "wait"
    PAUSE = "pause"  # until a person decides
    ROLL_BACK = "rollback"


def judge_probes(probes: Sequence[Probe], rules: Rules) -> Judgement:
    """The verdict on probes in the order they were made: tries until one is accepted, then samples.

    UNHEALTHY: no try was accepted, or samples fail beyond doubt more often than `probe_error_limit`. HEALTHY: the last
    `min_samples` were all accepted. Otherwise INCONCLUSIVE: more probes will tell.
    """
    tries = probes[: rules.tries]
    accepted = next((number for number, probe in enumerate(tries) if probe.ok), None)
    if accepted is None:
        verdict = Verdict.UNHEALTHY if len(tries) == rules.tries else Verdict.INCONCLUSIVE
        last = f", the last with {tries[-1]}" if tries else ""
        return Judgement(verdict, f"{len(tries)} of {rules.tries} tries made and none accepted{last}")
    samples = probes[accepted:]
    failed = [probe for probe in samples if not probe.ok]
    evidence = (
        f"accepted at try {accepted + 1}; {len(failed)} of {len(samples)} probes failed since",
        *map(str, failed[:3]),
    )
    if _too_many(len(failed), len(samples), rules.probe_error_limit, rules):
        return Judgement(Verdict.UNHEALTHY, f"{len(failed)} of {len(samples)} probes failed", evidence)
    recent = samples[-rules.min_samples :]
    if len(recent) == rules.min_samples and all(probe.ok for probe in recent):
        return Judgement(Verdict.HEALTHY, f"the last {len(recent)} probes were accepted", evidence)
    return Judgement(Verdict.INCONCLUSIVE, f"fewer than {rules.min_samples} probes in a row were accepted", evidence)


def judge_window(candidate: Window, stable: Window | None, rules: Rules, next_percent: int = 100) -> Judgement:
    """The verdict on request metrics: errors and latency together. `stable` is None in a first deployment."""
    judgements = [judge_errors(candidate, stable, rules, next_percent)]
    if stable is not None:
        judgements.append(judge_latency(candidate.latencies_ms, stable.latencies_ms, rules))
    return combine(judgements)


def judge_errors(candidate: Window, stable: Window | None, rules: Rules, next_percent: int = 100) -> Judgement:
    """The verdict on error rates.

    UNHEALTHY: at least `min_errors`, and beyond doubt more often than `error_limit` and than the upper end of stable's
    Wilson interval. HEALTHY: at least `min_requests`, and even at the upper end of the candidate's, with the next
    step's share of the traffic (`next_percent`), all requests together fail at most `error_limit` more often than
    stable's: 5 errors in 100 may be risked for 20 % of the traffic, not for all of it. Never above `ceiling`.

    At 100 % stable serves nothing; pass the last window in which it did.
    """
    counted, compared = _counts(candidate), stable and _counts(stable)
    if not counted:
        return Judgement(Verdict.INCONCLUSIVE, "no requests to judge the error rate by")
    errors, requests = counted
    stable_errors, stable_requests = compared or (0, 0)
    limit = max(rules.error_limit, wilson(*compared)[1] if compared else 0)
    stable_rate = stable_errors / max(stable_requests, 1)
    allowed = min(stable_rate + rules.error_limit * 100 / next_percent, rules.ceiling)
    facts = f"{errors} of {requests} requests failed ({_percent(errors / requests)})"
    evidence = (facts, f"{stable_errors} of {stable_requests} failed on stable ({_percent(stable_rate)})")
    if _too_many(errors, requests, limit, rules):
        return Judgement(Verdict.UNHEALTHY, f"{facts}: surely above {_percent(limit)}", evidence)
    if requests >= rules.min_requests and wilson(errors, requests)[1] < allowed:
        return Judgement(Verdict.HEALTHY, f"{facts}: surely below {_percent(allowed)}", evidence)
    return Judgement(
        Verdict.INCONCLUSIVE, f"{facts}: neither surely below {_percent(allowed)} nor above {_percent(limit)}", evidence
    )


def judge_latency(candidate: Iterable[float], stable: Iterable[float], rules: Rules) -> Judgement:
    """The verdict on latencies in ms, by one-sided tests.

    UNHEALTHY: the p50 or the p95 is slower than stable's by an amount that matters, and beyond doubt, either by the
    Mann-Whitney U test, which sees requests get slower in general, or by the share of them above stable's p95, which
    sees a few get very slow. HEALTHY: neither matters, or chance explains it well. INCONCLUSIVE in between.
    """
    ours, theirs = _usable(candidate), _usable(stable)
    if min(len(ours), len(theirs)) < rules.min_samples:
        facts = f"{len(ours)} latencies and {len(theirs)} on stable"
        return Judgement(Verdict.INCONCLUSIVE, f"{facts}: fewer than {rules.min_samples}")
    (p50, p95), (stable_p50, stable_p95) = p50_p95(ours), p50_p95(theirs)
    facts = f"p50 {p50:.0f} ms, p95 {p95:.0f} ms; stable {stable_p50:.0f} and {stable_p95:.0f} ms"
    if not (_matters(p50, stable_p50, rules) or _matters(p95, stable_p95, rules)):
        return Judgement(Verdict.HEALTHY, f"as fast as stable: {facts}", (facts,))
    slow, usual = (sum(latency > stable_p95 for latency in side) for side in (ours, theirs))
    chances = _mann_whitney(ours, theirs), _chance_of_more(slow, len(ours), wilson(usual, len(theirs))[1])
    chance = min(chances)
    evidence = (facts, "Mann-Whitney U: p = {:.2g}; share above stable's p95: p = {:.2g}".format(*chances))
    if chance < rules.alpha_per_look:
        return Judgement(Verdict.UNHEALTHY, f"slower than stable: {facts}", evidence)
    if chance < SUSPICIOUS:
        return Judgement(Verdict.INCONCLUSIVE, f"perhaps slower than stable: {facts}", evidence)
    return Judgement(Verdict.HEALTHY, f"not provably slower than stable: {facts}", evidence)


def judge_stable(window: Window, rules: Rules) -> Judgement:
    """The stable revision by itself: UNHEALTHY when its error rate is surely above `ceiling`."""
    return judge_errors(window, None, replace(rules, error_limit=rules.ceiling))


def combine(judgements: Iterable[Judgement]) -> Judgement:
    """The worst of several, with the reasons that decided it and the evidence of all. Nothing is INCONCLUSIVE."""
    judgements = tuple(judgements)
    found = {judgement.verdict for judgement in judgements}
    order = (Verdict.UNHEALTHY, Verdict.INCONCLUSIVE, Verdict.HEALTHY)
    worst = next((verdict for verdict in order if verdict in found), Verdict.INCONCLUSIVE)
    reasons = dict.fromkeys(judgement.reason for judgement in judgements if judgement.verdict is worst)
    evidence = dict.fromkeys(line for judgement in judgements for line in judgement.evidence)
    return Judgement(worst, "; ".join(reasons) or "nothing was measured", tuple(evidence))


def on_inconclusive(policy: Course, waited_s: float, limit_s: float) -> Course:
    """What to do about a verdict that is still INCONCLUSIVE `waited_s` after the bake, by the environment's policy.

    ROLL_BACK goes back at once. The others wait up to `limit_s`; then PAUSE asks a person, and WAIT ends in ROLL_BACK:
    nothing is proven and nobody is to be asked.
    """
    if policy is not Course.ROLL_BACK and waited_s < limit_s:
        return Course.WAIT
    return Course.PAUSE if policy is Course.PAUSE else Course.ROLL_BACK


def escalate(candidate: Judgement, stable: Judgement) -> str | None:
    """Why going back would not help: the stable revision is bad too. None when it would, or when nothing is wrong."""
    if stable.verdict is not Verdict.UNHEALTHY or candidate.verdict is Verdict.HEALTHY:
        return None
    return f"the outage is elsewhere: the stable revision is unhealthy too ({stable.reason})"


def wilson(count: int, total: int) -> tuple[float, float]:
    """The two-sided 95 % Wilson interval of a share, 0 to 1."""
    from scipy.stats import binomtest

    interval = binomtest(count, total).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def p50_p95(latencies_ms: Sequence[float]) -> tuple[float, float]:
    """Two or more latencies' median and 95th percentile."""
    twentieths = statistics.quantiles(latencies_ms, n=20, method="inclusive")
    return twentieths[9], twentieths[18]


def spread(bounds_ms: Sequence[float], counts: Sequence[int]) -> tuple[float, ...]:
    """A histogram as samples, at most `SAMPLES`, laid out evenly within each bucket.

    As in Google's Distribution (google/api/distribution.proto): the first count is below the first bound, the last
    above the last bound, which stands for all of them; counts of zero at the end may be left out.
    """
    import numpy as np

    total = sum(counts)
    kept = min(total, SAMPLES)
    ranks = (np.arange(kept) + 0.5) * (total / max(kept, 1))
    edges = (0.0, *bounds_ms, *bounds_ms[-1:])[: len(counts) + 1]
    return tuple(np.interp(ranks, (0, *accumulate(counts)), edges).tolist())


def _too_many(errors: int, requests: int, limit: float, rules: Rules) -> bool:
    """Is the rate above the limit, as far as one look may say so?

    By the exact binomial test, because Wilson's interval is too sure of itself in the far tail: of 21 requests with a
    true error rate of 2 % three or more fail in one case of 120, and then its 99.99 % interval lies above 2.1 %.
    """
    return errors >= rules.min_errors and _chance_of_more(errors, requests, limit) < rules.alpha_per_look


def _chance_of_more(count: int, total: int, share: float) -> float:
    """How often at least `count` of `total` happen by chance when each does with probability `share`."""
    from scipy.stats import binomtest

    return float(binomtest(count, total, share, alternative="greater").pvalue)


def _matters(ours_ms: float, theirs_ms: float, rules: Rules) -> bool:
    return ours_ms >= theirs_ms * rules.slower_ratio and ours_ms - theirs_ms >= rules.slower_ms


def _mann_whitney(ours: Sequence[float], theirs: Sequence[float]) -> float:
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(ours, theirs, alternative="greater", method="asymptotic").pvalue)


def _counts(window: Window) -> tuple[int, int] | None:
    """Errors and requests; None where there is nothing to count, which includes numbers that are none."""
    errors, requests = window.errors, window.requests
    if math.isfinite(errors) and math.isfinite(requests) and errors >= 0 and requests > 0:
        return int(errors), int(max(errors, requests))
    return None


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def _usable(latencies_ms: Iterable[float]) -> list[float]:
    return [latency for latency in latencies_ms if math.isfinite(latency)]
