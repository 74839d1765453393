"""Custom metrics on the local cloud: what Google takes, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.api_core.exceptions import InvalidArgument
from google.cloud import monitoring_v3

from tests.conftest import PROJECT
from tests.infra.emulator.emulated_run import new_name

NAME = f"projects/{PROJECT}"
pytestmark = pytest.mark.usefixtures("cloud_env")


def series(metric: str, value: Any = 1.5, ago_s: float = 0, **labels: str) -> dict[str, Any]:
    end = datetime.now(UTC) - timedelta(seconds=ago_s)
    kind = "int64_value" if isinstance(value, int) else "double_value"
    return {
        "metric": {"type": f"custom.googleapis.com/{metric}", "labels": labels},
        "resource": {"type": "global", "labels": {"project_id": PROJECT}},
        "points": [{"interval": {"end_time": end}, "value": {kind: value}}],
    }


def write(*given: dict[str, Any]) -> None:
    monitoring_v3.MetricServiceClient().create_time_series(request={"name": NAME, "time_series": list(given)})


def read(metric: str) -> dict[str, list[float]]:
    """The values by the label `app`, the newest first."""
    now = datetime.now(UTC)
    interval = {"start_time": now - timedelta(hours=1), "end_time": now + timedelta(minutes=1)}
    said = f'metric.type = "custom.googleapis.com/{metric}" AND resource.type = "global"'
    found = monitoring_v3.MetricServiceClient().list_time_series(
        request={"name": NAME, "filter": said, "interval": interval}
    )
    return {each.metric.labels["app"]: [point.value.double_value for point in each.points] for each in found}


def test_what_is_written_is_read_again_by_its_labels() -> None:
    metric = new_name("written")
    write(series(metric, 1.0, 20, app="shop"), series(metric, 2.0, 20, app="crm"))
    write(series(metric, 3.0, 0, app="shop"))
    assert read(metric) == {"shop": [3.0, 1.0], "crm": [2.0]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metric": {"type": "run.googleapis.com/x"}}, "must begin with custom.googleapis.com/"),
        ({"metric": {"type": "custom.googleapis.com/x", "labels": {"1x": "a"}}}, "label '1x'"),
        ({"resource": {"type": "gce_instance_group_x"}}, "cannot be written to"),
        ({"resource": {"type": "global", "labels": {"project_id": "another"}}}, "project_id"),
        ({"resource": {"type": "generic_node", "labels": {"location": "europe-west1"}}}, "must be"),
        ({"points": []}, "exactly one point"),
    ],
)
def test_what_google_refuses_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument, match="could not be written") as refused:
        write(series(new_name("refused")) | changes)
    assert said in refused.value.message
    assert "timeSeries[0]" in refused.value.message


def test_points_are_of_this_day_and_not_too_often_and_the_others_are_written() -> None:
    metric = new_name("often")
    write(series(metric, 1.0, app="shop"))
    with pytest.raises(InvalidArgument, match=r"more frequently.*timeSeries\[0\]"):
        write(series(metric, 2.0, app="shop"), series(metric, 4.0, app="crm"))
    assert read(metric) == {"shop": [1.0], "crm": [4.0]}
    for ago_s in (26 * 3600, -600):
        with pytest.raises(InvalidArgument, match="25 hours"):
            write(series(new_name("late"), 1.0, ago_s))
    with pytest.raises(InvalidArgument, match="as it was first written"):
        write(series(metric, 1, app="third"))


def test_a_request_has_at_most_200_series_each_of_its_own() -> None:
    metric = new_name("many")
    with pytest.raises(InvalidArgument, match="from 1 to 200"):
        write(*(series(metric, 1.0, app=str(number)) for number in range(201)))
    with pytest.raises(InvalidArgument, match="another metric"):
        write(series(metric, 1.0, app="a"), series(metric, 2.0, app="a"))
