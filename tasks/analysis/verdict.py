"""Is a candidate healthy? Verdicts on its answers, by probes and by request metrics, and what they add up to. Pure.

UNHEALTHY beats INCONCLUSIVE beats HEALTHY, and no data is INCONCLUSIVE, never healthy. A candidate is compared with the
stable revision in the same minutes, so that what hits both is not held against it.

A release is judged many times, and each look could take a good candidate back by chance. Every test here may be asked
as often as one likes (`analysis.sequential`); `Rules.alpha`, the chance over the whole release, is only divided by how
many different tests there are. How often that goes wrong is measured by benchmarks/false_verdicts.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from tasks.analysis.sequential import Latencies, clean, e_less, e_more, odds, wilson
from tasks.model import Verdict

NO_LATENCIES = Latencies()
LEAST = 0.001  # no stricter error limit can be proven in a release's time
CERTAIN_OF_CEILING = 5_000.0  # an outage may pass for a quiet service's health once in so many times


@dataclass(frozen=True, slots=True)
class Rules:
    """What counts as proof. Rates are shares of requests, 0 to 1.

    Where no source is named, benchmarks/false_verdicts.py is: the value with which good releases stay and bad ones go.
    """

    error_limit: float = 0.01  # the SLO, and how much worse than stable a release may be; cloud-run-release-manager's
    ceiling: float = 0.10  # never HEALTHY above it, whatever stable does; a stable revision above it is an outage
    refused_limit: float = 0.10  # so many more 4xx than stable are the candidate's doing
    refused_limit_other_minutes: float = 0.30  # the same beside what stable answered at another time
    probe_error_limit: float = 0.05  # of a health endpoint that has answered once; probes are few and each one counts
    min_errors: int = 3  # fewer are a blip, not a rate
    min_requests: int = 100  # fewer are no proof of health; cloud-run-release-manager's
    min_samples: int = 20  # accepted answers in a row, and latencies on each side
    alpha: float = 0.005  # the chance that a good release is taken back, over all its tests
    tests: int = 16  # of a release: services x regions x holds x 4
    certain: float = 100.0  # a bad candidate may pass for healthy once in so many times
    tries: int = 5  # until the first accepted answer

    @property
    def conviction(self) -> float:
        """The log of the e-value at which a candidate is condemned."""
        return math.log(self.tests / self.alpha)

    @property
    def acquittal(self) -> float:
        """The log of the e-value at which a candidate has been proven."""
        return math.log(self.certain)


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
    refused: int = 0  # answers with a 4xx status
    latencies: Latencies = NO_LATENCIES


@dataclass(frozen=True, slots=True)
class Judgement:
    """`needed`, `missing`: the requests it takes while none fails, and those of them that were not there yet, of an
    INCONCLUSIVE one; 0 where more would not help. `doubtful`: it looks rather bad than good.
    """

    verdict: Verdict
    reason: str
    evidence: tuple[str, ...] = ()
    needed: int = 0
    missing: int = 0
    doubtful: bool = False


class Course(StrEnum):
    """What an INCONCLUSIVE verdict leads to."""

    PROBE = "probe"  # where users are too few to tell, our own probes and time do
    WAIT = "wait"
    PAUSE = "pause"  # until a person decides
    ROLL_BACK = "rollback"


def judge_probes(probes: Sequence[Probe], rules: Rules, limit: float = 0.0) -> Judgement:
    """The verdict on probes in the order they were made: tries until one is accepted, then samples.

    UNHEALTHY: no try was accepted, or samples fail beyond doubt more often than `probe_error_limit`, or the `limit`
    that stable has set. HEALTHY: the last `min_samples` were all accepted. Otherwise INCONCLUSIVE: more will tell.
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
    if _too_many(len(failed), len(samples), max(limit, rules.probe_error_limit), rules):
        said = f"{len(failed)} of {len(samples)} probes failed, the last with {failed[-1]}"
        return Judgement(Verdict.UNHEALTHY, said, evidence)
    recent = samples[-rules.min_samples :]
    if len(recent) == rules.min_samples and all(probe.ok for probe in recent):
        return Judgement(Verdict.HEALTHY, f"the last {len(recent)} probes were accepted", evidence)
    return Judgement(Verdict.INCONCLUSIVE, f"fewer than {rules.min_samples} probes in a row were accepted", evidence)


def judge_errors(candidate: Window, stable: Window | None, rules: Rules, next_percent: int | None = None) -> Judgement:
    """The verdict on error rates.

    UNHEALTHY: at least `min_errors`, and beyond doubt more often than `error_limit` and than the upper end of stable's
    Wilson interval. HEALTHY: at least `min_requests`, and beyond doubt not so much more often than stable that with the
    next step's share of the traffic, next_percent, all requests together fail more often by `error_limit`: 5 errors in
    100 may be risked for 20 % of the traffic, and twice the limit on the way to all of it. At the end, where it is
    None, the limit itself. Never above `ceiling`.

    At 100 % stable serves nothing; pass what it served before.
    """
    counted, compared = _counts(candidate), _counts(stable) if stable else None
    stable_errors, stable_requests = compared or (0, 0)
    stable_rate = stable_errors / max(stable_requests, 1)
    good, bad = _good_and_bad(compared, rules, next_percent)
    enough = max(clean(0, 0, good, bad, rules.acquittal), rules.min_requests)
    if not counted:
        said = f"no requests to judge the error rate by, and {enough} are needed"
        return Judgement(Verdict.INCONCLUSIVE, said, (), enough, enough)
    errors, requests = counted
    limit = max(rules.error_limit, wilson(*compared)[1] if compared else 0)
    facts = f"{errors} of {requests} requests failed ({_percent(errors / requests)})"
    evidence = (facts, f"{stable_errors} of {stable_requests} failed on stable ({_percent(stable_rate)})")
    if _too_many(errors, requests, limit, rules):
        return Judgement(Verdict.UNHEALTHY, f"{facts}: surely above {_percent(limit)}", evidence)
    proof = e_less(errors, requests, good, bad)
    if requests >= rules.min_requests and proof >= rules.acquittal:
        return Judgement(Verdict.HEALTHY, f"{facts}: surely below {_percent(bad)}", evidence)
    missing = max(clean(errors, requests, good, bad, rules.acquittal), rules.min_requests - requests)
    doubtful = errors > 1 and odds(errors, requests, good, bad) > rules.acquittal / 2
    said = f"{facts}: {missing} more without an error would prove that it is below {_percent(bad)}"
    return Judgement(Verdict.INCONCLUSIVE, said, evidence, enough, missing, doubtful)


def _good_and_bad(compared: tuple[int, int] | None, rules: Rules, next_percent: int | None) -> tuple[float, float]:
    """The error rate that is expected of a good candidate, and the one that HEALTHY excludes."""
    errors, requests = compared or (0, 1)
    at_least = wilson(errors, requests, z=1.0)[0]  # stable's luck is not the candidate's
    worse = rules.error_limit * (max(100 / next_percent, 2) if next_percent else 1)
    bad = min(at_least + max(worse, LEAST), rules.ceiling)
    return min(max(errors / requests, bad / 10), 0.8 * bad), bad


def judge_ceiling(candidate: Window, rules: Rules) -> Judgement:
    """Whether it is beyond doubt below the rate of an outage: what a service of few users can prove."""
    errors, requests = _counts(candidate) or (0, 0)
    good, bad = max(rules.error_limit, LEAST), rules.ceiling
    enough = math.ceil(math.log(CERTAIN_OF_CEILING) / -math.log(1 - bad))
    facts = f"{errors} of {requests} requests failed ({_percent(errors / max(requests, 1))})"
    if _chance_of_fewer(errors, requests, bad) <= 1 / CERTAIN_OF_CEILING:
        return Judgement(Verdict.HEALTHY, f"{facts}: surely below {_percent(bad)}", (facts,))
    missing = max(enough - requests, 0)
    while _chance_of_fewer(errors, requests + missing, bad) > 1 / CERTAIN_OF_CEILING:
        missing += missing // 10 + 1
    doubtful = errors > 1 and good < bad and odds(errors, requests, good, bad) > 0
    said = f"{facts}: {missing} more without an error would prove that it is below {_percent(bad)}"
    return Judgement(Verdict.INCONCLUSIVE, said, (facts,), enough, missing, doubtful)


def judge_refused(candidate: Window, stable: Window, rules: Rules, same_minutes: bool = True) -> Judgement:
    """The verdict on answers of class 4xx. UNHEALTHY: beyond doubt by `refused_limit` more often than on stable.

    Clients make most of them, and on both alike; who gets 404 or 401 only from the candidate, gets it by its doing.
    """
    if not candidate.requests or not stable.requests:
        return Judgement(Verdict.HEALTHY, "no 4xx to compare")
    margin = rules.refused_limit if same_minutes else rules.refused_limit_other_minutes
    limit = wilson(stable.refused, stable.requests)[1] + margin
    facts = f"{candidate.refused} of {candidate.requests} requests were answered with 4xx"
    facts += f", {stable.refused} of {stable.requests} on stable"
    if _too_many(candidate.refused, candidate.requests, limit, rules):
        return Judgement(Verdict.UNHEALTHY, f"{facts}: surely above {_percent(limit)}", (facts,))
    return Judgement(Verdict.HEALTHY, facts, (facts,))


def judge_stable(window: Window, rules: Rules) -> Judgement:
    """The stable revision by itself: UNHEALTHY when its error rate is surely above `ceiling`."""
    return judge_errors(window, None, replace(rules, error_limit=rules.ceiling))


def combine(judgements: Iterable[Judgement]) -> Judgement:
    """The worst of several, with the reasons that decided it and the evidence of all. Nothing is INCONCLUSIVE."""
    judgements = tuple(judgements)
    found = {judgement.verdict for judgement in judgements}
    order = (Verdict.UNHEALTHY, Verdict.INCONCLUSIVE, Verdict.HEALTHY)
    worst = next((verdict for verdict in order if verdict in found), Verdict.INCONCLUSIVE)
    deciding = [judgement for judgement in judgements if judgement.verdict is worst]
    reasons = dict.fromkeys(judgement.reason for judgement in deciding)
    return Judgement(
        worst,
        "; ".join(reasons) or "nothing was measured",
        tuple(dict.fromkeys(line for judgement in judgements for line in judgement.evidence)),
        max((judgement.needed for judgement in deciding), default=0),
        max((judgement.missing for judgement in deciding), default=0),
        any(judgement.doubtful for judgement in deciding),
    )


def on_inconclusive(policy: Course, waited_s: float, limit_s: float) -> Course:
    """What to do about a verdict that is still INCONCLUSIVE `waited_s` after the bake, by the environment's policy.

    ROLL_BACK goes back at once. The others wait up to `limit_s`; then PAUSE asks a person, and the others end in
    ROLL_BACK: nothing is proven and nobody is to be asked.
    """
    if policy is not Course.ROLL_BACK and waited_s < limit_s:
        return Course.WAIT
    return Course.PAUSE if policy is Course.PAUSE else Course.ROLL_BACK


def escalate(candidate: Judgement, stable: Judgement) -> str | None:
    """Why going back would not help: the stable revision is bad too. None when it would, or when nothing is wrong."""
    if stable.verdict is not Verdict.UNHEALTHY or candidate.verdict is Verdict.HEALTHY:
        return None
    return f"the outage is elsewhere: the stable revision is unhealthy too ({stable.reason})"


def _too_many(count: int, total: int, limit: float, rules: Rules) -> bool:
    """Is the rate above the limit, beyond doubt however often it is asked?"""
    return count >= rules.min_errors and e_more(count, total, limit) >= rules.conviction


def _chance_of_fewer(count: int, total: int, share: float) -> float:
    """How often at most `count` of `total` happen by chance when each does with probability `share`."""
    from scipy.special import bdtr

    return float(bdtr(count, total, share))


def _counts(window: Window) -> tuple[int, int] | None:
    """Errors and requests; None where there is nothing to count, which includes numbers that are none."""
    errors, requests = window.errors, window.requests
    if math.isfinite(errors) and math.isfinite(requests) and errors >= 0 and requests > 0:
        return int(errors), int(max(errors, requests))
    return None


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"
