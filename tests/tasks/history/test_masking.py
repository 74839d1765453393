"""Records keep the names of variables, and of their values only what tells whether they are the same."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tasks.drift.compare import compare
from tasks.history.masking import masked
from tasks.history.record import ReleaseRecord, TargetRecord
from tests.tasks.builders import a_record


def a_template(**env: str) -> dict[str, Any]:
    variables: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in env.items()]
    secret = {"name": "KEY", "valueSource": {"secretKeyRef": {"secret": "key", "version": "7"}}}
    return {"timeout": "300s", "containers": [{"image": "x@sha256:1", "env": [*variables, secret]}, {"image": "y"}]}


def test_names_and_secrets_stay_and_values_go() -> None:
    template = masked(a_template(LEVEL="info", TOKEN="s3cret-value"))
    assert "s3cret-value" not in str(template)
    first, *_, last = template["containers"][0]["env"]
    assert first["name"] == "LEVEL"
    assert last == a_template()["containers"][0]["env"][0]
    assert template["timeout"] == "300s"
    assert masked({}) == {}


@given(st.text(), st.text())
def test_two_masked_values_are_the_same_if_the_values_are(one: str, other: str) -> None:
    ours, theirs = ({"template": masked(a_template(VALUE=value))} for value in (one, other))
    assert (compare(ours, theirs) == ()) is (one == other)
    assert masked(ours["template"]) == ours["template"]


def test_a_variable_that_is_empty_is_the_same_however_it_is_written() -> None:
    written, left_out = ({"containers": [{"env": [entry]}]} for entry in ({"name": "A", "value": ""}, {"name": "A"}))
    assert masked(written) == masked(left_out)


def test_a_record_that_kept_values_is_read_without_them() -> None:
    target = TargetRecord(service="web", region="r").model_dump(mode="json")
    text = json.dumps(
        a_record("v1.0.0", 1).model_dump(mode="json")
        | {"targets": [target | {"template": a_template(TOKEN="s3cret-value"), "config": a_template(OLD="s3cret-old")}]}
    )
    read = ReleaseRecord.model_validate_json(text)
    assert "s3cret" not in read.model_dump_json()
    assert read.targets[0].template == masked(a_template(TOKEN="s3cret-value"))
