"""Records keep the names of variables, and of their values only what tells whether they are the same."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tasks.drift.compare import compare
from tasks.history.job_record import JobRecord
from tasks.history.masking import masked, masked_job
from tasks.history.record import ReleaseRecord, TargetRecord
from tasks.manifest.silence import silenced
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


def a_probed(value: str) -> dict[str, Any]:
    """A container and a sidecar that are asked with a header, and have a variable each."""
    probe = {"httpGet": {"path": "/up", "httpHeaders": [{"name": "Authorization", "value": value}]}, "periodSeconds": 5}
    asked = dict.fromkeys(("startupProbe", "livenessProbe", "readinessProbe"), probe)
    return {"containers": [{"name": n, "env": [{"name": "T", "value": value}], **asked} for n in ("web", "proxy")]}


def test_what_probes_send_goes_as_the_values_of_variables_do_in_sidecars_too() -> None:
    found = masked(a_probed("s3cret"))
    assert "s3cret" not in str(found)
    assert masked(found) == found
    for container in found["containers"]:
        [header] = container["livenessProbe"]["httpGet"]["httpHeaders"]
        assert (header["name"], len(header["valueSha256"])) == ("Authorization", 64)
        assert container["livenessProbe"]["periodSeconds"] == 5
    assert masked(a_probed("other")) != found
    tcp = {"containers": [{"name": "web", "startupProbe": {"tcpSocket": {"port": 80}}}]}
    assert masked(tcp) == tcp


def test_a_job_that_kept_values_is_read_without_them() -> None:
    said = {"job": "tidy", "name": "j", "before": {"taskCount": 1, "template": a_probed("s3cret")}}
    read = JobRecord.model_validate({**said, "template": {"template": a_probed("s3cret-too")}})
    assert "s3cret" not in read.model_dump_json()
    assert read.before == masked_job({"taskCount": 1, "template": a_probed("s3cret")})
    assert JobRecord.model_validate({**said, "before": None}).before is None


def test_a_slipway_yaml_that_kept_values_is_read_without_them() -> None:
    """As earlier versions wrote it, which knew neither sidecars nor headers to be secret."""
    hidden = {"http": "/up", "headers": {"Authorization": "s3cret"}}
    sidecars = {"proxy": {"image": "p", "env": {"T": "s3cret"}, "startup_probe": hidden}, "none": None}
    web: dict[str, Any] = {
        "env": {"T": "s3cret"},
        "build": {"args": {"T": "s3cret"}},
        "liveness_probe": hidden,
        "sidecars": sidecars,
    }
    manifest: dict[str, Any] = {
        "app": "shop",
        "services": {"web": web, "plain": None},
        "jobs": {"tidy": {"env": {"T": "s3cret"}}},
        "environments": {
            "test": {
                "project": "acme-test",
                "env": {"T": "s3cret"},
                "before": [{"name": "x", "http": {"url": "https://s3cret"}}],
                "services": {"web": {"sidecars": sidecars, "readiness_probe": hidden}},
                "jobs": {"tidy": {"env": {"T": "s3cret"}}},
            }
        },
    }
    said = a_record("v1.0.0", 1).model_dump(mode="json") | {"manifest": manifest}
    read = ReleaseRecord.model_validate(said)
    assert "s3cret" not in read.model_dump_json()
    assert read.manifest is not None
    assert read.manifest["services"]["web"]["sidecars"]["proxy"]["startup_probe"] == {"http": "/up"}
    assert read.manifest["environments"]["test"]["project"] == "acme-test"
    assert silenced(read.manifest) == read.manifest
    assert manifest["services"]["web"] is web
    assert web["env"] == {"T": "s3cret"}  # nothing that was handed in is changed
