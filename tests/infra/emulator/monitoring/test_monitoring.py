"""Cloud Monitoring on the local cloud: the requests that Cloud Run's front door really served."""

from __future__ import annotations

import datetime
import time
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import monitoring_v3, run_v2

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.discovery import Checked
from tests.infra.emulator.emulated_run import Run, fetch, new_name, short

COUNT = "run.googleapis.com/request_count"
LATENCIES = "run.googleapis.com/request_latencies"
Aggregation = monitoring_v3.Aggregation


@pytest.fixture(scope="module")
def served(cloud: LocalCloud) -> Any:
    """A service that answered 6 requests well and 2 badly, seconds ago."""
    import os

    before = dict(os.environ)
    os.environ.update(cloud.env)
    service = Run().create(new_name("measured"))
    for path in ["/"] * 6 + ["/status/500"] * 2:
        fetch(service.uri, path)
    time.sleep(1.1)  # until the second they fell into is over: samples are taken once a second here
    os.environ.clear()
    os.environ.update(before)
    return service


def interval() -> monitoring_v3.TimeInterval:
    now = datetime.datetime.now(datetime.UTC)
    return monitoring_v3.TimeInterval(start_time=now - datetime.timedelta(minutes=5), end_time=now)


def series(cloud_env: dict[str, str], service: run_v2.Service, metric: str, more: str = "", **options: Any) -> Any:
    request = monitoring_v3.ListTimeSeriesRequest(
        name=f"projects/{PROJECT}",
        filter=f'metric.type="{metric}" AND resource.labels.service_name="{short(service.name)}"{more}',
        interval=interval(),
        **options,
    )
    return list(monitoring_v3.MetricServiceClient().list_time_series(request))


def test_requests_are_counted_by_response_code(cloud_env: dict[str, str], served: run_v2.Service) -> None:
    found = {s.metric.labels["response_code"]: s for s in series(cloud_env, served, COUNT)}
    totals = {code: sum(p.value.int64_value for p in s.points) for code, s in found.items()}
    assert totals == {"200": 6, "500": 2}
    assert found["500"].metric.labels["response_code_class"] == "5xx"
    assert found["200"].resource.type == "cloud_run_revision"
    assert found["200"].resource.labels["revision_name"] == short(served.latest_ready_revision)
    assert (found["200"].metric_kind, found["200"].value_type) == (2, 2)  # DELTA, INT64


def test_latencies_come_as_distributions(cloud_env: dict[str, str], served: run_v2.Service) -> None:
    (found,) = series(cloud_env, served, LATENCIES, ' AND metric.labels.response_code_class = "2xx"')
    distributions = [point.value.distribution_value for point in found.points]
    assert sum(d.count for d in distributions) == sum(sum(d.bucket_counts) for d in distributions) == 6
    assert all(0 < d.mean < 5_000 for d in distributions)
    assert distributions[0].bucket_options.exponential_buckets.growth_factor == 1.4


@pytest.mark.parametrize(
    ("aligner", "metric", "expected"),
    [
        (Aggregation.Aligner.ALIGN_DELTA, COUNT, 6),
        (Aggregation.Aligner.ALIGN_SUM, COUNT, 6),
        (Aggregation.Aligner.ALIGN_RATE, COUNT, 6 / 300),
        (Aggregation.Aligner.ALIGN_COUNT, LATENCIES, 6),
    ],
)
def test_points_are_aligned(
    cloud_env: dict[str, str], served: run_v2.Service, aligner: int, metric: str, expected: float
) -> None:
    aggregation = Aggregation(alignment_period={"seconds": 300}, per_series_aligner=aligner)
    (found,) = series(cloud_env, served, metric, ' AND metric.labels.response_code="200"', aggregation=aggregation)
    (point,) = found.points
    assert (point.value.int64_value or point.value.double_value) == pytest.approx(expected)
    assert point.interval.end_time - point.interval.start_time == datetime.timedelta(seconds=300)


def test_series_are_added_up_by_label(cloud_env: dict[str, str], served: run_v2.Service) -> None:
    aggregation = Aggregation(
        alignment_period={"seconds": 300},
        per_series_aligner=Aggregation.Aligner.ALIGN_DELTA,
        cross_series_reducer=Aggregation.Reducer.REDUCE_SUM,
        group_by_fields=["resource.labels.revision_name"],
    )
    (counted,) = series(cloud_env, served, COUNT, aggregation=aggregation)
    assert counted.points[0].value.int64_value == 8
    assert dict(counted.resource.labels) == {"revision_name": short(served.latest_ready_revision)}
    (timed,) = series(cloud_env, served, LATENCIES, aggregation=aggregation)
    assert timed.points[0].value.distribution_value.count == 8


def test_a_percentile_lies_among_the_latencies(cloud_env: dict[str, str], served: run_v2.Service) -> None:
    aggregation = Aggregation(
        alignment_period={"seconds": 300}, per_series_aligner=Aggregation.Aligner.ALIGN_PERCENTILE_95
    )
    found = series(cloud_env, served, LATENCIES, ' AND metric.labels.response_code="200"', aggregation=aggregation)
    assert 0 < found[0].points[0].value.double_value < 5_000


def test_samples_are_invisible_for_as_long_as_the_lag_says(
    cloud: LocalCloud, cloud_env: dict[str, str], served: run_v2.Service
) -> None:
    cloud.put("/latency", {"stages": {"monitoring.lag": 600.0}})
    try:
        assert series(cloud_env, served, COUNT) == []
    finally:
        cloud.put("/latency", {"profile": "instant"})


@pytest.mark.parametrize(
    ("condition", "codes"),
    [
        (' AND metric.labels.response_code != "200"', {"500"}),
        (' AND metric.label.response_code = one_of("200", "204")', {"200"}),
        (' AND metric.labels.response_code_class = starts_with("5")', {"500"}),
        (' AND metric.labels.response_code = monitoring.regex.full_match("[25]00")', {"200", "500"}),
        (' AND resource.labels.location = "us-west1"', set()),
        (' metric.label."response_code"="404" OR metric.labels.response_code="500"', {"500"}),
        (' AND NOT metric.labels.response_code = has_substring("20")', {"500"}),
    ],
)
def test_filters_choose_series(
    cloud_env: dict[str, str], served: run_v2.Service, condition: str, codes: set[str]
) -> None:
    found = series(cloud_env, served, COUNT, condition)
    assert {s.metric.labels["response_code"] for s in found} == codes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense(",
        'resource.labels.location="x"',
        'metric.type=starts_with("a", "b")',
        'metric.type=monitoring.regex.full_match("(")',
        'metric.type>"x"',
    ],
    ids=["none", "broken", "no metric", "too many arguments", "no pattern", "no such operator"],
)
def test_a_filter_that_says_no_metric_or_makes_no_sense_is_refused(cloud_env: dict[str, str], text: str) -> None:
    request = monitoring_v3.ListTimeSeriesRequest(name=f"projects/{PROJECT}", filter=text, interval=interval())
    with pytest.raises(exceptions.InvalidArgument):
        monitoring_v3.MetricServiceClient().list_time_series(request)


def test_the_rest_answer_is_one_that_the_real_api_could_give(
    cloud: LocalCloud, cloud_env: dict[str, str], served: run_v2.Service
) -> None:
    token = (cloud.data / "gcloud-token").read_text()
    now = datetime.datetime.now(datetime.UTC)
    with Checked(headers={"Authorization": f"Bearer {token}"}) as client:
        response = client.get(
            f"https://monitoring.googleapis.com/v3/projects/{PROJECT}/timeSeries",
            params={
                "filter": f'metric.type="{LATENCIES}"',
                "interval.startTime": (now - datetime.timedelta(minutes=5)).isoformat(),
                "interval.endTime": now.isoformat(),
                "aggregation.alignmentPeriod": "300s",
                "aggregation.perSeriesAligner": "ALIGN_DELTA",
            },
        )
    assert response.json()["timeSeries"]
