"""Jobs that are not as they were released."""

from __future__ import annotations

import json
from typing import Any

from infra.gcp.run.jobs import RunJob
from tasks.drift.jobs import differences, released_jobs, rows
from tasks.history.job_record import JobRecord
from tasks.history.record import State
from tasks.rollout.job import recorded_job
from tests.tasks.builders import a_record

NAME = "projects/acme-prod/locations/europe-west1/jobs/shop-tidy"


SAYS = [
    "taskCount", "template.containers[].image", "template.containers[].env[MODE]",
    "template.containers[].resources.limits[memory]",
]  # fmt: skip


def template(memory: str = "512Mi", value: str = "a", **more: Any) -> dict[str, Any]:
    container = {
        "image": "i@sha256:0",
        "env": [{"name": "MODE", "value": value}],
        "resources": {"limits": {"memory": memory}},
    }
    annotations = {"slipway-says": json.dumps(SAYS)}
    return {
        "taskCount": 1,
        "annotations": annotations,
        **more,
        "template": {"containers": [container], "maxRetries": 3},
    }


def known(job: str = "tidy", **more: Any) -> JobRecord:
    return JobRecord(job=job, name=NAME, template=recorded_job(template(**more)))


def found(live: dict[str, Any], ignore: tuple[str, ...] = ()) -> list[str]:
    return [each.path for each in differences(known(), RunJob(NAME, "e", {}, live, None), ignore)]


def test_a_job_as_it_was_released_has_not_drifted() -> None:
    assert found(template()) == []
    assert found(template(labels={"goog-x": "y"})) == []
    assert rows(known(), ())[0]["setting"] == ""


def test_every_setting_that_differs_is_named_and_values_of_variables_stay_hidden() -> None:
    assert found(template(memory="1Gi")) == ["template.containers[0].resources.limits.memory"]
    assert found(template(taskCount=2)) == ["taskCount"]
    changed = differences(known(), RunJob(NAME, "e", {}, template(value="hidden"), None), ())
    assert [each.path for each in changed] == ["template.containers[0].env[MODE]"]
    assert "hidden" not in str(rows(known(), changed))
    assert found(template(value="hidden"), ("template.containers[0].env[*",)) == []


def test_what_slipway_yaml_does_not_say_is_for_others_to_change() -> None:
    assert found(template(parallelism=3)) == []


def test_a_job_that_is_gone_has_drifted() -> None:
    assert rows(known(), differences(known(), None, ()))[0] == {
        "job": "tidy", "setting": "job", "live": "not set", "as released": "there",
    }  # fmt: skip


def test_the_newest_release_that_stands_says_what_a_job_is_to_be() -> None:
    history = [
        a_record("v3", 3, jobs=(known(memory="3Gi"),), state=State.FAILED),
        a_record("v2", 2, jobs=(known(memory="2Gi"),)),
        a_record("v1", 1, jobs=(known(memory="1Gi"), known("other"))),
    ]
    chosen = released_jobs(history)
    assert chosen["tidy"] == history[1].jobs[0]
    assert chosen["other"] == history[2].jobs[1]
