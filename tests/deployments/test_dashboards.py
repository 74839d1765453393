"""Dashboards and alerts: whatever they ask for is there, and is what Google and Prometheus take."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud import monitoring_v3
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from api.estate import Estate
from api.metrics import text_of
from infra.emulator.monitoring.filter import parse_filter
from tasks.history.status import Standing
from tasks.observe.serving import Measured, Serving
from tasks.observe.versions import Environment, Row
from tests.infra.emulator.discovery import assert_conforms, load
from tests.tasks.observe.test_figures import at, release

FOLDER = Path(__file__).parents[2] / "deployments" / "dashboards"
GRAFANA, GOOGLE = FOLDER / "grafana.json", FOLDER / "google-dashboard.json"
POLICIES = sorted((FOLDER / "google-alerts").glob("*.json"))
RULES = FOLDER / "prometheus-rules.yaml"
NEEDS = {"ALIGN_RATE": "DELTA", "ALIGN_DELTA": "DELTA", "ALIGN_MAX": "GAUGE"}  # the kind that an aligner is for
# https://cloud.google.com/monitoring/api/metrics_gcp_p_z#gcp-run
GOOGLES = {
    "run.googleapis.com/request_count": ("DELTA", "INT64"),
    "run.googleapis.com/request_latencies": ("DELTA", "DISTRIBUTION"),
    "run.googleapis.com/container/instance_count": ("GAUGE", "INT64"),
    "run.googleapis.com/container/billable_instance_time": ("DELTA", "DOUBLE"),
    "run.googleapis.com/container/cpu/utilizations": ("DELTA", "DISTRIBUTION"),
    "run.googleapis.com/container/memory/utilizations": ("DELTA", "DISTRIBUTION"),
}
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def exposed() -> dict[str, set[str]]:
    """The labels of each metric that /metrics has, where everything has happened once."""
    serving = Serving("v1", "shop-web-v1", Measured(10, 0.1, 20.0), "", "")
    row = Row("web", "europe-west1", "v1", {"v1": 100}, Standing.IN_STEP, NOW, "ada", "run-1", serving=(serving,))
    failed = release("v3", 3, state="failed", outcome="taken back", seconds={"taken back": 3.0}, cause="permission")
    back = release("v1", 4, action="rollback", left="v2", seconds={"restored": 4.0})
    first = release("v1", 1, commits={"c1": at(0)})
    second = release("v2", 2, commits={"c1": at(0), "c2": at(1)}, seconds={"build": 9.0})
    history = (back, failed, second, first)
    environment = Environment("shop", "production", (row,), history)
    estate = Estate((environment,), history[-1].started - timedelta(days=1), history[0].started + timedelta(days=1))
    workers, queue = [{"pool": "p", "online": ["w"]}], [{"pool": "p", "waiting": 1, "longest_s": 2.0}]
    text = text_of(estate, workers, queue, 1).decode()
    return {
        family.name: {label for sample in family.samples for label in sample.labels}
        for family in text_string_to_metric_families(text)
    }


def found_in(value: Any, *keys: str) -> Iterator[str]:
    """The strings under these keys, wherever they are."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in keys and isinstance(item, str):
                yield item
            yield from found_in(item, *keys)
    elif isinstance(value, list):
        for item in value:
            yield from found_in(item, *keys)


def queries() -> list[str]:
    files = [json.loads(path.read_text()) for path in (GRAFANA, GOOGLE, *POLICIES)]
    rules = yaml.safe_load(RULES.read_text())
    return sorted({each for file in [*files, rules] for each in found_in(file, "expr", "prometheusQuery", "query")} - {
        "prometheus"
    })  # fmt: skip


def labels_of(query: str) -> set[str]:
    """That it selects, groups or joins by."""
    selected = {name for part in re.findall(r"\{(.*?)\}", query) for name in re.findall(r"(\w+)\s*[=!]~?\"", part)}
    grouped = {name.strip() for part in re.findall(r"\b(?:by|on)\s*\((.*?)\)", query) for name in part.split(",")}
    asked = set(re.findall(r"label_values\(.*,\s*(\w+)\)", query))
    return selected | grouped | asked


@pytest.mark.parametrize("query", queries())
def test_a_query_asks_for_metrics_and_labels_that_are_there(query: str, exposed: dict[str, set[str]]) -> None:
    named = set(re.findall(r"\bslipway_\w+", query))
    assert named, query
    assert named <= exposed.keys()
    assert labels_of(query) <= set.union(*(exposed[name] for name in named))
    assert query.count("(") == query.count(")")


def test_every_legend_names_labels_that_its_query_has(exposed: dict[str, set[str]]) -> None:
    for panel in json.loads(GRAFANA.read_text())["panels"]:
        for target in panel["targets"]:
            names = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            (metric,) = set(re.findall(r"\bslipway_\w+", target["expr"]))
            grouped = re.search(r"\bby \((.*?)\)", target["expr"])
            assert names <= (set(grouped[1].split(", ")) if grouped else exposed[metric]), panel["title"]


def test_every_metric_that_is_exposed_is_shown(exposed: dict[str, set[str]]) -> None:
    shown = set(re.findall(r"\bslipway_\w+", GRAFANA.read_text()))
    assert exposed.keys() - shown == {"slipway_service_released_timestamp_seconds"}


def test_no_panels_lie_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    panels = json.loads(GRAFANA.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_the_dashboard_is_one_that_google_takes() -> None:
    assert_conforms("monitoring.v1", "POST", "/v1/projects/acme/dashboards", json.loads(GOOGLE.read_text()))
    assert load("monitoring.v1").find("POST", "/v1/projects/acme/dashboards")


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_an_alert_policy_is_one_that_google_takes(path: Path) -> None:
    said = json.loads(path.read_text())
    assert_conforms("monitoring.v3", "POST", "/v3/projects/acme/alertPolicies", said)
    policy = monitoring_v3.AlertPolicy.from_json(path.read_text())
    assert len(policy.conditions) == 1
    assert policy.display_name.startswith("Slipway: ")
    assert policy.documentation.content


def asked_of_google() -> list[tuple[str, dict[str, Any]]]:
    """Each filter with how its series are aligned and added up."""

    def pairs(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        if isinstance(value, list):
            for item in value:
                yield from pairs(item)
        if isinstance(value, dict):
            for one, how in (
                ("filter", "aggregation"),
                ("filter", "aggregations"),
                ("denominatorFilter", "denominatorAggregations"),
            ):
                if one in value and how in value:
                    yield value[one], value[how][0] if isinstance(value[how], list) else value[how]
            for item in value.values():
                yield from pairs(item)

    return [each for path in (GOOGLE, *POLICIES) for each in pairs(json.loads(path.read_text()))]


def test_what_is_asked_of_google_is_measured_there_and_aligned_as_its_kind_allows() -> None:
    asked = asked_of_google()
    assert {re.search(r'metric\.type = "(.*?)"', text)[1] for text, _ in asked} == GOOGLES.keys()  # type: ignore[index]
    for text, how in asked:
        parse_filter(text)
        kind, value = GOOGLES[re.search(r'metric\.type = "(.*?)"', text)[1]]  # type: ignore[index]
        assert NEEDS[how["perSeriesAligner"]] == kind
        assert ("PERCENTILE" in how["crossSeriesReducer"]) == (value == "DISTRIBUTION")
        assert monitoring_v3.Aggregation.from_json(json.dumps(how)).group_by_fields


def test_the_rules_of_prometheus_are_those_of_google_monitoring() -> None:
    rules = {each["alert"]: each for each in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]}
    names = {f"Slipway{''.join(word.capitalize() for word in path.stem.split('-'))}": path for path in POLICIES}
    assert rules.keys() == names.keys()
    for name, path in names.items():
        [condition] = json.loads(path.read_text())["conditions"]
        asked = condition.get("conditionPrometheusQueryLanguage")
        assert asked is None or (asked["query"], int(asked["duration"][:-1])) == (
            rules[name]["expr"],
            60 * int(rules[name]["for"][:-1]),
        )
