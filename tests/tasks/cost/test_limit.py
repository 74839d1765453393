"""What an estimate is held to, and what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.cost.estimate import Million, Priced, Traffic
from tasks.cost.limit import Estimate, change, refuse_costly, rows, warnings
from tasks.failures.errors import TooExpensive

API = Priced("service api in europe-west1", "services.api", 150.0, 100.0, 900.0)
WEB = Priced("service web in europe-west1", "services.web", 70.0, 70.0, 900.0)
BOTH = Estimate("USD", (API, WEB))


def test_more_than_the_limit_is_refused_with_what_costs_most_and_by_how_much_it_changes() -> None:
    with pytest.raises(TooExpensive) as refused:
        refuse_costly("production", BOTH, 200.0)
    assert refused.value.problem == (
        "In a month without any request production would cost 220.00 USD (+50.00). That is more than 200.00 USD, which "
        "environments.production.cost.max_floor allows. Most of it: service api in europe-west1 150.00 USD, service "
        "web in europe-west1 70.00 USD."
    )
    assert "`override`" in refused.value.remedy


def test_up_to_the_limit_nothing_is_refused() -> None:
    refuse_costly("production", BOTH, 220.0)
    refuse_costly("production", BOTH, None)


def test_a_release_that_makes_it_cheaper_is_let_through_also_above_the_limit() -> None:
    refuse_costly("production", Estimate("USD", (replace(API, was=151.0),)), 100.0)
    with pytest.raises(TooExpensive):
        refuse_costly("production", Estimate("USD", (replace(API, was=150.0),)), 100.0)


@pytest.mark.parametrize(
    "part",
    [Priced("service gpu", "services.gpu", 1.0, 0.0, gpu=True), Priced("service far", "services.far", None, 0.0)],
)
def test_what_is_not_known_is_never_cheap_enough(part: Priced) -> None:
    with pytest.raises(TooExpensive, match=rf"not known.*all of {part.what}"):
        refuse_costly("production", Estimate("USD", (API, part)), 10_000.0)
    refuse_costly("production", Estimate("USD", (API, part)), None)
    assert list(warnings(Estimate("USD", (part,))))


@given(st.lists(st.none() | st.floats(0, 1e6), max_size=6), st.floats(0.01, 1e6))
def test_a_limit_lets_through_only_what_is_known_and_within_it(floors: list[float | None], limit: float) -> None:
    estimate = Estimate("USD", tuple(Priced("service", "services.a", floor, 0.0) for floor in floors))
    try:
        refuse_costly("production", estimate, limit)
    except TooExpensive:
        assert None in floors or sum(floor or 0.0 for floor in floors) > limit
    else:
        assert None not in floors
        assert sum(floor or 0.0 for floor in floors) <= limit


def test_instances_for_hardly_any_requests_and_for_former_versions_are_told_with_the_saving() -> None:
    seldom = Traffic(0.001, 40.0, 30.0, 90.0)
    api = Priced("service api", "services.api", 20.0, 20.0, traffic=seldom, former=10.0)
    former, idle = warnings(Estimate("EUR", (api,)))
    assert former.startswith("service api: 10.00 EUR a month are for instances of versions that do not serve any more")
    assert idle.startswith("service api: instances are kept running for 20.00 EUR a month, and it had 3.6 requests an")
    busy = Priced("service api", "services.api", 20.0, 20.0, traffic=Traffic(1.0, 40.0, 30.0, 90.0))
    assert not list(warnings(Estimate("EUR", (busy, WEB))))


def test_the_table_has_a_row_for_each_part_and_the_sum() -> None:
    traffic = Traffic(2.0, 84.0, 60.0, 300.0)
    api = Priced("service api", "services.api", 30.0, 20.0, 900.0, Million(1.5, 1.2, 4.0), traffic)
    job = Priced("job tidy", "jobs.tidy", 0.0, 0.0, hour=0.0684)
    assert rows(Estimate("USD", (api, job))) == [
        {
            "what": "service api",
            "floor a month": "30.00 USD (+10.00)",
            "per million requests": "1.50 USD at 84 ms (1.20 USD at p50, 4.00 USD at p95)",
            "ceiling a month": "900.00 USD",
        },
        {
            "what": "job tidy",
            "floor a month": "0.00 USD",
            "per million requests": "0.07 USD an hour of a task",
            "ceiling a month": "",
        },
        {
            "what": "together",
            "floor a month": "30.00 USD (+10.00)",
            "per million requests": "",
            "ceiling a month": "",
        },
    ]
    assert rows(Estimate("USD", ())) == []


@pytest.mark.parametrize(
    ("now", "was", "said"),
    [
        (12.5, 12.501, "12.50 USD"),
        (12.5, 20.0, "12.50 USD (-7.50)"),
        (None, 1.0, "not known"),
        (1234.5, None, "1,234.50 USD"),
    ],
)
def test_a_change_is_told_where_there_is_one(now: float | None, was: float | None, said: str) -> None:
    assert change(now, was, "USD") == said
