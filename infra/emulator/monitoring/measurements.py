"""What the local cloud is told to have measured, over its admin port: what no service of it measures itself.

[{"project": "p", "metric": "cloudsql.googleapis.com/database/network/connections", "resource": "cloudsql_database",
"labels": {"resource.labels.database_id": "p:main"}, "value": 3, "days": 2}]: so much, so many days ago.
https://cloud.google.com/monitoring/api/metrics_gcp_c#gcp-cloudsql,
https://cloud.google.com/monitoring/api/metrics_gcp_p_z#gcp-serviceruntime
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from google.cloud import monitoring_v3
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import invalid
from infra.emulator.monitoring.filter import Predicate
from infra.emulator.run.timeseries import Span

DELTA, GAUGE, INT64 = 2, 1, 2
COUNTED = frozenset({"serviceruntime.googleapis.com/api/request_count"})  # the others are levels
SAMPLE_S = 60.0
Aligner = monitoring_v3.Aggregation.Aligner
TimeSeriesPb: Any = monitoring_v3.TimeSeries.pb()


class Measurement(BaseModel):
    model_config = ConfigDict(extra="forbid")

    project: str
    metric: str
    resource: str
    labels: dict[str, str] = {}
    value: int = Field(ge=0)
    days: float = 0.0


MEASUREMENTS: TypeAdapter[list[Measurement]] = TypeAdapter(list[Measurement])


class Measurements:
    def __init__(self, cloud: Cloud) -> None:
        self._table = cloud.store.values("measurements")
        cloud.told["/measurements"] = self

    def show(self) -> list[dict[str, Any]]:
        return [dict(each) for each in self._table.list()]

    def take(self, body: bytes) -> None:
        wanted, now = MEASUREMENTS.validate_json(body), time.time()
        self._table.clear("")
        for number, each in enumerate(wanted):
            self._table.put(f"{number:06d}", each.model_dump() | {"at": now - each.days * 86400})

    def series(self, project: str, predicate: Predicate, span: Span, aggregation: Any) -> Iterator[Any]:
        """Those that the filter and the interval let through; each of one point."""
        for each in self._table.list():
            given = {"metric.type": each["metric"], "resource.type": each["resource"], "project": project}
            labels = {**each["labels"], **given}
            if each["project"] == project and span.start < each["at"] <= span.end and predicate(labels):
                yield _made(each, labels, aggregation)


def _made(each: dict[str, Any], labels: dict[str, str], aggregation: Any) -> Any:
    kind = DELTA if each["metric"] in COUNTED else GAUGE
    fitting = Aligner.ALIGN_SUM if kind == DELTA else Aligner.ALIGN_MAX
    if aggregation.per_series_aligner not in (Aligner.ALIGN_NONE, fitting):
        raise invalid(f"The aligner cannot be applied to {each['metric']}.", "aggregation.perSeriesAligner")
    made = TimeSeriesPb(metric_kind=kind, value_type=INT64)
    for name, value in labels.items():
        holder, _, label = name.partition(".labels.")
        if label:
            getattr(made, holder).labels[label] = value
    made.metric.type, made.resource.type = each["metric"], each["resource"]
    point = made.points.add()
    point.interval.start_time.FromNanoseconds(int((each["at"] - (SAMPLE_S if kind == DELTA else 0)) * 1e9))
    point.interval.end_time.FromNanoseconds(int(each["at"] * 1e9))
    point.value.int64_value = each["value"]
    return made
