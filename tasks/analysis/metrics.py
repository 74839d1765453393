"""What a revision really served, by Cloud Monitoring, as the verdicts take it; and how sure they have to be. Pure."""

from __future__ import annotations

from infra.gcp.monitoring import Served
from tasks.analysis.verdict import Rules, Window, spread
from tasks.manifest.settings import Environment

LOOKS_PER_BAKE = 6  # how often a step is looked at while it bakes; `Rules.looks` pays for them
TESTS_PER_LOOK = 3  # errors, and latency by two tests


def window(served: Served) -> Window:
    return Window(served.requests, served.errors, spread(served.bounds_ms, served.buckets) if served.requests else ())


def rules_for(settings: Environment, services: int) -> Rules:
    """The more often a release of so many services is looked at, the more evidence each look needs: `Rules.looks`."""
    holds = len(settings.steps) + 1
    looks = services * len(settings.regions) * holds * LOOKS_PER_BAKE * TESTS_PER_LOOK
    slo = settings.slo
    return Rules(error_limit=slo.max_error_rate, min_requests=slo.min_requests, looks=max(looks, Rules().looks))
