"""Custom metrics: series that callers write themselves, and read again.

https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.timeSeries/create
https://cloud.google.com/monitoring/custom-metrics/creating-metrics
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from google.cloud import monitoring_v3

from infra.emulator.kernel.errors import RpcError, invalid
from infra.emulator.run.timeseries import Span

MOST = 200  # series in one request: https://cloud.google.com/monitoring/quotas
MOST_LABELS, LONGEST_KEY, LONGEST_VALUE = 30, 100, 1024
PERIOD_S = 5.0  # points of one series are not written more often
OLDEST_S, LATEST_S = 25 * 3600, 5 * 60  # https://cloud.google.com/monitoring/api/ref_v3/rest/v3/TimeInterval
NAME = re.compile(r"(?:custom\.googleapis\.com|external\.googleapis\.com/user)/[A-Za-z0-9][\w/.-]*")
KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# Of those that may be written to, the ones whose labels are checked here.
# https://cloud.google.com/monitoring/custom-metrics/creating-metrics#create-metric-desc
RESOURCES = {
    "global": {"project_id"},
    "generic_node": {"project_id", "location", "namespace", "node_id"},
    "generic_task": {"project_id", "location", "namespace", "job", "task_id"},
}
GAUGE, INT64, DOUBLE = 1, 2, 3
VALUES = {"int64_value": INT64, "double_value": DOUBLE}
TimeSeriesPb: Any = monitoring_v3.TimeSeries.pb()
_Key = tuple[str, ...]


class Custom:
    """Of all projects, in memory as all metrics are here."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._series: dict[str, dict[_Key, Any]] = defaultdict(dict)  # by project; points are the newest first
        self._kinds: dict[
            tuple[str, str], int
        ] = {}  # by project and metric: its type of value, as it was first written
        self._now = now

    def write(self, project: str, given: list[Any]) -> None:
        """What can be written is, whatever the rest is. Raises INVALID_ARGUMENT."""
        if not given or len(given) > MOST:
            raise invalid(
                f"The time_series list must have from 1 to {MOST} entries, and has {len(given)}.", "timeSeries"
            )
        if len({_key(each) for each in given}) != len(given):
            raise invalid("Each TimeSeries must be of another metric, resource or labels.", "timeSeries")
        wrong: list[str] = []
        for number, each in enumerate(given):
            try:
                self._write(project, each)
            except RpcError as error:
                wrong.append(f"{error.status.message}: timeSeries[{number}]")
        if wrong:
            raise invalid(f"One or more TimeSeries could not be written: {'; '.join(wrong)}")

    def _write(self, project: str, given: Any) -> None:
        _refuse_misnamed(project, given)
        kind = _value_type(given)
        point = given.points[0]
        end = point.interval.end_time.ToNanoseconds() / 1e9
        if point.interval.HasField("start_time") and point.interval.start_time != point.interval.end_time:
            raise invalid("The start time of a point of a GAUGE must be its end time")
        if not self._now() - OLDEST_S <= end <= self._now() + LATEST_S:
            raise invalid("The end time must be within the last 25 hours and no more than 5 minutes in the future")
        if self._kinds.setdefault((project, given.metric.type), kind) != kind:
            raise invalid(f"Value type for metric {given.metric.type} must be as it was first written")
        known = self._series[project].get(_key(given))
        if known is None:
            known = self._series[project][_key(given)] = TimeSeriesPb(
                metric=given.metric, resource=given.resource, metric_kind=GAUGE, value_type=kind
            )
            known.resource.labels["project_id"] = project
        elif end - known.points[0].interval.end_time.ToNanoseconds() / 1e9 < PERIOD_S:
            raise invalid(
                "One or more points were written more frequently than the maximum sampling period configured for the "
                "metric, or are older than the most recent point"
            )
        points = [point, *known.points]
        del known.points[:]
        known.points.extend(points)
        known.points[0].interval.start_time.CopyFrom(point.interval.end_time)

    def series(self, project: str, span: Span) -> Iterator[tuple[dict[str, str], Any]]:
        """What a filter can speak of, and the series with the points of that time."""
        for each in self._series[project].values():
            found = TimeSeriesPb()
            found.CopyFrom(each)
            points = [p for p in each.points if p.interval.end_time.ToNanoseconds() / 1e9 in span]
            del found.points[:]
            found.points.extend(points)
            if points:
                yield _labels(project, each), found


def _key(series: Any) -> _Key:
    parts = ((series.metric, "metric"), (series.resource, "resource"))
    return tuple(
        text
        for part, name in parts
        for text in (part.type, *(f"{name}.{k}={v}" for k, v in sorted(part.labels.items()) if k != "project_id"))
    )


def _refuse_misnamed(project: str, given: Any) -> None:
    if not NAME.fullmatch(given.metric.type):
        raise invalid(f"The metric type {given.metric.type!r} must begin with custom.googleapis.com/")
    if len(given.metric.labels) > MOST_LABELS:
        raise invalid(f"A metric has {MOST_LABELS} labels at most")
    for key, value in given.metric.labels.items():
        if not KEY.fullmatch(key) or len(key) > LONGEST_KEY or len(value) > LONGEST_VALUE:
            raise invalid(f"The label {key!r} or its value is not valid")
    known = RESOURCES.get(given.resource.type)
    if known is None:
        raise invalid(f"The monitored resource {given.resource.type!r} cannot be written to")
    if given.resource.labels.keys() - known or known - given.resource.labels.keys() - {"project_id"}:
        raise invalid(f"The labels of the resource {given.resource.type} must be {', '.join(sorted(known))}")
    if given.resource.labels.get("project_id", project) != project:
        raise invalid("The resource's project_id must be the project that is written to")


def _value_type(given: Any) -> int:
    if len(given.points) != 1:
        raise invalid("Each TimeSeries must have exactly one point")
    found = VALUES.get(given.points[0].value.WhichOneof("value") or "")
    if found is None:
        raise invalid("Only values of the types INT64 and DOUBLE are emulated by the local Google Cloud")
    if given.metric_kind not in (0, GAUGE):
        raise invalid("Only the metric kind GAUGE is emulated by the local Google Cloud")
    if given.value_type not in (0, found):
        raise invalid("The value type is not that of the point")
    return found


def _labels(project: str, series: Any) -> dict[str, str]:
    found = {"metric.type": series.metric.type, "resource.type": series.resource.type, "project": project}
    for holder in ("metric", "resource"):
        found |= {f"{holder}.labels.{name}": value for name, value in getattr(series, holder).labels.items()}
    return found
