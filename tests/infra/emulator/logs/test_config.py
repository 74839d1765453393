"""Log buckets and sinks on the local cloud, held against Google's discovery document, and under the real gcloud."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.discovery import Checked

API = f"https://logging.googleapis.com/v2/projects/{PROJECT}"
GLOBAL = f"{API}/locations/global/buckets"
_numbers = itertools.count(1)


def new_bucket(web: Checked, **more: Any) -> str:
    name = f"kept-{next(_numbers)}"
    web.post(f"{GLOBAL}?bucketId={name}", json=more).raise_for_status()
    return name


def status(answer: Any) -> str:
    return str(answer.json()["error"]["status"])


def test_a_bucket_goes_in_a_week_and_can_be_had_back(web: Checked) -> None:
    name = new_bucket(web, retentionDays=60)
    assert web.get(f"{GLOBAL}/{name}").json()["retentionDays"] == 60
    web.delete(f"{GLOBAL}/{name}").raise_for_status()
    listed = web.get(f"{API}/locations/-/buckets").json()["buckets"]
    assert next(each for each in listed if each["name"].endswith(f"/{name}"))["lifecycleState"] == "DELETE_REQUESTED"
    assert status(web.delete(f"{GLOBAL}/{name}")) == "FAILED_PRECONDITION"
    web.post(f"{GLOBAL}/{name}:undelete", json={}).raise_for_status()
    assert web.get(f"{GLOBAL}/{name}").json()["lifecycleState"] == "ACTIVE"
    assert web.checked > 5


def test_what_every_project_has_and_what_is_locked_is_not_deleted(web: Checked) -> None:
    assert {each["name"] for each in web.get(f"{API}/sinks").json()["sinks"]} >= {"_Default", "_Required"}
    locked = new_bucket(web, locked=True)
    refused = [web.delete(f"{GLOBAL}/{name}") for name in ("_Default", "_Required", locked)]
    refused += [web.delete(f"{API}/sinks/{name}") for name in ("_Default", "_Required")]
    assert {status(each) for each in refused} == {"FAILED_PRECONDITION"}


def test_a_sink_is_made_disabled_and_deleted(web: Checked) -> None:
    name = f"sink-{next(_numbers)}"
    body = {"name": name, "destination": f"pubsub.googleapis.com/projects/{PROJECT}/topics/t"}
    web.post(f"{API}/sinks", json=body).raise_for_status()
    web.patch(f"{API}/sinks/{name}?updateMask=disabled", json={"disabled": True}).raise_for_status()
    found = web.get(f"{API}/sinks/{name}").json()
    assert (found["disabled"], found["destination"]) == (True, body["destination"])
    web.delete(f"{API}/sinks/{name}").raise_for_status()
    assert status(web.get(f"{API}/sinks/{name}")) == "NOT_FOUND"
    assert status(web.post(f"{API}/sinks", json={"name": "x", "destination": "nowhere"})) == "INVALID_ARGUMENT"


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_gcloud_lists_and_has_back(web: Checked, cloud: LocalCloud) -> None:
    name = new_bucket(web)

    def gcloud(*arguments: str) -> Any:
        command = ["gcloud", "logging", *arguments, "--quiet", "--format=json"]
        run = subprocess.run(command, env=cloud.env, capture_output=True, text=True, timeout=240, check=False)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout or "null")

    assert name in {each["name"].rpartition("/")[2] for each in gcloud("buckets", "list")}
    gcloud("buckets", "delete", name, "--location=global")
    gcloud("buckets", "undelete", name, "--location=global")
    gcloud(
        "sinks", "create", f"{name}-sink", f"logging.googleapis.com/projects/{PROJECT}/locations/global/buckets/{name}"
    )
    gcloud("sinks", "update", f"{name}-sink", "--disabled")
    assert gcloud("sinks", "describe", f"{name}-sink")["disabled"]
