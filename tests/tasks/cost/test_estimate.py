"""The three figures, against sums done by hand with the prices that Google publishes."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from infra.emulator.management.catalog import skus
from infra.gcp.billing import Sku, sku_of
from tasks.cost.estimate import STEP_S, Traffic, billed_s, ceiling, floors, million, pool_floor, task_hour
from tasks.cost.prices import PriceList, Use, plain, price_list
from tasks.cost.shape import Scaling, Shape, Size, scaling_of, shape_of

TIER_1, TIER_2 = "europe-west1", "europe-west3"
SMALL = Size(1.0, 0.5)
SHAPES = st.builds(
    Shape,
    st.builds(Size, st.floats(0.08, 8), st.floats(0.125, 32)),
    st.booleans(),
    st.integers(0, 20),
    st.integers(20, 100),
    st.integers(1, 1000),
)
SCALINGS = st.builds(Scaling, st.integers(0, 20), st.none() | st.integers(20, 200), st.none() | st.integers(0, 20))


@pytest.fixture(scope="module")
def prices() -> PriceList:
    return price_list([sku for each in skus({}, "USD") if (sku := sku_of(each))], "USD")


# 730 hours are 2 628 000 s.
@pytest.mark.parametrize(
    ("shape", "region", "by_hand"),
    [
        # (1 CPU x 0.0000025 + 0.5 GiB x 0.0000025) x 2 628 000
        (Shape(SMALL, by_request=True, least=1), TIER_1, 9.855),
        # 2 x (2 CPU x 0.000018 + 1 GiB x 0.000002) x 2 628 000
        (Shape(Size(2.0, 1.0), by_request=False, least=2), TIER_1, 199.728),
        # (1 CPU x 0.0000035 + 0.5 GiB x 0.0000035) x 2 628 000
        (Shape(SMALL, by_request=True, least=1), TIER_2, 13.797),
        (Shape(SMALL, by_request=False), TIER_1, 0.0),
    ],
)
def test_a_floor_is_what_one_gets_by_hand(prices: PriceList, shape: Shape, region: str, by_hand: float) -> None:
    assert floors([shape], Scaling(), prices, region) == pytest.approx([by_hand])


def test_a_minimum_of_revisions_is_paid_for_each_of_them_and_one_of_the_service_once(prices: PriceList) -> None:
    kept, free = Shape(SMALL, by_request=True, least=1), Shape(SMALL, by_request=True)
    assert floors([kept, kept], Scaling(), prices, TIER_1) == pytest.approx([9.855, 9.855])
    assert floors([free, free], Scaling(least=1), prices, TIER_1) == pytest.approx([9.855, 0.0])
    assert floors([kept, kept], Scaling(manual=3), prices, TIER_1) == pytest.approx([29.565, 0.0])


def test_a_pool_is_paid_all_the_time_and_a_job_while_it_runs(prices: PriceList) -> None:
    # 3 x (1 CPU x 0.000011244 + 0.5 GiB x 0.000001235) x 2 628 000
    assert pool_floor(SMALL, 3, prices, TIER_1) == pytest.approx(93.516)
    # (1 CPU x 0.000018 + 0.5 GiB x 0.000002) x 3600
    assert task_hour(SMALL, prices, TIER_1) == pytest.approx(0.0684)


def test_a_ceiling_is_all_instances_busy_all_month(prices: PriceList) -> None:
    # 10 x (1 CPU x 0.000024 + 0.5 GiB x 0.0000025) x 2 628 000
    busy = Shape(SMALL, by_request=True, most=10)
    assert ceiling(busy, Scaling(), prices, TIER_1) == pytest.approx(663.57)
    assert ceiling(busy, Scaling(most=5), prices, TIER_1) == pytest.approx(331.785)
    assert ceiling(busy, Scaling(manual=1), prices, TIER_1) == pytest.approx(66.357)


def test_few_requests_are_charged_alone_and_many_share_an_instance(prices: PriceList) -> None:
    shape = Shape(SMALL, by_request=True, concurrency=10)
    # a million x (0.0000004 + 0.1 s x 0.00002525); 40 ms are charged as 100
    seldom = million(shape, Traffic(1e-6, 40, 40, 90), prices, TIER_1)
    assert seldom is not None
    assert [seldom.mean, seldom.p95] == pytest.approx([2.925, 2.925])
    # a million x (0.0000004 + 0.04 s / 10 x 0.00002525)
    often = million(shape, Traffic(10_000, 40, 40, 90), prices, TIER_1)
    assert often is not None
    assert often.mean == pytest.approx(0.501)
    assert million(shape, None, prices, TIER_1) is None


@example(5e-324, 1.5, 1)
@given(st.floats(0, 1e5), st.floats(1e-4, 3600), st.integers(1, 1000))
def test_a_request_is_never_charged_less_than_its_share_nor_more_than_itself(
    per_s: float, latency_s: float, concurrency: int
) -> None:
    charged = billed_s(per_s, latency_s, concurrency)
    assert latency_s / concurrency <= charged <= latency_s + STEP_S + 1e-6


@given(st.lists(SHAPES, min_size=1, max_size=4), SCALINGS, st.sampled_from([TIER_1, TIER_2]))
def test_a_floor_is_never_below_zero_nor_above_what_all_instances_would_cost(
    revisions: list[Shape], scaling: Scaling, region: str
) -> None:
    prices = price_list([sku for each in skus({}, "USD") if (sku := sku_of(each))], "USD")
    found = floors(revisions, scaling, prices, region)
    assert found is not None
    assert all(each >= 0 for each in found)
    highest = ceiling(revisions[0], scaling, prices, region)
    assert highest is not None
    if scaling.manual is not None or scaling.least <= min(revisions[0].most, scaling.most or 200):
        assert found[0] <= highest * (1 + 1e-9)


@given(SHAPES, SCALINGS)
def test_what_the_list_does_not_tell_is_not_known_and_never_free(shape: Shape, scaling: Scaling) -> None:
    found = floors([shape], scaling, PriceList({}, None, "USD"), TIER_1)
    kept = scaling.manual if scaling.manual is not None else max(shape.least, scaling.least)
    assert found == (None if kept else [0.0])
    assert ceiling(shape, scaling, PriceList({}, None, "USD"), TIER_1) is None


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ("Services CPU Tier 2  (Request-based billing)", "Services CPU (Request-based billing)"),
        (
            "Services CPU (Instance-based billing) in in asia-northeast1",
            "Services CPU (Instance-based billing)",
        ),
        ("Worker Pools Memory in us-east4", "Worker Pools Memory"),
        ("Requests", "Requests"),
    ],
)
def test_a_sku_is_known_by_its_words_alone(description: str, name: str) -> None:
    assert plain(description) == name


def test_every_region_has_every_price(prices: PriceList) -> None:
    regions = {region for _, region in prices.rates}
    assert {TIER_1, TIER_2, "asia-northeast1"} <= regions
    assert prices.rates.keys() == {(use, region) for use in Use for region in regions}


def test_units_are_converted_and_of_two_prices_the_higher_counts() -> None:
    found = price_list(
        [
            Sku("Jobs CPU in us-east4", ("us-east4",), "h", 0.0648, "USD"),
            Sku("Jobs Memory in us-east4", ("us-east4",), "GiBy.h", 0.0072, "USD"),
            Sku("Jobs Memory in us-east4", ("us-east4",), "GiBy.s", 0.000001, "USD"),
            Sku("Worker Pools CPU in us-east4", ("us-east4",), "parsec", 1, "USD"),
        ],
        "USD",
    )
    assert found.rates.keys() == {(Use.JOB, "us-east4")}
    rate = found.rate(Use.JOB, "us-east4")
    assert rate is not None
    assert [rate.cpu, rate.gib] == pytest.approx([1.8e-5, 2e-6])


def test_a_template_is_as_large_as_its_containers_together() -> None:
    shape = shape_of(
        {
            "containers": [
                {"resources": {"limits": {"cpu": "500m", "memory": "1Gi"}, "cpuIdle": True}},
                {"resources": {"cpuIdle": True}},
            ],
            "scaling": {"minInstanceCount": 2},
        }
    )
    assert shape == Shape(Size(1.5, 1.5), by_request=True, least=2, most=100, concurrency=80)


@pytest.mark.parametrize(
    ("resources", "by_request"),
    [({}, True), ({"limits": {"cpu": "1"}}, False), ({"limits": {"cpu": "1"}, "cpuIdle": True}, True)],
)
def test_limits_alone_mean_cpu_all_the_time(resources: dict[str, object], by_request: bool) -> None:
    assert shape_of({"containers": [{"resources": resources} if resources else {}]}).by_request is by_request


def test_a_service_scaled_by_hand_to_no_number_has_no_instances() -> None:
    assert scaling_of({"scaling": {"scalingMode": "MANUAL"}}) == Scaling(manual=0)
    assert scaling_of({"scaling": {"minInstanceCount": 1, "maxInstanceCount": 9}}) == Scaling(1, 9)
    assert scaling_of({}) == Scaling()
