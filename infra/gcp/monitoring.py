"""Cloud Monitoring: the requests that a revision really served; and figures of our own.

https://cloud.google.com/monitoring/api/metrics_gcp_p_z#gcp-run: both metrics are deltas, sampled every 60 s and not
visible for up to 180 s after that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud import monitoring_v3

from infra.gcp.calls.clients import call, client
from infra.gcp.calls.paging import each

COUNT = "run.googleapis.com/request_count"
LATENCIES = "run.googleapis.com/request_latencies"
SERIES_AT_ONCE = 200  # the most: https://cloud.google.com/monitoring/quotas
PAGE_SIZE = 100_000  # points, the most: https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.timeSeries/list


_Points = list[tuple[dict[str, str], Any]]  # each with the labels of its metric, and its revision's name


@dataclass(frozen=True, slots=True)
class Served:
    """Requests in a span of time. `buckets` has one entry more than `bounds_ms`; the first is below the first bound."""

    requests: int = 0
    errors: int = 0  # answers of class 5xx
    refused: int = 0  # answers of class 4xx
    bounds_ms: tuple[float, ...] = ()
    buckets: tuple[int, ...] = ()
    since: datetime | None = None  # the sampling periods that were counted: from the first's start to the last's end
    until: datetime | None = None


async def served(service: str, revision: str, start: datetime, end: datetime, warm_s: float = 0.0) -> Served:
    """What `revision` of a service, by its full name, served from `start` to `end`, both aware; nothing if that is no
    time. Only whole sampling periods after `start` count, and latencies only from `warm_s` later on.
    """
    if end <= start:
        return Served()
    counts = await _points(service, revision, COUNT, start, end)
    warm = start + timedelta(seconds=warm_s)
    return _served(counts, await _points(service, revision, LATENCIES, warm, end) if warm < end else [])


async def served_by_each(service: str, start: datetime, end: datetime) -> dict[str, Served]:
    """What each revision of a service, by its full name, served from `start` to `end`; none that served nothing."""
    counts, latencies = _by_revision(await _points(service, "", COUNT, start, end)), dict[str, _Points]()
    if counts:
        latencies = _by_revision(await _points(service, "", LATENCIES, start, end))
    return {revision: _served(points, latencies.get(revision, [])) for revision, points in counts.items()}


def _by_revision(points: _Points) -> dict[str, _Points]:
    found: dict[str, _Points] = {}
    for labels, point in points:
        found.setdefault(labels["revision_name"], []).append((labels, point))
    return found


def _served(counts: _Points, latencies: _Points) -> Served:
    by_class: Counter[str] = Counter()
    for labels, point in counts:
        by_class[labels.get("response_code_class", "")] += point.value.int64_value
    bounds, buckets = add_up(point.value.distribution_value for _, point in latencies)
    return Served(
        by_class.total(),
        by_class["5xx"],
        by_class["4xx"],
        bounds,
        buckets,
        min((_time(point.interval.start_time) for _, point in counts), default=None),
        max((_time(point.interval.end_time) for _, point in counts), default=None),
    )


async def requests(service: str, start: datetime, end: datetime) -> int:
    """How many a service, by its full name, got in all its revisions."""
    return sum(point.value.int64_value for _, point in await _points(service, "", COUNT, start, end))


async def most(
    project: str, metric: str, labels: Mapping[str, str], start: datetime, end: datetime, *, counts: bool = False
) -> int:
    """The most that a metric of whole numbers was on any day, in any of its series; 0 where nothing was measured.

    labels: by the names that filters use, "resource.labels.database_id". counts: a count since the last point, of
    which a day's are added up, rather than a level.
    """
    said = "".join(f' AND {name}="{value}"' for name, value in labels.items())
    aligner = monitoring_v3.Aggregation.Aligner
    request = {
        "name": f"projects/{project}",
        "filter": f'metric.type="{metric}"{said}',
        "interval": {"start_time": start, "end_time": end},
        "aggregation": {
            "alignment_period": timedelta(days=1),
            "per_series_aligner": aligner.ALIGN_SUM if counts else aligner.ALIGN_MAX,
        },
        "view": monitoring_v3.ListTimeSeriesRequest.TimeSeriesView.FULL,
        "page_size": PAGE_SIZE,
    }
    method = client(monitoring_v3.MetricServiceAsyncClient).list_time_series
    found = [each async for each in each("monitoring.timeSeries.list", method, request, "time_series")]
    return max((int(point.value.int64_value) for series in found for point in series.points), default=0)


@dataclass(frozen=True, slots=True)
class Gauge:
    """A figure as it is now. metric: custom.googleapis.com/…"""

    metric: str
    labels: Mapping[str, str]
    value: float


async def write_gauges(project: str, gauges: Sequence[Gauge], at: datetime) -> None:
    """Raises GoogleError; what of them can be written is, all the same.

    https://cloud.google.com/monitoring/custom-metrics/creating-metrics#write-ts
    """
    method = client(monitoring_v3.MetricServiceAsyncClient).create_time_series
    for start in range(0, len(gauges), SERIES_AT_ONCE):
        series = [
            {
                "metric": {"type": each.metric, "labels": dict(each.labels)},
                "resource": {"type": "global", "labels": {"project_id": project}},
                "points": [{"interval": {"end_time": at}, "value": {"double_value": each.value}}],
            }
            for each in gauges[start : start + SERIES_AT_ONCE]
        ]
        await call("monitoring.timeSeries.create", method, {"name": f"projects/{project}", "time_series": series})


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


async def _points(service: str, revision: str, metric: str, start: datetime, end: datetime) -> _Points:
    """Of all revisions where none is named."""
    _, project, _, region, _, short_name = service.split("/")
    request = {
        "name": f"projects/{project}",
        "filter": f'metric.type="{metric}" AND resource.type="cloud_run_revision"'
        f' AND resource.labels.location="{region}" AND resource.labels.service_name="{short_name}"'
        + (f' AND resource.labels.revision_name="{revision}"' if revision else ""),
        "interval": {"start_time": start, "end_time": end},
        "view": monitoring_v3.ListTimeSeriesRequest.TimeSeriesView.FULL,
        "page_size": PAGE_SIZE,
    }
    method = client(monitoring_v3.MetricServiceAsyncClient).list_time_series
    return [
        ({**series.metric.labels, "revision_name": series.resource.labels["revision_name"]}, point)
        async for series in each("monitoring.timeSeries.list", method, request, "time_series")
        for point in series.points
        if _time(point.interval.start_time) >= start
    ]


def _time(stamp: Any) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)  # type: ignore[no-any-return]
