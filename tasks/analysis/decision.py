"""Is a step proven? Of a busy service its users tell; of a quiet one our own probes and time do. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tasks.analysis.latency import judge_latency
from tasks.analysis.metrics import Users
from tasks.analysis.sequential import e_more, measured
from tasks.analysis.verdict import Course, Judgement, Probe, Rules, Window, combine, judge_errors
from tasks.model import Verdict

PATIENCE_S = 900.0  # where users would take longer than this for the evidence, though none fails, a service is quiet
DOWN = math.log(20)  # the log of the e-value at which stable counts as down
FAR_BEYOND = 2.0  # times the usual rate
RATE_KNOWN_S = 120.0  # no rate is known before


@dataclass(frozen=True, slots=True)
class Hold:
    """What kind of step it is that candidates are held at."""

    course: Course
    last: bool  # nothing follows: what is let through now is not looked at again
    next_percent: int | None = None

    @property
    def thorough(self) -> bool:
        """Whether latency has to be proven, too: at the end, and where stable is seen in the same minutes last."""
        return self.last or self.next_percent == 100


@dataclass(frozen=True, slots=True)
class Seen:
    """All that is known of one candidate at one moment."""

    users: Users
    alive: Judgement  # whether it answers us at all
    ours: Sequence[Probe]  # our own requests, to it and to stable
    theirs: Sequence[Probe]
    rules: Rules
    seen_s: float  # how long its users have been seen
    waited_s: float = 0.0  # beyond the bake
    limit_s: float = 0.0  # and how long it may be

    def quiet(self, judgement: Judgement) -> bool:
        """Whether its users are too few to tell, how long one may wait."""
        return self._too_few(judgement, PATIENCE_S)

    def hopeless(self, judgement: Judgement) -> bool:
        """Whether its users will not be enough by the limit."""
        return self._too_few(judgement, self.limit_s)

    def _too_few(self, judgement: Judgement, within_s: float) -> bool:
        """Even if they have been unusually few so far."""
        if judgement.verdict is not Verdict.INCONCLUSIVE or self.seen_s < RATE_KNOWN_S:
            return False
        most = self.users.requests + 2 * math.sqrt(self.users.requests) + 1
        return judgement.needed > most / self.seen_s * within_s

    @property
    def probe_limit(self) -> float:
        return max(self.rules.probe_error_limit, self.rules.error_limit)

    @property
    def over(self) -> bool:
        return self.waited_s >= self.limit_s


def by_itself(seen: Seen) -> Seen:
    """The same where stable is down: a release that mends that has nothing to be compared with, and is good alone.

    seen: of what its own users got, and nothing of stable's.
    """
    latency = Judgement(Verdict.HEALTHY, "stable fails, so there is no latency to compare with")
    return replace(seen, users=replace(seen.users, latency=latency), theirs=())


def while_it_bakes(seen: Seen) -> Judgement:
    """Errors end a release at once; latencies are judged once it is warm."""
    return combine((seen.users.errors, seen.users.refused, seen.alive, judge_probe_errors(seen, seen.probe_limit)))


def decide(seen: Seen, hold: Hold) -> Judgement:
    """The verdict on a candidate that has baked; what lacks only users may be proven otherwise."""
    users, alive = seen.users, seen.alive
    if (failing := judge_probe_errors(seen, seen.probe_limit)).verdict is Verdict.UNHEALTHY:
        alive = failing
    sure = combine((users.errors, users.refused, users.latency, alive))
    if sure.verdict is not Verdict.INCONCLUSIVE or hold.course is not Course.PROBE:
        return _with_time(sure, seen)
    return _with_time(combine((_by_errors(seen, hold), users.refused, _by_latency(seen, hold), alive)), seen)


def _by_errors(seen: Seen, hold: Hold) -> Judgement:
    """Few users may not prove the error limit; at the end they, too, must keep away from an outage's rate."""
    found, ceiling = seen.users.errors, seen.users.ceiling
    if found.verdict is not Verdict.INCONCLUSIVE:
        return found
    if not seen.quiet(found):
        passes = seen.over and not found.doubtful and ceiling.verdict is Verdict.HEALTHY
        return _passed(found) if passes else found
    if ceiling.verdict is Verdict.HEALTHY:
        return combine((ceiling, judge_probed(seen, hold)))
    if ceiling.doubtful or (hold.last and not seen.hopeless(ceiling) and not seen.over):
        return ceiling
    return judge_probed(seen, hold)


def _by_latency(seen: Seen, hold: Hold) -> Judgement:
    found = seen.users.latency
    if found.verdict is not Verdict.INCONCLUSIVE:
        return found
    if hold.thorough and (seen.quiet(seen.users.errors) or seen.quiet(found)):
        return judge_probed(seen, hold)
    if found.doubtful or (hold.thorough and not seen.over):
        return found
    return _passed(found)


def _passed(found: Judgement) -> Judgement:
    return Judgement(Verdict.HEALTHY, found.reason, found.evidence)


def judge_probe_errors(seen: Seen, limit: float) -> Judgement:
    """By our own probes of a candidate against those of stable in the same minutes, judged as users' requests are."""
    mine, stable = (Window(len(side), sum(not probe.ok for probe in side)) for side in (seen.ours, seen.theirs))
    rules = replace(seen.rules, error_limit=limit, min_requests=seen.rules.min_samples)
    return judge_errors(mine, stable if stable.requests else None, rules)


def judge_probed(seen: Seen, hold: Hold) -> Judgement:
    """The verdict on our own probes instead of users' requests: of errors, and where it has to be proven of latency."""
    judgements = [judge_probe_errors(seen, seen.rules.error_limit if hold.last else seen.probe_limit)]
    if hold.thorough and seen.theirs:
        later = [[p.latency_ms for p in side[len(side) // 2 :] if p.ok] for side in (seen.ours, seen.theirs)]
        judgements.append(judge_latency(measured(later[0]), measured(later[1]), seen.rules))
    found = combine(judgements)
    if found.verdict is Verdict.INCONCLUSIVE and seen.over and not found.doubtful:
        found = _passed(found)
    told = f"too few users to tell; by our own probes, {found.reason}"
    return Judgement(found.verdict, told, tuple(f"probes: {line}" for line in found.evidence))


def stable_is_down(theirs: Sequence[Probe], latest: Window | None, rules: Rules, usual: Window | None = None) -> bool:
    """Whether what hits the candidate hits stable, too: surely by its probes, or by its users.

    usual: what its users met before, where it has none any more. Then nothing but its probes tells of an outage, and
    a rate far beyond the usual one is enough.
    """
    limit = rules.probe_error_limit
    if usual is not None and usual.requests:
        limit = min(limit, max(rules.error_limit, FAR_BEYOND * usual.errors / usual.requests))
    failed = sum(not probe.ok for probe in theirs)
    if failed >= rules.min_errors and e_more(failed, len(theirs), limit) > DOWN:
        return True
    return latest is not None and e_more(latest.errors, latest.requests, rules.ceiling) > DOWN


def _with_time(found: Judgement, seen: Seen) -> Judgement:
    """The same, saying how long users would take for what is missing."""
    if found.verdict is not Verdict.INCONCLUSIVE or not found.missing:
        return found
    rate = seen.users.requests / seen.seen_s if seen.seen_s else 0.0
    when = f"{found.missing / rate / 60:.0f} min at the present rate" if rate else "no user has called it yet"
    said = f"{found.reason} ({found.missing} requests are missing: {when})"
    return replace(found, reason=said)
