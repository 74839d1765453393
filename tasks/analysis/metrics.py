"""The verdict on what a revision really served, by Cloud Monitoring, and how sure it has to be. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from infra.gcp.monitoring import Served
from tasks.analysis.latency import OTHER_MINUTES, SAME_MINUTES, judge_latency
from tasks.analysis.sequential import histogram
from tasks.analysis.verdict import (
    Judgement,
    Probe,
    Rules,
    Window,
    combine,
    judge_ceiling,
    judge_errors,
    judge_refused,
    judge_stable,
)
from tasks.manifest.environment import Environment

TESTS_PER_HOLD = 4  # errors, 4xx, latency in general and of the slowest; `Rules.tests` pays for them
OURS_AT_MOST = 0.10  # of the requests behind a histogram of latencies, so that it tells of users


@dataclass(frozen=True, slots=True)
class Users:
    """The verdicts on what a candidate's users got."""

    errors: Judgement
    refused: Judgement
    latency: Judgement
    ceiling: Judgement
    requests: int

    @property
    def together(self) -> Judgement:
        return combine((self.errors, self.refused, self.latency))


def judge_users(
    ours: Served,
    theirs: Served,
    rules: Rules,
    next_percent: int | None,
    *,
    asked: Iterable[Probe] = (),
    asked_stable: Iterable[Probe] = (),
    same_minutes: bool = True,
) -> Users:
    """The verdict on a candidate by its users' requests and stable's; next_percent is what it would get after this.

    asked, asked_stable: our own requests among them, which say nothing about users. same_minutes: whether stable served
    in the same time; if not, only a much longer latency is held against the candidate.
    """
    asked, asked_stable = list(asked), list(asked_stable)
    mine, stable = users_of(ours, asked), users_of(theirs, asked_stable)
    polluted = len(asked) > OURS_AT_MOST * ours.requests or len(asked_stable) > OURS_AT_MOST * theirs.requests
    latencies = [histogram((), ())] * 2 if polluted else [mine.latencies, stable.latencies]
    return Users(
        judge_errors(mine, stable, rules, next_percent),
        judge_refused(mine, stable, rules, same_minutes),
        judge_latency(latencies[0], latencies[1], rules, SAME_MINUTES if same_minutes else OTHER_MINUTES),
        judge_ceiling(mine, rules),
        mine.requests,
    )


def users_of(served: Served, asked: Iterable[Probe] = ()) -> Window:
    """What was served without what we asked ourselves; a probe that got no answer may not have been counted."""
    statuses = [probe.status for probe in asked if probe.status is not None]
    errors = max(served.errors - sum(status >= 500 for status in statuses), 0)
    refused = max(served.refused - sum(400 <= status < 500 for status in statuses), 0)
    requests = max(served.requests - len(statuses), errors + refused)
    return Window(requests, errors, refused, histogram(served.bounds_ms, served.buckets))


def judge_serving(found: Served, rules: Rules) -> Judgement:
    """The verdict on a revision by itself."""
    return judge_stable(users_of(found), rules)


def rules_for(settings: Environment, services: int) -> Rules:
    """The more different tests a release of so many services is put to, the more evidence each needs: `Rules.tests`.

    How often each is made does not matter: they are made for that.
    """
    holds = len(settings.steps) + 1
    tests = services * len(settings.regions) * holds * TESTS_PER_HOLD
    slo = settings.slo
    return Rules(error_limit=slo.max_error_rate, min_requests=slo.min_requests, tests=tests)
