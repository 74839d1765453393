"""Cloud Monitoring: the requests that a revision really served.

https://cloud.google.com/monitoring/api/metrics_gcp_p_z#gcp-run: both metrics are deltas, sampled every 60 s and not
visible for up to 180 s after that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.cloud import monitoring_v3

from infra.gcp.calls.clients import READ, call, client

COUNT = "run.googleapis.com/request_count"
LATENCIES = "run.googleapis.com/request_latencies"


@dataclass(frozen=True, slots=True)
class Served:
    """Requests in a span of time. `buckets` has one entry more than `bounds_ms`; the first is below the first bound."""

    requests: int = 0
    errors: int = 0  # answers of class 5xx
    bounds_ms: tuple[float, ...] = ()
    buckets: tuple[int, ...] = ()


async def served(service: str, revision: str, start: datetime, end: datetime) -> Served:
    """What `revision` of a service, by its full name, served from `start` to `end`, both aware; nothing if that is no
    time. Only whole sampling periods after `start` count.
    """
    if end <= start:
        return Served()
    counts = await _points(service, revision, COUNT, start, end)
    latencies = await _points(service, revision, LATENCIES, start, end)
    requests = sum(point.value.int64_value for _, point in counts)
    errors = sum(p.value.int64_value for labels, p in counts if labels.get("response_code_class") == "5xx")
    bounds, buckets = add_up(point.value.distribution_value for _, point in latencies)
    return Served(requests, errors, bounds, buckets)


def add_up(distributions: Iterable[Any]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """The histograms added bucket by bucket; their trailing zeros are left out by the API, so lengths differ."""
    bounds: tuple[float, ...] = ()
    totals: list[int] = []
    for distribution in distributions:
        bounds = bounds or _bounds(distribution.bucket_options)
        counts = list(distribution.bucket_counts)
        totals += [0] * (len(counts) - len(totals))
        for index, count in enumerate(counts):
            totals[index] += count
    return bounds, tuple(totals + [0] * (len(bounds) + 1 - len(totals)))


def _bounds(options: Any) -> tuple[float, ...]:
    exponential = options.exponential_buckets
    if exponential.num_finite_buckets:
        return tuple(
            exponential.scale * exponential.growth_factor**index for index in range(exponential.num_finite_buckets + 1)
        )
    return tuple(options.explicit_buckets.bounds)


async def _points(
    service: str, revision: str, metric: str, start: datetime, end: datetime
) -> list[tuple[dict[str, str], Any]]:
    """Each point with its series' metric labels."""
    _, project, _, region, _, short_name = service.split("/")
    request = monitoring_v3.ListTimeSeriesRequest(
        name=f"projects/{project}",
        filter=f'metric.type="{metric}" AND resource.type="cloud_run_revision"'
        f' AND resource.labels.location="{region}" AND resource.labels.service_name="{short_name}"'
        f' AND resource.labels.revision_name="{revision}"',
        interval=monitoring_v3.TimeInterval(start_time=start, end_time=end),
        view=monitoring_v3.ListTimeSeriesRequest.TimeSeriesView.FULL,
    )
    api = client(monitoring_v3.MetricServiceAsyncClient)
    pager = await call("monitoring.timeSeries.list", api.list_time_series, request, retry=READ)
    return [
        (dict(series.metric.labels), point)
        async for series in pager
        for point in series.points
        if point.interval.start_time >= start
    ]
