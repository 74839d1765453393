"""The Cloud Run job that a release asks for, and how it becomes again what a record tells."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.gcp.run.jobs import RunJob
from tasks.manifest.values import SecretRef
from tasks.rollout.job import (
    VALUES,
    bare_job,
    desired_job,
    job_labels,
    recorded_job,
    restored_job,
    same_job,
    values_to_keep,
)
from tasks.rollout.service import said_before
from tests.tasks.builders import a_request, a_version, an_image

TEXT = """
app: shop
services:
  api: {}
jobs:
  migrate: JOB
environments:
  production: {project: acme-prod, regions: [europe-west1]}
"""
JOB = "{command: [migrate], max_retries: 0, timeout: 5m, env: {LEVEL: info}, secrets: {KEY: key}, memory: 1Gi}"
SECRETS = {SecretRef("key"): 3}
THEIRS: dict[str, Any] = {
    "taskCount": 4,
    "labels": {"team": "data"},
    "annotations": {"note": "theirs"},
    "template": {
        "containers": [
            {
                "image": "other:1",
                "env": [{"name": "THEIRS", "value": "1"}, {"name": "LEVEL", "value": "debug"}],
                "resources": {"limits": {"cpu": "2", "memory": "2Gi"}},
                "args": ["--all"],
            }
        ],
        "vpcAccess": {"connector": "projects/acme-prod/locations/europe-west1/connectors/main"},
        "maxRetries": 3,
        "timeout": "600s",
        "serviceAccount": "other@acme-prod.iam.gserviceaccount.com",
    },
}


def live(template: dict[str, Any]) -> RunJob:
    return RunJob("projects/acme-prod/locations/europe-west1/jobs/shop-migrate", "e", {}, template, None)


def wanted(job: str = JOB, over: dict[str, Any] | None = None) -> dict[str, Any]:
    request = a_request(text=TEXT.replace("JOB", job))
    return desired_job(request, a_version(), an_image(), "migrate", SECRETS, live(over) if over else None)


def test_a_new_job_is_asked_for_as_slipway_yaml_says_and_no_more() -> None:
    found = wanted()
    assert found["template"] == {
        "containers": [
            {
                "image": an_image().reference,
                "env": [
                    {"name": "LEVEL", "value": "info"},
                    {"name": "KEY", "valueSource": {"secretKeyRef": {"secret": "key", "version": "3"}}},
                ],
                "resources": {"limits": {"memory": "1Gi"}},
                "command": ["migrate"],
            }
        ],
        "maxRetries": 0,
        "timeout": "300s",
    }
    assert found["labels"]["slipway-job"] == "migrate"
    assert found.keys() == {"template", "labels", "annotations"}


def test_over_somebody_elses_job_all_is_kept_that_slipway_yaml_does_not_say() -> None:
    found = wanted(over=THEIRS)
    (container,) = found["template"]["containers"]
    assert (found["taskCount"], container["args"]) == (4, ["--all"])
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "1Gi"}
    assert [each.get("value") for each in container["env"]] == ["1", "info", None]
    assert found["template"]["vpcAccess"] == THEIRS["template"]["vpcAccess"]
    assert (found["labels"]["team"], found["annotations"]["note"]) == ("data", "theirs")


def test_what_is_said_no_more_goes_back_to_the_default() -> None:
    first = wanted(over=THEIRS)
    assert "template.timeout" in (said_before(first) or ())
    then = wanted("{command: [migrate]}", first)
    assert not {"timeout", "maxRetries"} & then["template"].keys()
    assert [each["name"] for each in then["template"]["containers"][0]["env"]] == ["THEIRS"]


def test_a_record_has_no_values_and_the_job_itself_has_those_it_had_before() -> None:
    first = wanted()
    second = wanted(JOB.replace("info", "warn"), first)
    assert "info" not in str(recorded_job(first))
    assert "info" in second["annotations"][VALUES]
    assert VALUES not in recorded_job(second)["annotations"]
    back, unknown = restored_job(recorded_job(first), second)
    assert (unknown, back["template"]) == ((), first["template"])
    assert "warn" in back["annotations"][VALUES]  # so that one can go forward again


def test_a_value_that_nobody_knows_any_more_is_named() -> None:
    first = wanted()
    second = wanted(JOB.replace("info", "warn"), first)
    forgetful = {**second, "annotations": {}}
    assert restored_job(recorded_job(first), forgetful)[1] == ("LEVEL",)


def test_a_template_is_the_same_as_its_record_and_another_is_not() -> None:
    first = wanted()
    assert same_job(first, recorded_job(first))
    assert not same_job(wanted(JOB.replace("info", "warn")), recorded_job(first))
    assert not same_job(wanted(JOB.replace("5m", "6m")), recorded_job(first))


def test_labels_of_the_job_are_what_is_said_over_what_others_have_set() -> None:
    said = "{labels: {team: data, tier: one}}"
    request = a_request(text=TEXT.replace("JOB", said))
    first = wanted(said)
    labels = job_labels(request, "migrate", first, None)
    assert {"team", "tier", "managed-by", "slipway-version"} <= labels.keys()
    there = RunJob("n", "e", {**labels, "theirs": "x"}, first, None)
    later = a_request(text=TEXT.replace("JOB", "{labels: {team: ops}}"))
    found = job_labels(later, "migrate", first, there)
    assert (found["team"], found["theirs"], "tier" in found) == ("ops", "x", False)


def test_a_record_keeps_the_annotations_of_a_job_and_they_come_back() -> None:
    first = {"annotations": {"note": "theirs", VALUES: "{}"}, "template": {"containers": [{"image": "i"}]}}
    recorded = recorded_job(first)
    assert recorded["annotations"] == {"note": "theirs"}
    assert restored_job(recorded, first) == ({**first, "annotations": {"note": "theirs"}}, ())


def test_what_was_never_a_value_is_not_kept_as_one() -> None:
    """A secret's variable has none of its own, one that says nothing is empty, and a masked one is none any more."""
    secret = {"name": "KEY", "valueSource": {"secretKeyRef": {"secret": "key", "version": "3"}}}
    masked = recorded_job(with_env({"name": "OLD", "value": "old"}))["template"]["containers"][0]["env"]
    assert values_to_keep(with_env(secret, *masked), {}) == {}
    assert list(values_to_keep(with_env(secret, {"name": "EMPTY"}), {}).values()) == [""]
    gone = restored_job(recorded_job(with_env({"name": "OLD", "value": "old"})), with_env())
    assert gone == (with_env({"name": "OLD", "value": ""}), ("OLD",))


def with_env(*env: dict[str, Any]) -> dict[str, Any]:
    return {"template": {"containers": [{"image": "i", "env": list(env)}]}, "annotations": {}}


def test_our_own_marks_are_no_settings_of_a_job() -> None:
    marks = {"managed-by": "slipway", "slipway-run": "r", "team": "data"}
    found = bare_job({"labels": marks, "annotations": {VALUES: "{}", "note": "x"}, "template": {"maxRetries": 1}})
    assert (found["labels"], found["annotations"]) == ({"team": "data"}, {"note": "x"})
    assert found["template"]["maxRetries"] == 1
    assert bare_job({"labels": {"slipway-run": "r"}, "template": {"maxRetries": 1}}).keys() == {"template"}


VARIABLES = st.dictionaries(st.sampled_from("ABCDE"), st.text(max_size=8), max_size=4)


@given(st.lists(VARIABLES, min_size=2, max_size=6))
def test_every_earlier_template_comes_back_whatever_came_after_it(history: list[dict[str, str]]) -> None:
    """As releases write the job one after the other, each record restores what it recorded."""
    records, job = [], None
    for variables in history:
        env = [{"name": name, "value": value} for name, value in variables.items()]
        task = {"containers": [{"image": "i", "env": env}]}
        annotations: dict[str, str] = {} if job is None else {VALUES: _kept(job, task)}
        job = {"template": task, "annotations": annotations}
        records.append((recorded_job(job), task))
    assert job is not None
    for recorded, task in records:
        back, unknown = restored_job(recorded, job)
        assert (back["template"], unknown) == (task, ())


def _kept(before: dict[str, Any], task: dict[str, Any]) -> str:
    return json.dumps(values_to_keep(before, task))


@pytest.mark.parametrize("many", [10, 500])
def test_values_do_not_grow_without_end(many: int) -> None:
    job: dict[str, Any] = {"template": {"containers": [{"env": [{"name": "A", "value": "0"}]}]}, "annotations": {}}
    for number in range(1, many):
        task = {"containers": [{"env": [{"name": "A", "value": str(number)}]}]}
        job = {"template": task, "annotations": {VALUES: _kept(job, task)}}
    kept = values_to_keep(job, {})
    assert len(kept) == min(many, 200)
    assert str(many - 1) in kept.values()
