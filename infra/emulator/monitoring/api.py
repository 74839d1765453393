"""Cloud Monitoring: the request metrics of Cloud Run, from requests that were really served, and custom metrics.

https://cloud.google.com/monitoring/api/metrics_gcp_p_z#gcp-run
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

from google.cloud import monitoring_v3
from google.protobuf import empty_pb2

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import invalid, unimplemented
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.monitoring.custom import Custom
from infra.emulator.monitoring.filter import Predicate, parse_filter
from infra.emulator.monitoring.measurements import Measurements
from infra.emulator.run.metrics import BUCKETS, GROWTH, SCALE, Cell, Series
from infra.emulator.run.names import ServiceName, short
from infra.emulator.run.system import CloudRun
from infra.emulator.run.timeseries import Point, Span, aligned, percentile_ms, sampled

COUNT = "run.googleapis.com/request_count"
LATENCIES = "run.googleapis.com/request_latencies"
SAMPLING_S = 60.0  # unless the latency profile says otherwise, as it does of the lag
DEFAULT_PAGE = 100_000
Aligner = monitoring_v3.Aggregation.Aligner
Reducer = monitoring_v3.Aggregation.Reducer
Kind = Any  # google.api.MetricDescriptor.MetricKind or .ValueType
DELTA, GAUGE = 2, 1
INT64, DOUBLE, DISTRIBUTION = 2, 3, 5
PERCENTILES = {
    Aligner.ALIGN_PERCENTILE_05: 5, Aligner.ALIGN_PERCENTILE_50: 50,
    Aligner.ALIGN_PERCENTILE_95: 95, Aligner.ALIGN_PERCENTILE_99: 99,
}  # fmt: skip
ListTimeSeriesResponse: Any = monitoring_v3.ListTimeSeriesResponse.pb()
TimeSeriesPb: Any = monitoring_v3.TimeSeries.pb()


class Monitoring:
    def __init__(self, cloud: Cloud) -> None:
        self._metrics, self._behaviour = cloud.get(CloudRun).metrics, cloud.behaviour
        self._told = cloud.get(Measurements)
        self._custom = Custom()

    @rpc(
        "google.monitoring.v3.MetricService/CreateTimeSeries",
        permission="monitoring.timeSeries.create",
        rest=(("POST", "/v3/{name=projects/*}/timeSeries", "*"),),
    )
    async def create_time_series(self, request: Any, _: Call) -> Any:
        self._custom.write(short(request.name), list(request.time_series))
        return empty_pb2.Empty()

    @rpc(
        "google.monitoring.v3.MetricService/ListTimeSeries",
        permission="monitoring.timeSeries.list",
        rest=(("GET", "/v3/{name=projects/*}/timeSeries", ""),),
    )
    async def list_time_series(self, request: Any, _: Call) -> Any:
        predicate, span = parse_filter(request.filter), _span(request.interval)
        found = [
            series
            for metric in (COUNT, LATENCIES)
            for series in self._series(request, short(request.name), metric, predicate, span)
        ]
        found += self._told.series(short(request.name), predicate, span, request.aggregation)
        found += self._written(request, short(request.name), predicate, span)
        reduced = _reduce(found, request.aggregation)
        start = int(request.page_token or 0)
        size = request.page_size or DEFAULT_PAGE
        token = str(start + size) if start + size < len(reduced) else ""
        return ListTimeSeriesResponse(time_series=reduced[start : start + size], next_page_token=token)

    def _written(self, request: Any, project: str, predicate: Predicate, span: Span) -> list[Any]:
        """Custom metrics, as they are: how they are aligned is not emulated."""
        found = [series for labels, series in self._custom.series(project, span) if predicate(labels)]
        if found and request.aggregation.per_series_aligner:
            raise unimplemented("To align custom metrics")
        return found

    def _series(self, request: Any, project: str, metric: str, predicate: Predicate, span: Span) -> Iterator[Any]:
        latency_s = self._behaviour.latency_s
        visible_until = time.time() - latency_s.get("monitoring.lag", 0.0)
        period_s = latency_s.get("monitoring.period", SAMPLING_S)
        for series, cells in self._metrics.series(project):
            labels = labels_of(series, metric, project)
            if predicate(labels) and (points := sampled(cells, span, period_s, visible_until)):
                made = _head(labels)
                if request.view != monitoring_v3.ListTimeSeriesRequest.TimeSeriesView.HEADERS:
                    _fill(made, metric, points, span, request.aggregation)
                yield made


def labels_of(series: Series, metric: str, project: str) -> dict[str, str]:
    """What a filter can speak of, by the names it uses."""
    name = ServiceName.parse(series.revision)
    return {
        "metric.type": metric,
        "metric.labels.response_code": str(series.code),
        "metric.labels.response_code_class": f"{series.code // 100}xx",
        "resource.type": "cloud_run_revision",
        "resource.labels.project_id": project,
        "resource.labels.service_name": name.id,
        "resource.labels.configuration_name": name.id,
        "resource.labels.revision_name": short(series.revision),
        "resource.labels.location": name.location,
        "project": project,
    }


def _span(interval: Any) -> Span:
    if not interval.HasField("end_time"):
        raise invalid("interval.end_time must be specified.", "interval.end_time")
    end = interval.end_time.ToNanoseconds() / 1e9
    start = interval.start_time.ToNanoseconds() / 1e9 if interval.HasField("start_time") else end
    if start > end:
        raise invalid("interval.start_time must not be later than interval.end_time.", "interval")
    return Span(start, end)


def _head(labels: dict[str, str]) -> Any:
    made = TimeSeriesPb()
    for name, value in labels.items():
        holder, _, label = name.partition(".labels.")
        if label:
            getattr(made, holder).labels[label] = value
    made.metric.type, made.resource.type = labels["metric.type"], labels["resource.type"]
    return made


def _fill(series: Any, metric: str, points: list[Point], span: Span, aggregation: Any) -> None:
    aligner = aggregation.per_series_aligner
    period_s = aggregation.alignment_period.ToTimedelta().total_seconds()
    if aligner:
        if period_s < 1:
            raise invalid("aggregation.alignment_period must be at least 60s.", "aggregation.alignment_period")
        points = aligned(points, span, period_s)
    series.metric_kind, series.value_type = _type_of(metric, aligner)
    for point in points:
        made = series.points.add()
        made.interval.start_time.FromNanoseconds(int(point.start * 1e9))
        made.interval.end_time.FromNanoseconds(int(point.end * 1e9))
        _set_value(made.value, point.cell, series.value_type, aligner, period_s)
    series.unit = "1" if metric == COUNT else "ms"


def _type_of(metric: str, aligner: int) -> tuple[Kind, Kind]:
    """Metric kind and value type after alignment."""
    if aligner in (Aligner.ALIGN_NONE, Aligner.ALIGN_DELTA, Aligner.ALIGN_SUM):
        return DELTA, (INT64 if metric == COUNT else DISTRIBUTION)
    if aligner == Aligner.ALIGN_RATE and metric == COUNT:
        return GAUGE, DOUBLE
    if aligner == Aligner.ALIGN_COUNT:
        return GAUGE, INT64
    if metric == LATENCIES and aligner in (*PERCENTILES, Aligner.ALIGN_MEAN):
        return GAUGE, DOUBLE
    raise invalid(f"The aligner {Aligner(aligner).name} cannot be applied to {metric}.", "aggregation")


def _set_value(value: Any, cell: Cell, value_type: int, aligner: int, period_s: float) -> None:
    if value_type == INT64:
        value.int64_value = cell.count
    elif value_type == DISTRIBUTION:
        _set_distribution(value.distribution_value, cell)
    elif aligner == Aligner.ALIGN_RATE:
        value.double_value = cell.count / period_s
    elif aligner == Aligner.ALIGN_MEAN:
        value.double_value = cell.sum_ms / cell.count
    else:
        value.double_value = percentile_ms(cell, PERCENTILES[aligner])


def _set_distribution(distribution: Any, cell: Cell) -> None:
    distribution.count = cell.count
    distribution.mean = cell.sum_ms / cell.count
    distribution.sum_of_squared_deviation = cell.deviation_squares
    buckets = distribution.bucket_options.exponential_buckets
    buckets.num_finite_buckets, buckets.growth_factor, buckets.scale = BUCKETS, GROWTH, SCALE
    distribution.bucket_counts.extend(cell.buckets.get(index, 0) for index in range(max(cell.buckets) + 1))


def _reduce(found: list[Any], aggregation: Any) -> list[Any]:
    """The series added up by the labels that the caller groups by."""
    if aggregation.cross_series_reducer == Reducer.REDUCE_NONE:
        return found
    if aggregation.cross_series_reducer != Reducer.REDUCE_SUM:
        raise invalid(f"{Reducer(aggregation.cross_series_reducer).name} is not emulated.", "aggregation")
    fields = [re.sub(r"\.label\.", ".labels.", field) for field in aggregation.group_by_fields]
    groups: dict[tuple[str, ...], Any] = {}
    for series in found:
        kept = {name: value for name, value in _labels(series).items() if name in fields or ".labels." not in name}
        key = tuple(f"{name}={kept[name]}" for name in sorted(kept))
        if key not in groups:
            groups[key] = _head(kept)
            for name in ("metric_kind", "value_type", "unit"):
                setattr(groups[key], name, getattr(series, name))
        _add_points(groups[key], series)
    return list(groups.values())


def _labels(series: Any) -> dict[str, str]:
    labels = {"metric.type": series.metric.type, "resource.type": series.resource.type}
    for holder in ("metric", "resource"):
        labels |= {f"{holder}.labels.{name}": value for name, value in getattr(series, holder).labels.items()}
    return labels


def _add_points(total: Any, series: Any) -> None:
    known = {point.interval.end_time.ToNanoseconds(): point for point in total.points}
    for point in series.points:
        same = known.get(point.interval.end_time.ToNanoseconds())
        if same is None:
            total.points.add().CopyFrom(point)
        elif series.value_type == DISTRIBUTION:
            _add_distribution(same.value.distribution_value, point.value.distribution_value)
        elif series.value_type == INT64:
            same.value.int64_value += point.value.int64_value
        else:
            same.value.double_value += point.value.double_value
    ordered = sorted(total.points, key=lambda point: -int(point.interval.end_time.ToNanoseconds()))
    del total.points[:]
    total.points.extend(ordered)


def _add_distribution(total: Any, other: Any) -> None:
    count = total.count + other.count
    shift = (other.mean - total.mean) ** 2 * total.count * other.count / count  # Chan et al., parallel variance
    total.sum_of_squared_deviation += other.sum_of_squared_deviation + shift
    total.mean = (total.mean * total.count + other.mean * other.count) / count
    total.count = count
    for index, bucket in enumerate(other.bucket_counts):
        if index < len(total.bucket_counts):
            total.bucket_counts[index] += bucket
        else:
            total.bucket_counts.append(bucket)
