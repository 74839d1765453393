"""The verdict on what a revision really served, by Cloud Monitoring, and how sure it has to be. Pure."""

from __future__ import annotations

from dataclasses import replace

from infra.gcp.monitoring import Served
from tasks.analysis.verdict import Judgement, Rules, Window, judge_stable, judge_window, spread
from tasks.manifest.settings import Environment

LOOKS_PER_BAKE = 6  # how often a step is looked at while it bakes; `Rules.looks` pays for them
TESTS_PER_LOOK = 3  # errors, and latency by two tests
# Minutes differ, so what was served in others is no match: only this much slower is held against a candidate.
OTHER_MINUTES_RATIO = 2.0
OTHER_MINUTES_MS = 100.0


def judge_served(
    ours: Served, theirs: Served, rules: Rules, next_percent: int, *, asked: int = 0, same_minutes: bool = True
) -> Judgement:
    """The verdict on a candidate by its users' requests and stable's; next_percent is what it would get after this.

    asked: how many of its requests were our own; they say nothing about users. same_minutes: whether stable served in
    the same time; if not, only a much longer latency is held against the candidate.
    """
    users = replace(ours, requests=max(ours.requests - asked, ours.errors))
    if not same_minutes:
        rules = replace(rules, slower_ratio=OTHER_MINUTES_RATIO, slower_ms=OTHER_MINUTES_MS)
    return judge_window(window(users), window(theirs), rules, next_percent)


def judge_serving(found: Served, rules: Rules) -> Judgement:
    """The verdict on a revision by itself."""
    return judge_stable(window(found), rules)


def rules_for(settings: Environment, services: int) -> Rules:
    """The more often a release of so many services is looked at, the more evidence each look needs: `Rules.looks`."""
    holds = len(settings.steps) + 1
    looks = services * len(settings.regions) * holds * LOOKS_PER_BAKE * TESTS_PER_LOOK
    slo = settings.slo
    return Rules(error_limit=slo.max_error_rate, min_requests=slo.min_requests, looks=max(looks, Rules().looks))


def window(served: Served) -> Window:
    return Window(served.requests, served.errors, spread(served.bounds_ms, served.buckets) if served.requests else ())
