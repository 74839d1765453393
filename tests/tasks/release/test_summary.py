"""What a release leaves behind to be read."""

from __future__ import annotations

from tasks.cost.estimate import Priced
from tasks.cost.limit import Estimate
from tasks.model import Release
from tasks.release.summary import summary
from tests.tasks.builders import a_version


def test_the_summary_tells_what_it_costs_where_that_is_known() -> None:
    release = Release("shop", "production", a_version())
    cost = Estimate("USD", (Priced("service api in europe-west1", "services.api", 150.0, 100.0, 900.0),))
    told = summary(release, {"build": 1.0}, cost)
    assert "| what | floor a month | per million requests | ceiling a month |\n|---|---:|---:|---:|" in told
    assert "| service api in europe-west1 | 150.00 USD (+50.00) | no traffic yet | 900.00 USD |" in told
    assert "| together | 150.00 USD (+50.00) |  |  |" in told
    assert "floor" not in summary(release, {"build": 1.0})
