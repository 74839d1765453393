"""The figures of all environments as OpenMetrics, for Prometheus and what reads the same.

https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from api.estate import Estate
from infra.gcp.monitoring import Gauge
from tasks.observe.figures import Figures, Spread, figures
from tasks.observe.serving import Serving
from tasks.observe.versions import Environment, Row

CUSTOM = "custom.googleapis.com/slipway/"
KIND = CONTENT_TYPE_LATEST
Labelled = Iterable[tuple[Sequence[str], float | None]]


def text_of(
    estate: Estate, workers: Sequence[Mapping[str, Any]], queue: Sequence[Mapping[str, Any]], active: int
) -> bytes:
    """All of it. workers, queue: as `api.health` answers them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(families(estate, workers, queue, active)))
    return bytes(generate_latest(registry))


def families(
    estate: Estate, workers: Sequence[Mapping[str, Any]], queue: Sequence[Mapping[str, Any]], active: int
) -> list[Metric]:
    return [*_of_estate(estate), *_of_prefect(workers, queue, active)]


def gauges_of(found: Iterable[Metric]) -> list[Gauge]:
    """The same as custom metrics: slipway_records_open is custom.googleapis.com/slipway/records_open."""
    gauges = {
        (sample.name, *sorted(sample.labels.items())): Gauge(
            f"{CUSTOM}{sample.name.removeprefix('slipway_')}", sample.labels, sample.value
        )
        for family in found
        for sample in family.samples
    }
    return list(gauges.values())  # Google refuses all of a request that names one twice


class _Collected(Collector):
    def __init__(self, found: Sequence[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


def _of_estate(estate: Estate) -> Iterator[Metric]:
    environments = estate.environments
    found = [(each, figures(each.name, each.history, estate.since, estate.read)) for each in environments]
    where = ["app", "environment"]
    yield _gauge("slipway_environment_readable", "1 if its records and services could be read.", where, (
        (_where(each), float(not each.problem)) for each in environments))  # fmt: skip
    yield _gauge("slipway_releases", "Deploys and promotions within 30 days, by how they ended.", [*where, "state"], (
        ((*_where(each), state), getattr(of, state)) for each, of in found for state in STATES))  # fmt: skip
    yield _gauge("slipway_rollbacks", "Within 30 days: by a person, or by itself.", [*where, "by"], (
        ((*_where(each), by), count) for each, of in found
        for by, count in (("person", of.rollbacks), ("itself", of.taken_back))))  # fmt: skip
    yield _gauge("slipway_failures", "Within 30 days, by their cause.", [*where, "cause"], (
        ((*_where(each), cause), count) for each, of in found for cause, count in of.causes.items()))  # fmt: skip
    for name, said, value in SINGLE:
        yield _gauge(name, said, where, ((_where(each), value(of)) for each, of in found))
    yield _gauge("slipway_stage_seconds", "What a stage took.", [*where, "stage", "quantile"], (
        ((*_where(each), stage, quantile), value) for each, of in found
        for stage, spread in of.stages_s.items() for quantile, value in _quantiles(spread)))  # fmt: skip
    yield _gauge("slipway_rollback_seconds", "Until traffic was restored.", [*where, "quantile"], (
        ((*_where(each), quantile), value) for each, of in found for quantile, value in _quantiles(of.rollback_s)
    ))  # fmt: skip
    yield from _of_services(environments)


STATES = ("released", "failed", "cancelled", "under_way")
SINGLE: tuple[tuple[str, str, Callable[[Figures], float | None]], ...] = (
    ("slipway_success_ratio", "Of 30 days: released / (released + failed).", lambda f: f.success_rate),
    ("slipway_error_budget_left_releases", "Failures that the objective still allows.", lambda f: f.budget.left),
    ("slipway_dora_deployments_per_day", "Released deploys and promotions.", lambda f: f.dora.per_day),
    ("slipway_dora_lead_time_seconds", "Median from commit to release.", lambda f: f.dora.lead_time_s),
    ("slipway_dora_change_failure_ratio", "Of those that had traffic.", lambda f: f.dora.change_failure_rate),
    ("slipway_dora_time_to_restore_seconds", "Median.", lambda f: f.dora.restore_s),
)


def _of_services(environments: Sequence[Environment]) -> Iterator[Metric]:
    names = ["app", "environment", "service", "region"]
    rows = [(each, row) for each in environments for row in each.rows]
    yield _gauge("slipway_service_in_step", "1 if what should serve does, alone.", names, (
        ((*_where(each), row.service, row.region), float(row.is_well)) for each, row in rows))  # fmt: skip
    yield _gauge("slipway_service_version_percent", "Of the traffic.", [*names, "version"], (
        ((*_where(each), row.service, row.region, version), percent)
        for each, row in rows for version, percent in row.current.items()))  # fmt: skip
    yield _gauge("slipway_service_released_timestamp_seconds", "When what should serve was released.", names, (
        ((*_where(each), row.service, row.region), row.since.timestamp() if row.since else None)
        for each, row in rows))  # fmt: skip
    yield from _of_versions([(each, row, one) for each, row in rows for one in row.serving if one.measured])
    yield _gauge("slipway_records_open", "Releases that still owe something.", names[:2], (
        (_where(each), len(each.open_records)) for each in environments))  # fmt: skip


def _of_versions(found: Sequence[tuple[Environment, Row, Serving]]) -> Iterator[Metric]:
    """What Cloud Monitoring tells of the last hour."""
    names = ["app", "environment", "service", "region", "version", "revision"]
    measured = [
        ((*_where(each), row.service, row.region, one.version, one.revision), one.measured)
        for each, row, one in found
        if one.measured
    ]
    yield _gauge("slipway_version_requests", "Within an hour, by what serves.", names, (
        (where, one.requests) for where, one in measured))  # fmt: skip
    yield _gauge("slipway_version_error_ratio", "Of them, the server's errors.", names, (
        (where, one.error_share) for where, one in measured))  # fmt: skip
    yield _gauge("slipway_version_latency_p95_seconds", "Of them.", names, (
        (where, None if one.p95_ms is None else one.p95_ms / 1000) for where, one in measured))  # fmt: skip


def _of_prefect(
    workers: Sequence[Mapping[str, Any]], queue: Sequence[Mapping[str, Any]], active: int
) -> Iterator[Metric]:
    yield _gauge("slipway_workers_online", "By work pool.", ["pool"], (
        ((each["pool"],), len(each["online"])) for each in workers))  # fmt: skip
    yield _gauge("slipway_runs_waiting", "For a worker, though they are due.", ["pool"], (
        ((each["pool"],), each["waiting"]) for each in queue))  # fmt: skip
    yield _gauge("slipway_runs_waiting_seconds", "How long the first of them has waited.", ["pool"], (
        ((each["pool"],), each["longest_s"]) for each in queue))  # fmt: skip
    yield _gauge("slipway_runs_active", "Runs that ship, and are under way.", [], (((), active),))


def _gauge(name: str, said: str, labels: Sequence[str], values: Labelled) -> Metric:
    """What is not known is left out: 0 would be a figure."""
    gauge = GaugeMetricFamily(name, said, labels=list(labels))
    for labelled, value in values:
        if value is not None:
            gauge.add_metric(list(labelled), float(value))
    return gauge


def _quantiles(spread: Spread | None) -> tuple[tuple[str, float], ...]:
    return (("0.5", spread.p50), ("0.95", spread.p95)) if spread else ()


def _where(environment: Environment) -> tuple[str, str]:
    return environment.app, environment.name
