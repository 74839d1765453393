"""How a version that serves does, and the settings that decide what it costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.gcp.monitoring import Served
from tasks.analysis.verdict import Rules
from tasks.cost.shape import shape_of
from tasks.observe.serving import Measured, measured_of, words
from tests.tasks.rollout.test_live import SERVICE

LIMITS = {"limits": {"cpu": "2", "memory": "1Gi"}}
RULES = Rules()


def test_errors_and_latency_are_those_that_were_counted() -> None:
    served = Served(200, 1, bounds_ms=(100.0, 200.0), buckets=(0, 200, 0))
    found = measured_of(served, RULES)
    assert (found.requests, found.error_share, found.failing) == (200, 0.005, "")
    assert found.p95_ms == pytest.approx(141.4, abs=0.1)


def test_of_no_requests_nothing_is_known_and_nothing_is_wrong() -> None:
    assert measured_of(Served(), RULES) == Measured()


def test_surely_too_many_errors_are_said_and_a_few_of_a_few_are_not() -> None:
    assert "120 of 400 requests failed" in measured_of(Served(400, 120), RULES).failing
    assert measured_of(Served(4, 1), RULES).failing == ""


@pytest.mark.parametrize(
    ("template", "whole", "said"),
    [
        (
            {"containers": [{"resources": {**LIMITS, "cpuIdle": True}}], "scaling": {"maxInstanceCount": 10}},
            {"scaling": {"minInstanceCount": 1}},
            "2 CPU, 1 GiB, 1 to 10 instances, 80 requests at once, paid while it answers",
        ),
        (
            {"containers": [{"resources": LIMITS}], "maxInstanceRequestConcurrency": 5},
            {"scaling": {"scalingMode": "MANUAL", "manualInstanceCount": 3}},
            "2 CPU, 1 GiB, 3 instances, by hand, 5 requests at once, paid all the time",
        ),
    ],
)
def test_the_settings_that_decide_the_cost_are_told(template: Any, whole: Any, said: str) -> None:
    assert words(shape_of(template), replace(SERVICE, body=whole)) == said
